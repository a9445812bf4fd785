"""The layout and the schema say the same, and nothing in a document is overlooked by accident."""

from importlib.resources import files

import pytest
from lxml import etree

from connectors.login import Login
from connectors.login.layout import Column, SheetSpec, layout, schema
from connectors.login.values import FORMS
from schemas.fields import Kind
from schemas.records import RECORDS

_XS = "{http://www.w3.org/2001/XMLSchema}"
SHEETS = list(layout().sheets.values())
# Read by other means than a column: the key and the action of every object.
_BY_OTHER_MEANS = {"@id", "@action"}
# What the contract does not read (login.md, table of elements).
_NOT_READ = {
    "PersonnePhysique": {"Adresse/CodeInsee", "Telephones/Telephone/@type"},
    "PersonneMorale": {"Adresse/CodeInsee", "Telephones/Telephone/@type"},
    "Indivision": {"Adresse/CodeInsee", "Telephones/Telephone/@type"},
    "Immeuble": {"Adresse/Ligne2", "Adresse/Ligne3", "Adresse/Ligne5", "Adresse/Pays"},
    "Mandat": {"Lots/LotRef/@droit", "Lots/LotRef/@depuis", "Lots/LotRef/@jusqua"},
}


def _schema() -> etree._Element:
    return etree.fromstring((files("connectors") / "layouts" / layout().schema).read_bytes())


def _named(root: etree._Element, kind: str, name: str) -> etree._Element:
    return next(element for element in root.findall(f"{_XS}{kind}") if element.get("name") == name)


def _type_of(root: etree._Element, element: etree._Element) -> etree._Element | None:
    """The complex type of an element, wherever it is written; None for plain text."""
    own = element.find(f"{_XS}complexType")
    if own is not None:
        return own
    return next((t for t in root.findall(f"{_XS}complexType") if t.get("name") == element.get("type")), None)


def _paths(root: etree._Element, element: etree._Element, path: str = "") -> set[str]:
    """Everything that an element may say: `@x` attributes and leaves of text, by their path below the object."""
    kind = _type_of(root, element)
    if kind is None:
        return {path}
    found = {f"{path}/@{a.get('name')}".lstrip("/") for a in kind.iter(f"{_XS}attribute") if _belongs(a, kind)}
    if kind.find(f"{_XS}attributeGroup") is not None:
        found |= _BY_OTHER_MEANS
    if kind.find(f"{_XS}simpleContent") is not None:
        found.add(path)
    for group in ("all", "sequence", "choice"):
        for child in kind.findall(f"{_XS}{group}/{_XS}element"):
            found |= _paths(root, child, f"{path}/{child.get('name')}".lstrip("/"))
    return found


def _belongs(attribute: etree._Element, kind: etree._Element) -> bool:
    return next(attribute.iterancestors(f"{_XS}complexType"), None) is kind


def _read(sheet: SheetSpec) -> set[str]:
    """Everything that a sheet reads, by its path below the object."""
    found = {column.source for column in sheet.columns}
    for container, spec in sheet.lists.items():
        for item in spec.items or ("",):
            base = f"{container}/{item}".rstrip("/")
            found |= {base if value == "." else f"{base}/{value}" for value in spec.values}
    return found


ELEMENTS = [(element, sheet) for sheet in SHEETS for element in sheet.elements]


@pytest.mark.parametrize(("element", "sheet"), ELEMENTS, ids=[element for element, _ in ELEMENTS])
def test_whatever_an_element_may_say_is_read_or_known_not_to_be(element: str, sheet: SheetSpec) -> None:
    root = _schema()
    said = _paths(root, _named(root, "element", element))
    assert said - _read(sheet) - _BY_OTHER_MEANS == _NOT_READ.get(element, set())


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_whatever_a_sheet_reads_some_element_of_it_may_say(sheet: SheetSpec) -> None:
    root = _schema()
    said = set().union(*(_paths(root, _named(root, "element", element)) for element in sheet.elements))
    both = {"Parties/Titulaire/@personne", "Parties/Garant/@ref"} | {
        f"Parties/Garant/@{name}" for name in ("principal", "solidaire", "depuis", "jusqua")
    }  # the two items of Parties share their columns
    assert _read(sheet) - said <= both


