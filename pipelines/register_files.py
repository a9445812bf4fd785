"""The register of processing as files: JSON whole, CSV for spreadsheets, ODS with a sheet for each processing.

One list of headed texts for each record (`card`) makes a row of the CSV and a sheet of the ODS, so that they cannot
differ. The sheets have the parts of the register that the French authority publishes for processors: processor and
officer, client, categories of processing, transfers, security measures. docs/specs/register.md shows them.
"""

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ledger.canonical import read_instant
from ledger.lines import write_whole
from pipelines.processing_register import words
from schemas.errors import Malformed, Refused
from schemas.ids import system_name

Language = Literal["fr", "en"]
JSON_NAME, ODS_NAME = "register.json", "register.ods"
CSV_NAMES = {"article_30_2": "register-30-2.csv", "article_30_1": "register-30-1.csv"}
NAMES = (JSON_NAME, *CSV_NAMES.values(), ODS_NAME)
FORMATS = ("json", "csv", "ods")
BETWEEN = " | "
# A spreadsheet would compute what begins with one of these.
FORMULA = ("=", "+", "-", "@", "\t", "\r")

# The columns of the list on the first sheet.
LISTED = (
    "id", "agency", "agency_name", "siret", "category", "system", "carried_out", "accepted", "stored", "last_day",
)  # fmt: skip

Part = Literal["article_30_2", "article_30_1"]
Entry = Mapping[str, Any]
Card = list[tuple[str, str, str]]  # section, heading, text


def write(register: Entry, to: Path, formats: Collection[str], language: Language) -> list[Path]:
    """Write the register into a folder, each file whole or not at all; returns them.

    Refused when the folder holds files of a register that this call does not write: two registers would lie mixed, and
    one of them may not be for the same eyes.
    """
    made = _made(register, formats, language)
    strange = [name for name in NAMES if name not in made and (to / name).exists()]
    if strange:
        raise Refused(f"the folder holds {strange[0]} of another register", "Give an empty folder, or move it away.")
    try:
        to.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise Malformed("--to is not a folder", "Give the folder to write to.") from None
    for name, raw in made.items():
        write_whole(to / name, raw)
    return [to / name for name in made]


def _made(register: Entry, formats: Collection[str], language: Language) -> dict[str, bytes]:
    made = {}
    if "json" in formats:
        made[JSON_NAME] = as_json(register)
    if "csv" in formats:
        made |= {CSV_NAMES[part]: as_csv(register, part, language) for part in _parts(register)}
    if "ods" in formats:
        made[ODS_NAME] = as_ods(register, language)
    return made


def _parts(register: Entry) -> Iterator[Part]:
    yield "article_30_2"
    if register["article_30_1"] is not None:
        yield "article_30_1"


# -- one record in headed texts --------------------------------------------------------------------------------------


def cards(register: Entry, part: Part, language: Language) -> list[Card]:
    """Each record of a part, in words."""
    controllers = {c["code"]: c for c in register["article_30_2"]["controllers"]}
    speak = _Speak(register, language)
    return [speak.card(part, r, controllers.get(r["controller"])) for r in register[part]["records"]]


