"""What goes wrong, in French (translations.toml): the rooms below speak English, a person may not.

A template is what the error says, with `{}` for each part that varies. What has no translation stays in English rather
than being hidden.
"""

import re
import tomllib
from functools import cache
from pathlib import Path

from portal.cli.words import language


def spoken(text: str) -> str:
    """A message, or a hint, in the language of the locale."""
    if language() != "fr":
        return text
    for template, french in french_of().items():
        found = pattern(template).fullmatch(text)
        if found is not None:
            return french.format(*found.groups())
    return text


@cache
def french_of() -> dict[str, str]:
    return tomllib.loads(Path(__file__).with_name("translations.toml").read_text(encoding="utf-8"))


def pattern(template: str) -> re.Pattern[str]:
    """What a template stands for: `{}` is any text, doubled braces are braces."""
    parts = template.split("{}")
    return re.compile("(.*?)".join(re.escape(p.replace("{{", "{").replace("}}", "}")) for p in parts), re.DOTALL)
