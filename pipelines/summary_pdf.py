"""`resume.pdf`: the summary of an evidence pack in French, for somebody who has two minutes. Two pages at most.

Helvetica and its WinAnsi encoding hold every letter of French; nothing is embedded, and the same summary gives the same
bytes. Long lists are cut, and say so: `summary.json` beside it is whole. Source: GDPR 28(3)(h).
"""

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from ledger.canonical import read_instant
from schemas.errors import Malformed
from schemas.ids import system_name
from schemas.window import PARIS, closes_at

Summary = Mapping[str, Any]
Meaning = Callable[[str], str]

PAGES = 2
SHOWN = (14, 9, 6, 4, 2, 1)  # how many rows of each list: the greatest number that fits two pages
MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
          "décembre")  # fmt: skip
KINDS = {
    "synchronise": "Synchroniser", "restrict": "Restreindre", "rectify": "Rectifier", "erase": "Effacer",
    "return": "Restituer", "transfer": "Transférer hors UE", "disclose": "Communiquer",
    "authorise": "Sous-traitant autorisé", "object": "Sous-traitant refusé",
}  # fmt: skip
STATES = {
    "in_force": "en vigueur", "suspended": "suspendue", "not_yet": "à venir", "expired": "échue",
    "withdrawn": "retirée", "superseded": "remplacée", "answered": "abandonnée", "ended": "close par l'effacement",
    "unsigned": "non signée",
}  # fmt: skip
TABLES = {
    "*": "toutes les données", "person": "personnes", "contact": "coordonnées", "person_link": "liens entre personnes",
    "building": "immeubles", "lot": "lots", "lot_share": "quotes-parts", "co_ownership": "copropriétés",
    "council_membership": "conseils syndicaux", "mandate": "mandats de gérance", "mandate_lot": "lots sous mandat",
    "lease": "baux", "lease_party": "parties aux baux", "staff": "gestionnaires", "account": "comptes et soldes",
    "bank_detail": "coordonnées bancaires", "document": "documents", "identity": "identité", "location": "adresses",
    "property": "biens", "contract": "contrats", "financial": "données financières",
    "professional": "données professionnelles",
}  # fmt: skip
QUALITIES = {
    "co_owner": "copropriétaires", "tenant": "locataires", "landlord": "bailleurs", "manager": "gestionnaires",
}  # fmt: skip
ROWS = {
    "person": ("personne", "personnes"), "lot": ("lot", "lots"), "building": ("immeuble", "immeubles"),
}  # fmt: skip
OUTGOING = {"return": "Restitution", "disclose": "Communication", "transfer": "Transfert"}
DUTIES = {"keep": "conserver", "disclose": "communiquer", "transfer": "transférer"}
CONFLICTS = {
    "superseded_twice": "deux instructions remplacent la même",
    "supersedes_unknown": "une instruction en remplace une qui n'est pas au registre",
    "withdraws_unknown": "retrait d'une instruction inconnue",
    "notice_of_unknown": "avis sur une instruction inconnue",
    "answers_unknown": "réponse à un avis inconnu",
    "answered_twice": "un avis a reçu deux réponses différentes",
    "obligation_without_notice": "obligation légale dont l'agence n'a pas encore été informée",
    "erases_what_the_law_keeps": "à effacer selon l'agence, à conserver selon la loi",
    "instructed_again_after_erasure": "à effacer, puis de nouveau à tenir",
    "sub_processor_contradicted": "sous-traitant ultérieur à la fois autorisé et refusé",
    "not_signed": "instruction à laquelle il manque une signature",
}

_INK, _GREY, _LINE = colors.HexColor("#1c2733"), colors.HexColor("#5d6b78"), colors.HexColor("#c9d1d8")
_TEXT = ParagraphStyle("text", fontName="Helvetica", fontSize=8.6, leading=11, textColor=_INK)
_SMALL = ParagraphStyle("small", parent=_TEXT, fontSize=7.6, leading=9.4, textColor=_GREY)
_CELL = ParagraphStyle("cell", parent=_TEXT, fontSize=7.8, leading=9.4)
_NUMBER = ParagraphStyle("number", parent=_CELL, alignment=2)
_HEAD = ParagraphStyle("head", parent=_CELL, fontName="Helvetica-Bold", textColor=_GREY)
_NUMBER_HEAD = ParagraphStyle("number head", parent=_HEAD, alignment=2)
_SECTION = ParagraphStyle("section", parent=_TEXT, fontName="Helvetica-Bold", fontSize=10.5, leading=13, spaceBefore=7)
_TITLE = ParagraphStyle("title", parent=_TEXT, fontName="Helvetica-Bold", fontSize=16, leading=20)
_PADDING = 6  # points that a frame of the library keeps free on each side
_WIDTH = A4[0] - 36 * mm - 2 * _PADDING