class _Speak:
    def __init__(self, register: Entry, language: Language) -> None:
        self.register = register
        self.tongue = 0 if language == "fr" else 1

    def say(self, part: str, code: str) -> str:
        return words()[part][code][self.tongue]

    def card(self, part: Part, record: Entry, controller: Entry | None) -> Card:
        sections = [("processing", self._processing(record)), (self._who(part), self._operator())]
        if part == "article_30_2":
            assert controller is not None
            sections += [("controller", self._controller(controller))]
        sections += [("categories", self._categories(record))]
        if part == "article_30_2":
            assert controller is not None
            sections += self._of_agency(record, controller)
        else:
            sections += self._of_portal()
        sections += [("measures", [("measures", self._measures())])]
        return [(self.say("section", s), self.say("heading", h), text) for s, texts in sections for h, text in texts]

    def _who(self, part: Part) -> str:
        return "processor" if part == "article_30_2" else "operator"

    def _processing(self, r: Entry) -> list[tuple[str, str]]:
        return [("id", r["id"]), ("category", self.say("processing", r["category"])), ("system", self._system(r)),
                ("at", self.register["at"])]  # fmt: skip

    def _system(self, r: Entry) -> str:
        return system_name(r["system"], ("fr", "en")[self.tongue]) if r["system"] else ""

    def _operator(self) -> list[tuple[str, str]]:
        return [(name, self.register["processor"][name]) for name in ("name", "address", "contact", "dpo")]

    def _controller(self, c: Entry) -> list[tuple[str, str]]:
        return [("agency", c["code"]), ("agency_name", c["name"] or ""), ("siret", c["siret"] or ""),
                ("contract_start", c["contract_start"] or ""), ("contract_end", c["contract_end"] or "")]  # fmt: skip

    def _categories(self, r: Entry) -> list[tuple[str, str]]:
        def told(part: str, codes: Sequence[str]) -> str:
            return BETWEEN.join(self.say(part, c) for c in codes)

        counted = [(o, str(r["deliveries"].get(o, ""))) for o in ("accepted", "refused", "replayed")]
        return [
            ("carried_out", self.say("word", "yes" if r["carried_out"] else "no")),
            ("purposes", told("purpose", r["purposes"])), ("tables", BETWEEN.join(r["tables"])),
            ("data", BETWEEN.join(self._data(c, names) for c, names in r["data"].items())),
            ("persons", told("persons", r["persons"])), *counted,
            ("first_day", r["first_day"] or ""), ("last_day", r["last_day"] or ""),
            ("stored", str(r["lines"].get("stored", ""))),
            ("rows", BETWEEN.join(f"{table} {n}" for table, n in r["rows"].items())),
        ]  # fmt: skip

    def _data(self, category: str, names: Sequence[str]) -> str:
        language = ("fr", "en")[self.tongue]
        labels = dict.fromkeys(self.register["model"][n][language] for n in names)
        return f"{self.say('category', category)} ({'; '.join(labels)})"

    def _of_agency(self, r: Entry, c: Entry) -> list[tuple[str, list[tuple[str, str]]]]:
        return [
            ("instructions", [("ran_under", BETWEEN.join(r["instructions"])),
                              ("instructions", BETWEEN.join(self._instruction(i) for i in c["instructions"]))]),
            ("recipients", [("recipients", BETWEEN.join(r["recipients"])),
                            ("disclosures", BETWEEN.join(self._handed(h) for h in c["handed"])),
                            ("sub_processors", BETWEEN.join(self._engaged(e) for e in c["sub_processors"]))]),
            ("transfers", [("transfers", BETWEEN.join(self._transfer(t) for t in c["transfers"]))]),
            ("retention", [("retention", self.say("rule", "retention_processor")),
                           ("erasures", BETWEEN.join(self._erased(e) for e in c["erasures"]))]),
            ("legal", [("obligations", BETWEEN.join(self._obliged(o) for o in c["obligations"]))]),
        ]  # fmt: skip

    def _of_portal(self) -> list[tuple[str, list[tuple[str, str]]]]:
        return [
            ("recipients", [("recipients", self.say("rule", "recipients_controller"))]),
            ("transfers", [("transfers", self.say("rule", "transfers_none"))]),
            ("retention", [("retention", self.say("rule", "retention_controller"))]),
        ]

    def _instruction(self, i: Entry) -> str:
        until = i["withdrawn_from"] or i["valid_until"] or "…"
        return f"{i['instruction']} {i['reference']} ({self.say('word', i['state'])}; {i['valid_from']} → {until})"

    def _handed(self, h: Entry) -> str:
        rows = ", ".join(f"{table} {n}" for table, n in h["tables"].items())
        country = f", {h['country']}" if h["country"] else ""
        return f"{h['carried_out_at']} {h['recipient']}{country} ({rows})"

    def _engaged(self, e: Entry) -> str:
        told = f"{self.say('word', e['decision'])}, {self.say('word', e['state'])}"
        return f"{e['name']}, {e['country']}, {e['service']} ({told})"

    def _transfer(self, t: Entry) -> str:
        held = f", {self.say('word', 'safeguards')} {t['safeguards']}" if t["safeguards"] else ""
        done = self.say("word", "done" if t["carried_out"] else "not_done")
        return (
            f"{t['recipient']}, {t['country']} ({self.say('word', 'basis')} {t['basis']}{held}; "
            f"{self.say('word', t['state'])}; {' '.join([done, *t['carried_out']])})"
        )

    def _erased(self, e: Entry) -> str:
        late = f" ({self.say('word', 'late_files')})" if e["late_files"] else ""
        return f"{e['carried_out_at']}{late}, {self.say('word', 'certificate')} {e['certificate_sha256']}"

    def _obliged(self, o: Entry) -> str:
        notices = ", ".join(self._noticed(n) for n in o["notices"]) or self.say("word", "untold")
        return f"{o['id']} {o['reference']}: {o['jurisdiction']}, {o['law']}, {o['duty']} ({notices})"

    def _noticed(self, n: Entry) -> str:
        if n["channel"]:
            return f"{self.say('word', 'told')} {n['recorded_at']}"
        word = self.say("word", "sealed" if n["sealed"] else "released")
        return f"{word} {n['released_from']}, {self.say('word', 'law')} {n['prohibition']}"

    def _measures(self) -> str:
        language = ("fr", "en")[self.tongue]
        return BETWEEN.join(f"{m[language]} (art. {m['article']})" for m in self.register["measures"])


