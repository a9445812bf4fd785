"""What audits speak of, in words: what was read, how a row is known, what an erasure did, how far a pack is."""

from collections.abc import Mapping

from portal.web.words import Language, catalogue, marked as _

_SAID: Mapping[str, Mapping[str, str]] = {
    # What the log of what was asked says was read (`schemas.access.TABLE`).
    "reads": {
        "state": _("first page"), "log": _("instruction log"), "log entry": _("entry of the log"),
        "log head": _("signed head of the log"), "log proof": _("proofs of the log"),
        "what can be audited": _("origin and evidence"), "fields": _("list of columns"),
        "field": _("origin of a column"), "record": _("origin of a record"),
        "record values": _("values of a record"), "lineage events": _("OpenLineage events"),
        "register": _("register of processing"), "certificates": _("certificates of erasure"),
        "certificate": _("certificate of erasure"), "evidence pack": _("evidence pack"),
        "access log": _("who looked at what"),
    },
    "outcome": {
        "answered": _("answered"), "refused": _("refused"), "malformed": _("could not be read"),
        "not verified": _("did not hold"), "later": _("put off"), "fault": _("failed here"),
    },
    # `pipelines.as_known.Answer`.
    "known": {
        "now": _("This is how it is held now."),
        "as_held": _("It was known as it is held today."),
        "before_end": _("It was known as it is held today, and its end was not known yet."),
        "not_kept": _(
            "A later delivery wrote what is held today. What was known then, if anything, is not kept: earlier values "
            "are not stored here."
        ),
        "nothing_yet": _("Nothing of this system had come yet: nothing was known."),
    },
    # `pipelines.as_known.Part`.
    "part": {
        "wrote": _("wrote what is held"), "ended": _("came on the day on which the record ended"),
        "unknown": _("came before: what it did is not kept"), "left": _("said the same, or nothing of it"),
    },
    # What the place of a line is called (`pipelines.trace.LOCUS`).
    "locus": {"key": _("Key"), "line": _("Line"), "offset": _("Offset (bytes)"), "ref": _("Reference")},
    # Steps of an erasure (`retention.steps.name_of`).
    "step": {
        "destroy_keys": _("The agency's keys were destroyed: whatever they sealed, in whatever copy, opens no more."),
        "drop_shelf": _("Its shelf was dropped, with every record."),
        "forget_in_house": _("It was taken out of the installation's own tables."),
        "detach_portal": _("The portal's accounts were detached from it."),
        "remove_files": _("Its deliveries and every file named after it were removed."),
        "forget_orchestrator": _("Its runs were taken out of the orchestrator."),
        "leave_evidence": _("Left on purpose: the evidence."),
        "leave_register": _("Left on purpose: the bare register."),
        "leave_source": _("Left on purpose: the agency's own database."),
        "leave_web_door": _("Left for a time: roles at the web door, and what was asked there."),
        "leave_portal_snapshot": _("Left for now: the portal's newest export."),
    },
    "counts": {
        "key_rings": _("key rings"), "shelves": _("shelves"), "register_rows": _("rows of the register"),
        "deliveries": _("deliveries"), "leftovers": _("files"), "portal_snapshots": _("exports of the portal"),
        "notices": _("notices"), "requests": _("requests of persons"), "packs": _("evidence packs"),
        "signing_keys": _("passkeys that signed, as browsers find them"), "invitations": _("invitations"),
        "roles_ended": _("roles that end"),
    },
    "done": {"done": _("done"), "nothing there": _("nothing was there")},
    # What stays on purpose (`retention.steps.Left`).
    "left": {
        "evidence": _("the instruction log and its key, the diary of the erasure, the certificate: nothing personal"),
        "register": _("the agency's code, the end of its contract and the day of the erasure"),
        "source": _("the agency's own database, which is not ours"),
        "web_door": _("roles of your people for thirty days more, and for twelve months what was asked here"),
        "portal_snapshot": _("the portal's newest export where it still names the agency, until the next one"),
    },
    # Places that were searched (`retention.residue`).
    "place": {
        "file names": _("names of files"), "house rows": _("tables of the installation"),
        "house bytes": _("bytes of the installation's database"), "portal rows": _("tables of the portal"),
        "texts": _("every other file"), "orchestrator": _("the orchestrator"), "web door": _("these pages' own tables"),
    },
    # How far a pack is (`pipelines.evidence.STEPS`).
    "pack": {
        "log": _("The log is read and checked"), "summary": _("The summary is drawn up"),
        "pack": _("The files are put together and signed"), "check": _("The pack is checked as its reader would"),
    },
    "kind": {
        "erasure": _("Erasure at the end of the contract"), "late files": _("Removal of what came after the erasure"),
    },
    # What the register finds missing (`pipelines.processing_register.IDENTITY`).
    "incomplete": {
        "identity.name": _("name"), "identity.address": _("address"), "identity.contact": _("contact"),
        "identity.dpo": _("data protection officer"),
    },
    "scope": {"processor": _("held for the agency"), "controller": _("the portal's own accounts")},
}  # fmt: skip


def said(code: str | None, kind: str, language: Language) -> str:
    """A code in words; what has none stays as it is."""
    known = _SAID[kind]
    return catalogue(language).gettext(known[code]) if code is not None and code in known else code or "–"
