"""The catalogue (words.toml): every sentence that people read on the command line, in French and in English.

The language is that of the locale: French when LC_ALL, LC_MESSAGES or LANG, the first that says something, begins with
`fr`; else English. Reason codes and errors have tables of their own (`reasons`, `translations`).
"""

import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

Language = Literal["fr", "en"]


def language() -> Language:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if said := os.environ.get(variable):
            return "fr" if said.lower().startswith("fr") else "en"
    return "en"


def say(key: str, /, **values: object) -> str:
    """A sentence of the catalogue in the language of the locale."""
    french, english = words()[key]
    return (french if language() == "fr" else english).format(**values)


@cache
def words() -> dict[str, tuple[str, str]]:
    """Key → French, English."""
    said = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
    return {key: (french, english) for key, (french, english) in said.items()}