def test_every_section_of_the_schema_is_counted_and_every_object_has_a_sheet() -> None:
    root = _schema()
    sections = _named(root, "element", "Envoi").findall(f"{_XS}complexType/{_XS}sequence/{_XS}element")
    names = [section.get("name") for section in sections]
    assert names == ["Agence", *layout().totals.values(), "Totaux"]
    counters = [a.get("name") for a in sections[-1].iter(f"{_XS}attribute")]
    assert counters == list(layout().totals)
    objects = {element.get("ref") for section in sections for element in section.iter(f"{_XS}element")} - {None}
    assert objects == {element for sheet in SHEETS for element in sheet.elements}


@pytest.mark.parametrize("sheet", [sheet for sheet in SHEETS if sheet.record], ids=lambda sheet: sheet.name)
def test_every_column_of_a_record_comes_from_somewhere(sheet: SheetSpec) -> None:
    made = {"person": {"kind", "merged_into"}, "account": {"balance"}}.get(sheet.record, set())
    parts = {"account": {"amount", "sense"}}.get(sheet.record, set())
    fields = {f.name for f in RECORDS[sheet.record].fields}
    assert {column.to for column in sheet.columns} - parts == fields - made


def _wanted(sheet: SheetSpec, column: Column) -> tuple[str, str]:
    return sheet.name, column.to


def test_what_may_not_be_null_is_required() -> None:
    needed = {
        (sheet.name, f.name)
        for sheet in SHEETS
        if sheet.record
        for f in RECORDS[sheet.record].fields
        if not f.nullable and f.name not in ("kind", "balance")
    }
    required = {
        _wanted(sheet, column) for sheet in SHEETS if sheet.record for column in sheet.columns if column.required
    }
    assert required == needed | {("account", "amount"), ("account", "sense")}


def test_damaged_accents_are_looked_for_in_the_columns_of_n3_and_no_other() -> None:
    names = {"last_name", "birth_name", "first_names", "company_name", "label_raw", "city"}
    names |= {f"address_{n}" for n in range(1, 5)}
    expected = {_wanted(s, c) for s in SHEETS for c in s.columns if c.to in names} | {
        ("building", "name"),
        ("document", "label"),
    }
    assert {_wanted(s, c) for s in SHEETS for c in s.columns if c.mojibake} == expected


def test_every_form_and_every_list_is_known() -> None:
    for sheet in SHEETS:
        for column in sheet.columns:
            assert column.form in FORMS or column.form in layout().codes, f"{sheet.name} {column.to}"


@pytest.mark.parametrize(
    ("type_name", "codes"),
    [("Droit", "rights"), ("DroitMembre", "members")],
)
def test_the_closed_lists_are_those_of_the_schema(type_name: str, codes: str) -> None:
    simple = _named(_schema(), "simpleType", type_name)
    assert {e.get("value") for e in simple.iter(f"{_XS}enumeration")} == set(layout().codes[codes])


@pytest.mark.parametrize(("element", "attribute", "codes"), [
    ("Compte", "sens", "senses"), ("Document", "audience", "audiences"), ("Suppression", "motif", "reasons"),
])  # fmt: skip
def test_the_closed_lists_of_attributes_are_those_of_the_schema(element: str, attribute: str, codes: str) -> None:
    declared = _named(_schema(), "element", element).iter(f"{_XS}attribute")
    found = next(a for a in declared if a.get("name") == attribute)
    assert {e.get("value") for e in found.iter(f"{_XS}enumeration")} == set(layout().codes[codes])


def test_the_codes_give_words_that_their_columns_allow() -> None:
    def words(record: str, column: str) -> set[str]:
        field = RECORDS[record].field(column)
        assert field.kind is Kind.ENUM
        return set(field.values)

    codes = layout().codes
    assert set(codes["rights"].values()) < words("co_ownership", "right")
    assert set(codes["members"].values()) < words("person_link", "kind")
    assert set(codes["senses"].values()) == words("sense", "sense")
    assert set(codes["audiences"].values()) == words("document", "audience")
    assert set(codes["titles"].values()) < words("person", "title")
    assert set(layout().kinds.values()) == words("person", "kind")


def test_the_schema_compiles_and_imports_nothing() -> None:
    assert schema() is schema()
    assert list(_schema().iter(f"{_XS}import", f"{_XS}include", f"{_XS}redefine")) == []


def test_an_end_yields_nothing_of_its_own() -> None:
    assert "Suppression" not in Login().yields