def draw(summary: Summary, meaning: Meaning) -> bytes:
    """The PDF of a summary. `meaning`: what a reason code says in French. Raises Malformed when no cut makes it fit."""
    for shown in SHOWN:
        out = io.BytesIO()
        page = SimpleDocTemplate(
            out, pagesize=A4, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=15 * mm, bottomMargin=15 * mm,
            title=f"Dossier de preuves de l'agence {summary['agency']}", author="Depositaire", lang="fr-FR",
            subject="RGPD, article 28, paragraphe 3, h", invariant=1,
        )  # fmt: skip
        page.build(_Page(summary, meaning, shown).parts(), onFirstPage=_foot, onLaterPages=_foot)
        if page.page <= PAGES:
            return out.getvalue()
    raise Malformed("the summary does not fit two pages")


def _foot(canvas: Any, page: Any) -> None:
    canvas.setFont("Helvetica", 7)
    canvas.setFillColor(_GREY)
    canvas.drawString(18 * mm + _PADDING, 9 * mm, f"{page.title} : les mêmes faits, en entier, sont dans summary.json.")
    canvas.drawRightString(A4[0] - 18 * mm - _PADDING, 9 * mm, f"page {page.page}")


class _Page:
    """The parts of one summary, each list cut to `shown` rows."""

    def __init__(self, summary: Summary, meaning: Meaning, shown: int) -> None:
        self.s, self.meaning, self.shown = summary, meaning, shown

    def parts(self) -> list[Flowable]:
        s = self.s
        return [
            Paragraph(f"Dossier de preuves de l'agence {s['agency']}", _TITLE),
            Paragraph(
                f"État au {_moment(s['at'])}, établi par le sous-traitant pour le responsable de traitement "
                "(RGPD, article 28, paragraphe 3, h).",
                _SMALL,
            ),
            Spacer(1, 3 * mm),
            self._essential(),
            *self._instructed(),
            *self._received(),
            *self._exceeded(),
            *self._refused(),
            *self._handed(),
            *self._erased(),
            *self._waiting(),
            *self._others(),
            *self._proofs(),
        ]

    def _essential(self) -> Flowable:
        s = self.s
        in_force = sum(i["state"] == "in_force" for i in s["instructions"])
        rows = sum(r["stored"] + r["unchanged"] for r in s["received"])
        facts = [
            ("Instructions en vigueur", f"{in_force} sur {len(s['instructions'])}"),
            ("Livraisons acceptées", _number(sum(r["deliveries"] for r in s["received"]))),
            ("Livraisons refusées", _number(sum(r["count"] for r in s["house"]["refused"]))),
            ("Lignes reçues et tenues à jour", _number(rows)),
            ("Sorties de données", _number(len(s["handed"]))),
            ("Suspendues ou contradictoires", _number(len(s["suspended"]) + len(s["conflicts"]))),
            ("Jusqu'à quand", self._until()),
        ]
        cells = [[Paragraph(escape(name), _TEXT), Paragraph(f"<b>{escape(fact)}</b>", _TEXT)] for name, fact in facts]
        style = TableStyle([
            ("BACKGROUND", (0, 0), (-1, -1), colors.HexColor("#f3f6f8")), ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 1.6), ("BOTTOMPADDING", (0, 0), (-1, -1), 1.6),
        ])  # fmt: skip
        return Table(cells, [56 * mm, _WIDTH - 56 * mm], style=style, hAlign="LEFT")

    def _until(self) -> str:
        gone = [e for e in self.s["erasures"] if not e["late_files"]]
        end = self.s["house"]["contract"]["end"]
        if gone and (end is None or end <= gone[-1]["end"]):
            return f"effacement fait le {_moment(gone[-1]['carried_out_at'])} ; rien n'est plus détenu"
        if end is None:
            return "contrat en cours, sans date de fin ; effacement sept jours après la fin"
        day = date.fromisoformat(end)
        return f"fin du contrat le {_day(day)} ; effacement le {_day(closes_at(day).astimezone(PARIS).date())}, à 0 h"

    def _instructed(self) -> list[Flowable]:
        rows = [
            [
                KINDS.get(i["kind"], i["kind"]), i["reference"], _scope(i), _date(i["valid_from"]),
                _last_day(i["valid_until"]), STATES.get(i["state"], i["state"]),
            ]
            for i in sorted(self.s["instructions"], key=lambda i: i["state"] in ("in_force", "suspended"))
        ]  # fmt: skip
        heads = ("Instruction", "Référence", "Porte sur", "Depuis", "Jusqu'au", "État")
        return self._list("Ce qui a été demandé", heads, rows, (31, 39, 45, 19, 19, 21), "Aucune instruction.")

    def _received(self) -> list[Flowable]:
        names = ("deliveries", "read", "stored", "unchanged", "quarantined", "ignored", "withheld")
        rows = [[system_name(r["system"]), *(_number(r[n]) for n in names)] for r in self.s["received"]]
        heads = ("Logiciel", "Livraisons", "Lignes lues", "gardées", "inchangées", "de côté", "ignorées", "retenues")
        widths = (26, 21, 22, 21, 22, 19, 21, 21)
        return self._list("Ce qui a été reçu", heads, rows, widths, "Rien n'a été reçu.", right=range(1, 8))

    def _exceeded(self) -> list[Flowable]:
        """Only where there is something to tell the agency."""
        rows = [
            [system_name(e["system"]), *(_number(e[n]) for n in ("deliveries", "lines", "values"))]
            for e in self.s["exceeded"]
        ]
        if not rows:
            return []
        heads = ("Logiciel", "Livraisons", "Lignes écartées", "Valeurs écartées")
        title = "Ce que vos logiciels envoient au-delà de vos instructions (écarté, non gardé)"
        return self._list(title, heads, rows, (50, 41, 41, 42), "", right=range(1, 4))

    def _refused(self) -> list[Flowable]:
        rows = [
            [system_name(r["system"]), self.meaning(r["reason"]), _number(r["count"])]
            for r in self.s["house"]["refused"]
        ]
        return self._list("Ce qui a été refusé", ("Logiciel", "Motif", "Livraisons"), rows, (26, 124, 24),
                          "Aucune livraison n'a été refusée.", right=(2,))  # fmt: skip

    def _handed(self) -> list[Flowable]:
        rows = [
            [_date(h["carried_out_at"]), OUTGOING[h["does"]], f"{h['recipient']}{_country(h['country'])}", _counted(h)]
            for h in self.s["handed"]
        ]
        return self._list("Ce qui a été rendu, communiqué ou transféré", ("Le", "Nature", "À qui", "Lignes"), rows,
                          (21, 30, 55, 68), "Rien n'est sorti.")  # fmt: skip

    def _erased(self) -> list[Flowable]:
        rows = [
            [_date(e["carried_out_at"]),
             "fichiers arrivés trop tard" if e["late_files"] else f"tout, fin de contrat du {_date(e['end'])}",
             "certificat joint"]
            for e in self.s["erasures"]
        ]  # fmt: skip
        rows += [
            [_date(f["carried_out_at"]), _counted(f), f"instruction {f['instruction']}"]
            for f in self.s["fulfilled"] if f["does"] == "erase"
        ]  # fmt: skip
        return self._list("Ce qui a été effacé", ("Le", "Quoi", "Preuve"), rows, (21, 93, 60), "Rien n'a été effacé.")

    def _waiting(self) -> list[Flowable]:
        named = {i["instruction"]: i["reference"] for i in self.s["instructions"]}
        rows = [
            ["Contradiction", f"{CONFLICTS.get(c['code'], c['code'])} ({', '.join(c['ids'])})"]
            for c in self.s["conflicts"]
        ]
        rows += [
            ["Suspendue", f"{named.get(i, i)} : contraire au droit selon le sous-traitant, en attente de l'agence"]
            for i in self.s["suspended"]
        ]
        heads = ("", "Rien n'est exécuté tant que l'agence n'a pas tranché")
        none = "Rien n'est suspendu, rien ne se contredit."
        return self._list("Ce qui est suspendu ou se contredit", heads, rows, (26, 148), none)

    def _others(self) -> list[Flowable]:
        """What binds others: restrictions, sub-processors, obligations of the law."""
        rows = [["Restriction", f"{_tables(r['targets'], r['scope']) or 'toute l’agence'} : rien n'entre, rien ne sort"]
                for r in self.s["restrictions"]]  # fmt: skip
        said = {True: "autorisé", False: "refusé"}
        rows += [
            ["Sous-traitant", f"{p['name']}{_country(p['country'])}, {p['service']} : {said[p['authorised']]}"]
            for p in self.s["sub_processors"]
        ]
        rows += [
            ["Obligation légale", f"{DUTIES.get(o['duty'], o['duty'])} : {_tables(o['tables'])} ({o['law']})"]
            for o in self.s["obligations"]
        ]
        return self._list("Restrictions, sous-traitants ultérieurs, obligations légales", ("", ""), rows, (30, 144),
                          "Aucun.") if rows else []  # fmt: skip

    def _proofs(self) -> list[Flowable]:
        log, stamps = self.s["log"], self.s["timestamps"]
        hidden = f" ; {log['hidden']} contenus sont retenus par la loi ou détruits" if log["hidden"] else ""
        stamped = f", horodatée {len(stamps)} fois par un tiers" if stamps else ""
        text = (
            f"Chacune des {_number(log['size'])} inscriptions du registre est prise dans une chaîne de preuves signée"
            f"{stamped} : une inscription changée ou retirée se voit, et <b>verify.py</b> le vérifie sans réseau "
            f"(voir README.txt){hidden}."
        )
        return [KeepTogether([Paragraph("Preuves", _SECTION), Paragraph(text, _TEXT)])]

    def _list(
        self, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], none: str,
        right: Sequence[int] | range = (),
    ) -> list[Flowable]:  # fmt: skip
        """A titled list, what matters most last, cut to what is shown."""
        heading = Paragraph(escape(title), _SECTION)
        if not rows:
            return [KeepTogether([heading, Paragraph(escape(none), _TEXT)])]
        kept = rows[-self.shown :]
        cells = [[Paragraph(escape(t), _NUMBER_HEAD if n in right else _HEAD) for n, t in enumerate(heads)]]
        cells += [[Paragraph(escape(t), _NUMBER if n in right else _CELL) for n, t in enumerate(row)] for row in kept]
        if not any(heads):
            del cells[0]
        share = _WIDTH / sum(widths)
        table = Table(cells, [w * share for w in widths], style=_RULED, repeatRows=int(any(heads)), hAlign="LEFT")
        more = len(rows) - len(kept)
        tail = [Paragraph(f"… et {more} autres : voir summary.json.", _SMALL)] if more else []
        return [KeepTogether([heading, Spacer(1, 1 * mm), table, *tail])]


