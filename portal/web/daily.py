"""Words of the pages of every day: where what waits is answered, what is in hand, what things are called."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from portal.web.words import Language, catalogue, marked as _

# Where each need is answered, below the agency's pages; `acts`: only by who can give instructions.
_ACTS: Mapping[str, tuple[str, str]] = {
    "notice": ("/instruct?does=answer&notice={id}", _("Answer it")),
    "conflict": ("/log?sort=instructions", _("Withdraw one of them")),
    "not_instructed": ("/instruct?does=synchronise&system={system}", _("Give an instruction")),
    "closing": ("/instruct?does=return", _("Ask for the data back")),
}
_LOOKS: Mapping[str, tuple[str, str]] = {
    "aside": ("/quarantine", _("See what to correct")),
    "request_due": ("/requests", _("See the requests")),
}
_ORDERED: Mapping[str, str] = {
    "rectify": _("You asked for data to be rectified: we are at it."),
    "erase": _("You asked for data to be erased: we are at it."),
    "return": _("You asked for your data back: we are at it."),
}
_LOCI: Mapping[str, str] = {
    "line": _("line"), "offset": _("record at byte"), "key": _("key"), "ref": _("element"),
}  # fmt: skip


def gathered(needs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What waits, each thing once: systems of which nothing came are one line, and one whose delivery was refused is
    told of by that."""
    all_of_them = list(needs)
    refused = {n["system"] for n in all_of_them if n["code"] == "refused"}
    silent = [n["system"] for n in all_of_them if n["code"] == "late" and n["system"] not in refused]
    kept: list[Mapping[str, Any]] = []
    for n in all_of_them:
        if n["code"] != "late":
            kept.append(n)
        elif silent and n["system"] == silent[0]:
            kept.append({"code": "late", "systems": silent})
    return kept


def ways(need: Mapping[str, Any], acts: bool, language: Language) -> list[tuple[str, str]]:
    """Links (path below the agency's pages, text) to where somebody answers what waits."""
    known = {**_LOOKS, **(_ACTS if acts else {})}.get(need["code"])
    if known is None:
        return []
    path, text = known
    parts = {name: quote(str(need[name]), safe="") for name in ("id", "system") if name in need}
    return [(path.format(**parts), catalogue(language).gettext(text))]


def ordered(does: str, language: Language) -> str:
    return catalogue(language).gettext(_ORDERED[does])


def locus(name: str, language: Language) -> str:
    """What the place of a line is called: a line, an offset, a key, a reference of an element."""
    return catalogue(language).gettext(_LOCI[name])


# -- requests of persons -----------------------------------------------------------------------------------------------

# As the law names them, with the article.
KINDS: Mapping[str, tuple[str, str]] = {
    "access": (_("Access"), "15"),
    "rectification": (_("Rectification"), "16"),
    "erasure": (_("Erasure"), "17"),
    "restriction": (_("Restriction of processing"), "18"),
    "portability": (_("Portability"), "20"),
    "objection": (_("Objection"), "21"),
}
OUTCOMES: Mapping[str, str] = {
    "done": _("was carried out"),
    "turned_down": _("turned down, with reasons"),
    "not_concerned": _("does not concern these data"),
}
_STEPS: Mapping[str, str] = {
    "registered": _("Request registered"),
    "extended": _("Time made longer: the person was told"),
    "package_json": _("Data handed over as JSON"),
    "package_csv": _("Data handed over as CSV"),
    "closed": _("Request closed"),
}


def step(what: str, language: Language) -> str:
    return catalogue(language).gettext(_STEPS[what])


def kind(name: str, language: Language) -> str:
    """A right, with its article of the GDPR."""
    text, article = KINDS[name]
    say = catalogue(language).gettext
    return say(_("%(right)s (GDPR %(article)s)")) % {"right": say(text), "article": article}


def due(r: Mapping[str, Any], language: Language) -> str:
    """How much time a request has left."""
    words, left = catalogue(language), r["days_left"]
    if left is None:
        ended = OUTCOMES[r["outcome"]]
        return words.gettext(ended)
    if left < 0:
        return words.ngettext("%(num)s day late", "%(num)s days late", -left) % {"num": -left}
    if left == 0:
        return words.gettext("due today")
    return words.ngettext("%(num)s day left", "%(num)s days left", left) % {"num": left}


# -- documents by audience ---------------------------------------------------------------------------------------------

AUDIENCES: Mapping[str, str] = {
    "all": _("all co-owners"),
    "individual": _("the co-owner concerned"),
    "council": _("the council"),
}
# What is wrong, and what to do at the source.
RULES: Mapping[str, tuple[str, str]] = {
    "individual_open": (_("Somebody's own document is open to others"), _("Close it at once: make it individual.")),
    "names_person": (
        _("A document that names a person is open to others"),
        _("Make it individual, or take the person out."),
    ),
    "council_open": (_("A document of the council is open to all co-owners"), _("Keep it for the council.")),
    "open_nowhere": (_("An open document belongs to no building"), _("Say to which building it belongs.")),
    "individual_nobody": (_("An individual document is for nobody"), _("Say for whom it is: nobody can read it now.")),
    "closed_too_far": (_("A document for all co-owners is closed to them"), _("Open it to all co-owners.")),
}


def rule(name: str, language: Language) -> tuple[str, str]:
    """What is wrong with an audience, and what to do."""
    say = catalogue(language).gettext
    wrong, cure = RULES[name]
    return say(wrong), say(cure)
