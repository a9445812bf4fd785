"""A plan and its outcome in words, French and English: the same object that is carried out, read aloud."""

from typing import Literal, assert_never

from retention.due import Due
from retention.plan import Kind, Plan
from retention.steps import (
    CouldNot,
    DestroyKeys,
    DetachPortal,
    Done,
    DropShelf,
    ForgetInHouse,
    ForgetOrchestrator,
    LeaveHeld,
    Left,
    NothingThere,
    Outcome,
    RemoveFiles,
    Step,
)
from schemas.window import closes_at

Language = Literal["fr", "en"]

LEFT: dict[Left, dict[Language, str]] = {
    Left.EVIDENCE: {
        "fr": "le registre des instructions et sa clé, le journal d'effacement, le certificat : rien de personnel",
        "en": "the ledger and its key, the diary of the erasure, the certificate: without personal data",
    },
    Left.REGISTER: {
        "fr": "le code de l'agence, la fin de son contrat et le jour de l'effacement, pour ne pas la recréer",
        "en": "the agency's code, the end of its contract and the day of the erasure, so that it is not brought back",
    },
    Left.SOURCE: {
        "fr": "la base de l'agence elle-même, lue par ODBC : elle n'est pas à nous",
        "en": "the agency's own database, read by ODBC: it is not ours",
    },
    Left.WEB_DOOR: {
        "fr": "porte web : les rôles de ses membres, 30 jours encore, et la trace de ce qui y fut demandé, 12 mois",
        "en": "at the web door: the roles of its people, 30 days more, and the log of what was asked there, 12 months",
    },
    Left.PORTAL_SNAPSHOT: {
        "fr": "le dernier export du portail s'il nomme encore l'agence : il part dès que le suivant est accepté",
        "en": "the portal's newest snapshot where it still names the agency: it goes once the next one is accepted",
    },
}


def explain(plan: Plan, language: Language) -> list[str]:
    """A heading and one sentence a step."""
    return [_heading(plan, language), *(f"{n}. {_words(step, language)}" for n, step in enumerate(plan.steps, start=1))]


def _heading(plan: Plan, language: Language) -> str:
    closed = closes_at(plan.end)
    match plan.kind, language:
        case Kind.ERASURE, "fr":
            ended = f"contrat fini le {plan.end:%d/%m/%Y}, fenêtre close le {closed:%d/%m/%Y à %H:%M} (Paris)"
            return f"Agence {plan.agency} : {ended}. Effacement :"
        case Kind.ERASURE, _:
            ended = f"contract ended on {plan.end}, window closed at {closed:%Y-%m-%d %H:%M} (Paris)"
            return f"Agency {plan.agency}: {ended}. Erasure:"
        case Kind.LATE_FILES, "fr":
            return (
                f"Agence {plan.agency}, déjà effacée (fin au {plan.end:%d/%m/%Y}). Retrait de ce qui est venu depuis :"
            )
        case _:
            return f"Agency {plan.agency}, erased before (end {plan.end}): removal of what has come since:"


def explain_held(held: Due, language: Language) -> str:
    """Why the brake holds an erasure, and what to do."""
    if language == "fr":
        return (
            f"Agence {held.agency} : fin au {held.end:%d/%m/%Y} apprise après coup, avec bien d'autres à la fois. "
            f"Vérifiez le registre, puis confirmez : depositaire retention run --agency {held.agency}"
        )
    return (
        f"Agency {held.agency}: the register moved its end to {held.end}, a day already past, along with many others. "
        f"Check the register, then confirm: depositaire retention run --agency {held.agency}"
    )


def explain_outcome(outcome: Outcome, language: Language) -> str:
    match outcome:
        case Done():
            counts = ", ".join(f"{name} {n}" for name, n in sorted(outcome.counts.items()))
            return ("fait" if language == "fr" else "done") + (f" ({counts})" if counts else "")
        case NothingThere():
            return "rien à détruire" if language == "fr" else "nothing there"
        case CouldNot():
            return ("impossible : " if language == "fr" else "could not: ") + outcome.reason
        case _:
            assert_never(outcome)


def _words(step: Step, language: Language) -> str:
    french = language == "fr"
    match step:
        case DestroyKeys():
            return "détruire le trousseau de clés" if french else "destroy the key ring"
        case DropShelf():
            if french:
                return "supprimer la base de l'agence : lignes, index, quarantaine, clés effacées, curseurs"
            return "drop the agency's shelf: rows, indexes, quarantine, erased keys, cursors"
        case ForgetInHouse():
            if french:
                return "oublier le journal des livraisons, les sources ODBC et sa ligne au registre des agences"
            return "forget the journal of deliveries, the ODBC sources and its row in the register of agencies"
        case DetachPortal():
            if french:
                return "supprimer ses rattachements au portail, et les comptes qui n'en gardent aucun"
            return "delete its attachments on the portal, and the accounts that keep none"
        case RemoveFiles():
            return _files(step, language)
        case ForgetOrchestrator():
            if french:
                return "effacer de Dagster la partition, les exécutions et les événements qui la nomment"
            return "erase from Dagster the partition, runs and events that name it"
        case LeaveHeld():
            return ("laisser : " if french else "leave: ") + LEFT[step.left][language]
        case _:
            assert_never(step)


def _files(step: RemoveFiles, language: Language) -> str:
    places = ", ".join(step.inboxes)
    if language == "fr":
        return f"retirer ses livraisons des dossiers d'arrivée ({places or 'aucun'}) et ses restes dans l'installation"
    return f"remove its deliveries from the inboxes ({places or 'none'}) and its leftovers in the home"
