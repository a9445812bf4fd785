"""The words of the pages: English in the code, French in `locale/fr.po`, read when they start. Nothing is built."""

import re
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Literal

from babel import Locale, negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from portal.cli.translations import french_of, pattern

Language = Literal["fr", "en"]
LANGUAGES: tuple[Language, ...] = ("fr", "en")


def marked(text: str) -> str:
    """A text that is translated where it is shown: named here for the catalogue."""
    return text


_BEFORE_A_MARK = re.compile(r" (?=[:;!?»])|(?<=«) ")


def typeset(french: str) -> str:
    """With spaces that do not break where a mark belongs to the word beside it: no line begins with a colon."""
    return _BEFORE_A_MARK.sub("\u00a0", french)


@cache
def catalogue(language: Language) -> NullTranslations:
    if language == "en":
        return NullTranslations()
    with (Path(__file__).parent / "locale" / f"{language}.po").open("rb") as f:
        compiled, read = BytesIO(), read_po(f, locale=language)
        for each in filter(lambda message: message.id, read):  # the first has no id: the catalogue's own header
            said = each.string
            each.string = typeset(said) if isinstance(said, str) else tuple(typeset(form) for form in said or ())
        write_mo(compiled, read)
    compiled.seek(0)
    return GNUTranslations(compiled)


def spoken(text: str, language: Language) -> str:
    """What an error says, in the words that the command line has for it."""
    if language == "fr":
        for template, french in french_of().items():
            found = pattern(template).fullmatch(text)
            if found is not None:
                return typeset(french).format(*found.groups())
    return text


@cache
def locale(language: Language) -> Locale:
    return Locale.parse({"fr": "fr_FR", "en": "en_GB"}[language])


def chosen(saved: str | None, accepts: str) -> Language:
    """The language that was chosen, else the first that the browser accepts and that there is, else French."""
    if saved in LANGUAGES:
        return saved
    wanted = [part.split(";")[0].strip().replace("-", "_") for part in accepts[:200].split(",")]
    found = negotiate_locale([w for w in wanted if w] or ["fr"], list(LANGUAGES))
    return "en" if found == "en" else "fr"
