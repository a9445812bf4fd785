"""Every reason code in words (reasons.toml): what it means, and what to do or to ask the agency for."""

import tomllib
from functools import cache
from pathlib import Path

from portal.cli.words import Language


@cache
def reasons() -> dict[str, dict[str, str]]:
    """Code → `fr`, `fr_do`, `en`, `en_do`."""
    return tomllib.loads(Path(__file__).with_name("reasons.toml").read_text(encoding="utf-8"))


def meaning(code: str | None, language: Language) -> str:
    """What a reason code means; the code itself when it is not known."""
    return reasons().get(code or "", {}).get(language, code or "")


def hint(code: str | None, language: Language) -> str:
    """What to do about it."""
    return reasons().get(code or "", {}).get(f"{language}_do", "")
