"""Entries of the log, and what waits, in words: what the log calls by a code is said as the law or the trade does."""

import json
import re
from collections.abc import Mapping
from typing import Any

from babel.lists import format_list

from portal.web.acts import function_word
from portal.web.words import Language, catalogue, locale, marked as _
from schemas.fields import Category, Scope
from schemas.ids import AGENCY_SYSTEMS, System, system_name
from schemas.records import RECORDS

SYSTEMS = tuple(str(s) for s in AGENCY_SYSTEMS)
SYSTEMS_WITH_PORTAL = tuple(str(s) for s in System)
CATEGORIES = tuple(str(c) for c in Category)
SCOPES = tuple(str(s) for s in Scope)
SORTS: Mapping[str, str] = {
    "instructions": _("Instructions"),
    "deliveries": _("Deliveries"),
    "leaving": _("Returns and erasures"),
    "law": _("What the law says"),
    "keys": _("Signing passkeys"),
    "proofs": _("Timestamps"),
}

_TITLES: Mapping[str, str] = {
    "synchronise": _("Instruction to read and hold data"),
    "restrict": _("Restriction"),
    "rectify": _("Instruction to rectify"),
    "erase": _("Instruction to erase"),
    "return": _("Instruction to give data back"),
    "transfer": _("Instruction to transfer to a third country"),
    "disclose": _("Instruction to disclose"),
    "authorise": _("Sub-processor authorised"),
    "object": _("Objection to a sub-processor"),
    "withdrawal": _("Instruction withdrawn"),
    "acknowledge": _("Instruction acknowledged by the processor"),
    "legal_obligation": _("Legal obligation of the processor"),
    "legal_notice": _("Notice of a legal obligation"),
    "infringement": _("Notice that an instruction infringes the law"),
    "answer": _("The agency's answer to a notice"),
    "receipt.accepted": _("Delivery read and kept"),
    "receipt.refused": _("Delivery refused"),
    "receipt.replayed": _("Delivery that had come before"),
    "exceeded": _("The source sent more than was instructed"),
    "window": _("Contract dates noted"),
    "erased": _("Data erased, with a certificate"),
    "handed": _("Data handed over"),
    "fulfilled": _("Instruction carried out"),
    "anchored": _("Log timestamped by an authority"),
    "enrolled": _("Signing passkey enrolled"),
    "revoked": _("Signing passkey revoked"),
    "signed": _("Signature by a passkey"),
    "signing_rule": _("Rule on what counts without a signature"),
    "withheld": _("Entry that may not be shown yet"),
    "forgotten": _("Entry whose content was destroyed"),
}

# Fields of an entry's body in the order in which they are read. What is not named here is not shown.
_LABELS: Mapping[str, str] = {
    "reference": _("Document"), "given_by": _("Given by"), "channel": _("Received by"), "systems": _("Systems"),
    "system": _("System"), "delivery": _("Delivery"), "reason": _("Reason"), "tables": _("Data"),
    "purposes": _("Purposes"), "scope": _("Restricts"), "targets": _("Named"), "subjects": _("Rows named"),
    "lines": _("Lines left out"), "values": _("Values left out"), "valid_from": _("From"), "valid_until": _("Until"),
    "effective_at": _("From"), "start": _("Contract begins"), "end": _("Contract ends"),
    "register_day": _("Register of"), "name": _("Sub-processor"), "service": _("Service"),
    "recipient": _("Recipient"), "recipients": _("Recipients"), "country": _("Country"),
    "countries": _("Countries"), "basis": _("Basis (GDPR article)"), "safeguards": _("Safeguards"),
    "ground": _("Ground"), "evidence": _("Evidence"), "authority": _("Authority"), "law": _("Text of law"),
    "jurisdiction": _("Jurisdiction"), "duty": _("Duty"), "obligation": _("Obligation"),
    "prohibition": _("Prohibition to tell"), "approved_by": _("Approved by"), "released_from": _("Released from"),
    "notice": _("Notice"), "outcome": _("Outcome"), "told_at": _("Told on"), "answered_at": _("Answered on"),
    "acknowledged_at": _("Acknowledged on"), "instruction": _("Instruction"), "instructions": _("Under"),
    "does": _("What"), "supersedes": _("Replaces"), "carried_out_at": _("Carried out on"),
    "late_files": _("Files that came afterwards"), "stamped_at": _("Stamped on"), "size": _("Entries covered"),
    "recorded_by": _("Recorded by"), "recorded_at": _("Recorded on"), "layout": _("Export layout"),
    "code_version": _("Version of the programme"), "run": _("Run"), "document_sha256": _("Digest of the document"),
    "policy_sha256": _("Digest of the privacy policy"), "sha256": _("Digest of the file"),
    "certificate_sha256": _("Digest of the certificate"), "checkpoint_sha256": _("Digest of the head"),
    "credential": _("Signing passkey"), "function": _("Function"), "invited_by": _("Invited by"),
    "origin": _("Address of the pages"), "required": _("Only what is signed counts"),
    "response_sha256": _("Digest of the timestamp"), "capability": _("Digest of the permission"),
}  # fmt: skip

