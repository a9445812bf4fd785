"""Sheets of texts as an OpenDocument spreadsheet (ISO/IEC 26300): two widths, bold titles, no formula."""

import io
import re
from collections.abc import Sequence
from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

from odfdo import Document, Element, Style

BOLD, WRAPPED = "depositaire-bold", "depositaire-wrapped"
WIDTHS = ("6cm", "14cm")
Sheet = tuple[str, Sequence[Sequence[str]]]

# What XML 1.0 cannot hold.
_UNWRITABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def workbook(sheets: Sequence[Sheet], title: str, language: str, at: datetime) -> bytes:
    """The bytes of a workbook. Every cell is a text: what looks like a formula or a number stays as it is written.

    A row of one cell is a title. Names of sheets are given without the signs that spreadsheets refuse.
    """
    document = Document("spreadsheet")
    document.meta.title = title
    document.meta.language = "fr-FR" if language == "fr" else "en-GB"
    document.meta.creation_date = at
    document.meta.generator = "depositaire"
    _styles(document)
    body = document.body
    body.clear()
    for name, rows in sheets:
        # One piece of XML for a sheet: cell by cell, a workbook of some hundred sheets takes minutes.
        body.append(Element.from_tag(_table(name, rows)))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _styles(document: Document) -> None:
    bold = Style("table-cell", name=BOLD)
    bold.set_properties({"fo:font-weight": "bold"}, area="text")
    wrapped = Style("table-cell", name=WRAPPED)
    wrapped.set_properties({"fo:wrap-option": "wrap", "style:vertical-align": "top"}, area="table-cell")
    for style in (bold, wrapped):
        document.insert_style(style, automatic=True)
    for number, width in enumerate(WIDTHS):
        document.insert_style(Style("table-column", name=_width(number), width=width), automatic=True)


def _width(number: int) -> str:
    return f"depositaire-width-{number}"


def _table(name: str, rows: Sequence[Sequence[str]]) -> str:
    columns = "".join(f'<table:table-column table:style-name="{_width(n)}"/>' for n in range(len(WIDTHS)))
    return f"<table:table table:name={quoteattr(name)}>{columns}{''.join(map(_row, rows))}</table:table>"


def _row(cells: Sequence[str]) -> str:
    style = BOLD if len(cells) == 1 else WRAPPED
    return f"<table:table-row>{''.join(_cell(text, style) for text in cells or ('',))}</table:table-row>"


def _cell(text: str, style: str) -> str:
    if not text:
        return "<table:table-cell/>"
    said = escape(_UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text))
    attributes = f'office:value-type="string" table:style-name="{style}"'
    return f"<table:table-cell {attributes}><text:p>{said}</text:p></table:table-cell>"
