"""French as it is printed: no line begins with a mark that belongs to the word before it."""

import re

from portal.web.words import catalogue, spoken, typeset

LOOSE = re.compile(r" [:;!?»]|« ")


def test_no_sentence_of_the_pages_has_a_loose_mark() -> None:
    every = catalogue("fr")._catalog.values()  # type: ignore[attr-defined]
    assert len(every) > 500
    assert [text for text in every if LOOSE.search(text)] == []
    assert any("\u00a0:" in text for text in every)


def test_neither_has_what_an_error_says() -> None:
    said = spoken("Ask for a complete export, or take a few words.", "fr")
    assert said == "Ask for a complete export, or take a few words."
    assert spoken("Do this on the machine that has the home.", "fr").startswith("Faites")
    assert typeset("« oui » : peut-être ; non ?") == "«\u00a0oui\u00a0»\u00a0: peut-être\u00a0; non\u00a0?"
    assert typeset("12:30, http://a.example/?x") == "12:30, http://a.example/?x"