_WORDS: Mapping[str, str] = {
    "*": _("everything in the contract"), "accepted": _("accepted"), "refused": _("refused"),
    "replayed": _("received before"), "in_force": _("in force"), "suspended": _("suspended"),
    "not_yet": _("not yet in force"), "expired": _("expired"), "withdrawn": _("withdrawn"),
    "superseded": _("replaced"), "answered": _("given up after a notice"), "ended": _("ended by an erasure"),
    "running": _("contract running"), "not_started": _("contract not begun"), "closed": _("window closed"),
    "erased": _("erased"), "return": _("return"), "disclose": _("disclosure"), "transfer": _("transfer"),
    "rectify": _("rectification"), "erase": _("erasure"), "keep": _("keep"), "synchronise": _("read and hold"),
    "extranet": _("extranet"), "notification": _("notifications"), "export": _("export"), "support": _("support"),
    "legal": _("legal duties"), "letter": _("letter"), "email": _("e-mail"), "portal": _("the portal"),
    "meeting": _("a meeting"), "telephone": _("telephone"), "contract": _("contract"),
    "maintained": _("maintained"), "amended": _("amended"), "agency": _("the whole agency"), "table": _("tables"),
    "category": _("categories"), "building": _("buildings"), "lot": _("lots"), "role": _("roles"),
    "person": _("persons"), "consent": _("consent"), "law": _("obligation of law"), "security": _("security"),
    "operations": _("operations"), "person_link": _("links between persons"), "lot_share": _("shares of lots"),
    "lease": _("leases"), "lease_party": _("parties to leases"), "mandate": _("management mandates"),
    "mandate_lot": _("lots under mandate"), "co_ownership": _("co-ownerships"),
    "council_membership": _("members of councils"), "account": _("accounts"), "bank_detail": _("bank details"),
    "document": _("documents"), "contact": _("contacts"), "staff": _("staff of the agency"),
    "identity": _("identity"), "location": _("places"), "property": _("property"), "financial": _("money"),
    "professional": _("professional life"), "technical": _("technical"), "co_owner": _("co-owners"),
    "tenant": _("tenants"), "landlord": _("landlords"), "manager": _("managers"), "operator": _("operator"),
    "reader": _("reader"), "signatory": _("signatory"), "auditor": _("auditor"), "password": _("password and code"),
    "passkey": _("passkey"), "provider": _("sign-in of the agency"),
    "unsigned": _("not signed: it allows nothing"), "standing": _("may sign"),
    "revoked": _("revoked"), "lost": _("the device is lost"), "left": _("the person has left"),
    "replaced": _("replaced by another one"), "doubted": _("somebody else may have it"),
}  # fmt: skip

_COUNTS: Mapping[str, str] = {
    "read": _("read"), "stored": _("new or changed"), "unchanged": _("unchanged"), "quarantined": _("put aside"),
    "withheld": _("left out: not instructed"), "ignored": _("outside the contract of export"),
}  # fmt: skip

_NEEDS: Mapping[str, str] = {
    "notice": _("A notice that an instruction infringes the law waits for your answer."),
    "conflict": _("Instructions contradict each other: until one is withdrawn, they allow nothing."),
    "refused": _("The last delivery of %(system)s was refused."),
    "not_instructed": _("No instruction in force covers %(system)s: nothing of it is read."),
    "late": _("Nothing came from %(system)s for more than two days."),
    "legal_notice": _("A legal obligation was notified to you: there is nothing to do but to read it."),
}

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_A_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MANY = 12
_TOLD = 6
_DIGESTS = frozenset(name for name in _LABELS if name.endswith("_sha256") or name in ("sha256", "capability"))
_SPACED = re.compile(r"[ -]")


def title(entry: Mapping[str, Any], language: Language) -> str:
    """An entry in a few words."""
    kind = entry["kind"]
    key = f"receipt.{entry['body'].get('outcome', 'accepted')}" if kind == "receipt" else kind
    return catalogue(language).gettext(_TITLES.get(key, key))


def word(code: object, language: Language) -> str:
    """A code of the model in words; what is no code stays as it is."""
    return catalogue(language).gettext(_WORDS[code]) if isinstance(code, str) and code in _WORDS else str(code)


def system(code: object, language: Language) -> str:
    """The name of a system, as its vendor writes it."""
    return system_name(str(code), language) if code in SYSTEMS else word(code, language)


def layout(text: str, language: Language) -> str:
    """The contract that an export was read by, `sdgi 1.4` or `gpi-01.02` in the log, with its system as people know
    it."""
    code, version = (*_SPACED.split(text, maxsplit=1), "")[:2]
    return f"{system(code, language)} {version}".rstrip()