# -- the three formats -----------------------------------------------------------------------------------------------


def as_json(register: Entry) -> bytes:
    """In the order of docs/specs/register.md; the same register gives the same bytes."""
    return json.dumps(register, ensure_ascii=False, indent=1).encode() + b"\n"


def as_csv(register: Entry, part: Part, language: Language) -> bytes:
    """A row for each record, for a spreadsheet set to French: UTF-8 with its mark, semicolons."""
    rows = cards(register, part, language)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow([heading for _, heading, _ in (rows[0] if rows else _empty(part, language))])
    writer.writerows([[neutral(text) for _, _, text in card] for card in rows])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def neutral(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def as_ods(register: Entry, language: Language) -> bytes:
    from pipelines.register_sheets import workbook

    say = _Speak(register, language).say
    sheets = [(say("heading", "sheet"), _front(register, language))]
    for part in _parts(register):
        for record, card in zip(register[part]["records"], cards(register, part, language), strict=True):
            title = record["id"].replace("/", " ")
            sheets.append((title, [[say("heading", f"title_{_whose(part)}")], *_sectioned(card)]))
    return workbook(sheets, say("heading", "title_processor"), language, read_instant(register["at"]))


def _whose(part: Part) -> str:
    return "processor" if part == "article_30_2" else "controller"


def _front(register: Entry, language: Language) -> list[list[str]]:
    """The first sheet: who, until when, and the list of all processings."""
    say = _Speak(register, language).say
    rows = [[say("heading", "title_processor")], [say("heading", "at"), register["at"]], []]
    rows += [[say("section", "processor")]]
    rows += [[say("heading", n), register["processor"][n]] for n in ("name", "address", "contact", "dpo")]
    rows += [[], [say("section", "list")], [say("heading", h) for h in LISTED]]
    for part in _parts(register):
        for card in cards(register, part, language):
            told = {heading: text for _, heading, text in card}
            rows.append([told.get(say("heading", h), "") for h in LISTED])
    return rows


def _sectioned(card: Card) -> Iterator[list[str]]:
    """A line for each heading, under the title of its section. What has several parts has a line for each."""
    last = None
    for section, heading, text in card:
        if section != last:
            yield []
            yield [section]
            last = section
        first, *more = text.split(BETWEEN)
        yield [heading, first]
        yield from (["", another] for another in more)


def _empty(part: Part, language: Language) -> Card:
    """Headings of a part without records."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("purposes", "tables", "persons", "instructions", "recipients", "handed", "sub_processors", "transfers",
         "erasures", "obligations"), (),
    ) | {"data": {}, "deliveries": {}, "lines": {}, "rows": {}, "category": "receive"}  # fmt: skip
    unknown = ("id", "system", "carried_out", "first_day", "last_day", "code", "name", "siret", "contract_start",
               "contract_end")  # fmt: skip
    nobody = nothing | dict.fromkeys(unknown, "")
    processor = dict.fromkeys(("name", "address", "contact", "dpo"), "")
    return _Speak({"at": "", "processor": processor, "measures": []}, language).card(part, nobody, nobody)