_RULED = TableStyle([
    ("LINEBELOW", (0, 0), (-1, -1), 0.3, _LINE), ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("TOPPADDING", (0, 0), (-1, -1), 1.4), ("BOTTOMPADDING", (0, 0), (-1, -1), 1.8),
    ("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), 3),
])  # fmt: skip


def _scope(i: Mapping[str, Any]) -> str:
    """What an instruction is about, in words."""
    said = [", ".join(system_name(s) for s in i.get("systems", ()))]
    said.append(_tables(i.get("tables") or i.get("targets") or (), str(i.get("scope", ""))))
    said.append("".join(str(i.get(name) or "") for name in ("recipient", "name")))
    return " : ".join(filter(None, said)) or "toute l'agence"


def _tables(names: Sequence[str], scope: str = "") -> str:
    """Words of the model in French; rows are counted, since the log names them by reference only."""
    known = [TABLES.get(n) or QUALITIES.get(n) or n for n in names if not n.startswith("REF-")]
    keyed = sum(n.startswith("REF-") for n in names)
    one, many = ROWS.get(scope, ("ligne", "lignes"))
    counted = f"{keyed} {one if keyed == 1 else many}, par référence"
    return ", ".join([*known, *([counted] if keyed else [])])


def _counted(body: Mapping[str, Any]) -> str:
    return ", ".join(f"{TABLES.get(t, t)} {_number(n)}" for t, n in sorted(body["tables"].items())) or "aucune ligne"


def _country(code: str | None) -> str:
    return f" ({code})" if code else ""


def _number(n: int) -> str:
    return f"{n:,}".replace(",", "\u00a0")


def _date(text: str | None) -> str:
    """A day of Paris in figures; nothing for none."""
    if text is None:
        return ""
    day = date.fromisoformat(text) if len(text) == len("2026-01-14") else read_instant(text).astimezone(PARIS).date()
    return f"{day:%d/%m/%Y}"


def _last_day(text: str | None) -> str:
    """The last day of Paris before an instant: what ends at midnight held until the day before."""
    if text is None:
        return ""
    return f"{(read_instant(text) - timedelta(microseconds=1)).astimezone(PARIS):%d/%m/%Y}"


def _day(day: date) -> str:
    return f"{'1er' if day.day == 1 else day.day} {MONTHS[day.month - 1]} {day.year}"


def _moment(text: str) -> str:
    at: datetime = read_instant(text).astimezone(PARIS)
    return f"{_day(at.date())} à {at.hour} h {at:%M}"