def facts(entry: Mapping[str, Any], language: Language) -> list[tuple[str, str]]:
    """What an entry says, each with its label, in the order in which it is read."""
    say, body = catalogue(language).gettext, entry["body"]
    return [(say(label), _said(name, body[name], language)) for name, label in _LABELS.items() if name in body]


def recorded(value: Any) -> str:
    """A value as the log has it and as the browser compares it (`plain` in static/verify.js): lists by comma and space,
    nothing as a dash, an object as JSON."""
    match value:
        case None | [] | "":
            return "–"
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(recorded(v) for v in value)
        case dict():
            return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        case _:
            return str(value)


def fields(entry: Mapping[str, Any], language: Language) -> list[tuple[str, str, str, str, bool]]:
    """Like `facts`, each with its name, with what the log has for it, and whether that is an instant."""
    say, body = catalogue(language).gettext, entry["body"]
    return [
        (name, say(label), _said(name, body[name], language), recorded(body[name]), _is_instant(body[name]))
        for name, label in _LABELS.items()
        if name in body
    ]


def columns(change: Mapping[str, Any], language: Language) -> str:
    """The fields of one table that come or go, as their labels say."""
    labels = {f.name: f.label_fr if language == "fr" else f.label_en for f in RECORDS[change["table"]].fields}
    named = [labels[n] for n in change["fields"]]
    more = f" … ({len(named)})" if len(named) > _MANY else ""
    return ", ".join(named[:_MANY]) + more


def function(text: str, language: Language) -> str:
    return text if language == "fr" else function_word(text)


def told(entry: Mapping[str, Any], language: Language) -> list[tuple[str, str, str, str, bool]]:
    """The fields that a line of the log tells: the first few, and no digest. The entry's page has them all."""
    return [f for f in fields(entry, language) if f[0] not in _DIGESTS][:_TOLD]


def _is_instant(value: Any) -> bool:
    return isinstance(value, str) and _INSTANT.fullmatch(value) is not None


def need(code: Mapping[str, Any], language: Language) -> str:
    """What waits, as a sentence."""
    words = catalogue(language)
    match code["code"]:
        case "closing":
            said = words.ngettext(
                "The window closes in %(num)s day: take the data that you want back.",
                "The window closes in %(num)s days: take the data that you want back.",
                code["days"],
            )
            return said % {"num": code["days"]}
        case "aside":
            said = words.ngettext(
                "%(num)s line was put aside: it is to be corrected at the source.",
                "%(num)s lines were put aside: they are to be corrected at the source.",
                code["count"],
            )
            return said % {"num": code["count"]}
        case "request_due":
            said = words.ngettext(
                "%(num)s request of a person is due within a week.",
                "%(num)s requests of persons are due within a week.",
                code["count"],
            )
            return said % {"num": code["count"]}
        case other:
            sentence = _NEEDS[other]
            systems = code.get("systems", [code["system"]] if "system" in code else [])
            named = {"system": format_list([system(s, language) for s in systems], locale=locale(language))}
            return words.gettext(sentence) % {**code, **named}


def _said(name: str, value: Any, language: Language) -> str:
    from portal.web.rendering import day, moment, number

    match value:
        case list() if name == "systems":
            return ", ".join(system(v, language) for v in value)
        case str() if name == "system":
            return system(value, language)
        case str() if name == "layout":
            return layout(value, language)
        case bool():
            return catalogue(language).gettext(_("yes") if value else _("no"))
        case int():
            return number(value, language)
        case str() if _INSTANT.fullmatch(value):
            return moment(value, language)
        case str() if _A_DAY.fullmatch(value):
            return day(value, language)
        case list() if value and str(value[0]).startswith("REF-"):
            return number(len(value), language)
        case list():
            more = f" … ({number(len(value), language)})" if len(value) > _MANY else ""
            return ", ".join(word(v, language) for v in value[:_MANY]) + more
        case dict():
            return _counted(value, language)
        case _:
            return _reason(value, language) if name == "reason" and value not in _WORDS else word(value, language)


def _counted(value: Mapping[str, Any], language: Language) -> str:
    """Counts by table; or counts of lines of each source table, summed: their names mean nothing to a reader."""
    from portal.web.rendering import number

    say = catalogue(language).gettext
    if value and all(isinstance(v, dict) for v in value.values()):
        sums = {n: sum(v.get(n, 0) for v in value.values()) for n in _COUNTS}
        return ", ".join(f"{number(n, language)} {say(_COUNTS[name])}" for name, n in sums.items() if n) or "0"
    return ", ".join(f"{word(name, language)} {number(n, language)}" for name, n in sorted(value.items())[:_MANY])


def _reason(code: str, language: Language) -> str:
    from portal.cli.reasons import meaning

    return f"{meaning(code, language)} ({code})"
