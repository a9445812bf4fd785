"""What refuses a whole document, and in which order (login.md "Refusals, in this order")."""

import gzip
from pathlib import Path

import pytest

from connectors.base import Known, Recalled
from connectors.login import Login
from connectors.login.layout import Limits, layout
from connectors.login.proof import instant, unpacked
from schemas.errors import DeliveryRefused
from schemas.frames import Arrived
from tests.connectors.login.document import CURSOR, FIRST, KNOWN, NAME, SECOND, SIRET, delivered, delta, envoi

PERSON = '<PersonnePhysique id="p-1" action="C"><Nom>{}</Nom></PersonnePhysique>'
LATIN = '<?xml version="1.0" encoding="ISO-8859-1"?>'
WINDOWS = "<?xml version='1.0' encoding='Windows-1252'?>"


def refusal(folder: Path, data: str | bytes, known: Known = KNOWN, name: str = NAME, *, packed: bool = True) -> str:
    with pytest.raises(DeliveryRefused) as refused:
        Login().open(delivered(folder, data, name, packed=packed), known)
    return refused.value.reason


def arrived(folder: Path, data: str | bytes, known: Known = KNOWN) -> Arrived:
    return Login().open(delivered(folder, data), known).arrived


# -- gzip -------------------------------------------------------------------------------------------------------------


def _cut(data: bytes) -> bytes:
    return data[:-9]


def _crc(data: bytes) -> bytes:
    return data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]


def _flipped(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 0xFF]) + data[41:]


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(b"", id="an empty file"),
        pytest.param(envoi().encode(), id="not packed"),
        pytest.param(_cut(gzip.compress(envoi().encode())), id="cut before the end"),
        pytest.param(_crc(gzip.compress(envoi().encode())), id="a wrong CRC"),
        pytest.param(_flipped(gzip.compress(envoi().encode())), id="a damaged byte"),
        pytest.param(gzip.compress(envoi().encode()) + b"more", id="something behind it"),
    ],
)
def test_a_file_that_is_not_one_whole_gzip_stream_is_refused(tmp_path: Path, packed: bytes) -> None:
    assert refusal(tmp_path, packed, packed=False) == "login.gzip"


def test_a_stream_in_two_members_is_one_document(tmp_path: Path) -> None:
    text = envoi().encode()
    two = gzip.compress(text[:100]) + gzip.compress(text[100:])
    assert Login().open(delivered(tmp_path, two, packed=False), KNOWN).arrived.name == NAME


# -- bomb -------------------------------------------------------------------------------------------------------------


def test_more_than_a_mebibyte_at_more_than_two_hundred_times_the_size_is_a_bomb(tmp_path: Path) -> None:
    assert refusal(tmp_path, envoi() + " " * (1 << 20)) == "login.bomb"


def test_a_mebibyte_is_no_bomb_however_small_it_was_packed(tmp_path: Path) -> None:
    text = envoi()
    assert arrived(tmp_path, text + " " * ((1 << 20) - len(text.encode()))).name == NAME


def test_a_bomb_is_not_unfolded_beyond_its_limit(tmp_path: Path) -> None:
    """The stream is broken behind the limit: whoever reads on finds that instead."""
    whole = gzip.compress(bytes(8 << 20))
    path = tmp_path / NAME
    path.write_bytes(whole[:-200])
    with pytest.raises(DeliveryRefused) as refused:
        unpacked(path, Limits(decompressed=2 << 20, ratio=10**6, ratio_from=1 << 20, tags=10**6))
    assert refused.value.reason == "login.bomb"


def test_the_limits_are_those_of_the_contract() -> None:
    assert layout().limits == Limits(decompressed=256 << 20, ratio=200, ratio_from=1 << 20, tags=16_000_000)
    assert layout().limits.of(1000) == 1 << 20
    assert layout().limits.of(10_000) == 2_000_000
    assert layout().limits.of(100 << 20) == 256 << 20


# -- declarations and encodings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(envoi().replace("<Envoi", '<!DOCTYPE Envoi SYSTEM "file:///x"><Envoi', 1), id="a doctype"),
        pytest.param(envoi().replace("<Envoi", '<!DOCTYPE Envoi [<!ENTITY a "b">]><Envoi', 1), id="an entity"),
        pytest.param(envoi().replace("<Envoi", "<!-- <!ENTITY --><Envoi", 1), id="in a comment"),
        pytest.param("<!DOCTYPE", id="before anything else is looked at"),
    ],
)
def test_a_document_that_declares_anything_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text) == "login.doctype"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(envoi(PERSON.format("É")).encode("cp1252"), id="UTF-8 said, cp1252 meant"),
        pytest.param(envoi(prolog="").encode() + b"\xff", id="UTF-8 by default"),
        pytest.param(envoi().encode()[:-1] + b"\xe2\x82", id="cut inside a character"),
        pytest.param(envoi(prolog='<?xml version="1.0" encoding="UTF-16"?>').encode("utf-16"), id="UTF-16"),
        pytest.param(envoi(prolog="").encode("utf-16-le"), id="UTF-16 that says nothing"),
        pytest.param(envoi(prolog='<?xml version="1.0" encoding="US-ASCII"?>').encode(), id="another encoding"),
        pytest.param(envoi(prolog='<?xml version="1.0" encoding="ISO-8859-15"?>').encode(), id="a near encoding"),
        pytest.param(envoi(PERSON.format("\x81"), prolog=LATIN).encode("latin-1"), id="a byte that cp1252 has not"),
        pytest.param(envoi(PERSON.format("\x9d"), prolog=WINDOWS).encode("latin-1"), id="nor windows-1252"),
        pytest.param(b"\xef\xbb\xbf" + envoi(prolog=LATIN).encode(), id="a BOM before ISO-8859-1"),
    ],
)
def test_bytes_that_are_not_in_an_accepted_declared_encoding_are_refused(tmp_path: Path, data: bytes) -> None:
    assert refusal(tmp_path, data) == "login.encoding"


@pytest.mark.parametrize(
    ("data", "name", "flags"),
    [
        pytest.param(envoi(PERSON.format("É€")).encode(), "É€", (), id="UTF-8"),
        pytest.param(envoi(PERSON.format("É€"), prolog="").encode(), "É€", (), id="no prolog"),
        pytest.param(b"\xef\xbb\xbf" + envoi(PERSON.format("É€")).encode(), "É€", (), id="UTF-8 with a BOM"),
        pytest.param(envoi(PERSON.format("É"), prolog=LATIN).encode("latin-1"), "É", (), id="ISO-8859-1"),
        pytest.param(
            envoi(PERSON.format("É€"), prolog=LATIN).encode("cp1252"),
            "É€",
            ("encoding_cp1252",),
            id="a prolog that lies",
        ),
        pytest.param(envoi(PERSON.format("É€"), prolog=WINDOWS).encode("cp1252"), "É€", (), id="windows-1252"),
    ],
)
def test_accepted_encodings_are_read_as_the_contract_says(
    tmp_path: Path, data: bytes, name: str, flags: tuple[str, ...]
) -> None:
    connector = Login()
    opened = connector.open(delivered(tmp_path, data), KNOWN)
    assert opened.arrived.flags == flags
    assert connector.read([opened], Recalled()).rows["person"]["last_name"].to_pylist() == [name]


# -- well-formedness, version, schema ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(envoi()[:-8], id="cut before the closing tag"),
        pytest.param(envoi() + "<Envoi/>", id="something behind it"),
        pytest.param("", id="nothing"),
        pytest.param(" " + envoi(), id="a space before the prolog"),
        pytest.param(envoi(PERSON.format("&inconnu;")), id="an entity nobody declared"),
        pytest.param(envoi(PERSON.format("\x00")), id="a NUL"),
        pytest.param(envoi(PERSON.format("&#7;")), id="a control character"),
        pytest.param(envoi(PERSON.format("A & B")), id="a bare ampersand"),
    ],
)
def test_a_document_that_is_not_well_formed_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text) == "login.not_well_formed"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(envoi(namespace="urn:autre:logiciel"), "login.namespace", id="another namespace"),
        pytest.param(envoi(namespace="urn:login:extranet:"), "login.namespace", id="no number"),
        pytest.param("<Envoi/>", "login.namespace", id="no namespace"),
        pytest.param(envoi(namespace="urn:login:extranet:3"), "login.version", id="namespace 3"),
        pytest.param(envoi(version='version="3.0"'), "login.version", id="version 3"),
        pytest.param(envoi(version='version="2"'), "login.version", id="no minor version"),
        pytest.param(envoi(version=""), "login.version", id="no version"),
        pytest.param(envoi("<Lot/>"), "login.schema", id="an attribute is missing"),
        pytest.param(envoi(PERSON.format("") + "<Inconnu/>"), "login.schema", id="an element is unknown"),
        pytest.param(envoi('<Lot id="l-1" action="X"/>'), "login.schema", id="a value is off its list"),
        pytest.param(envoi('<Bail id="ba-1" action="C" effet="2026-02-30"/>'), "login.schema", id="no such day"),
        pytest.param(envoi(PERSON.format("N" * 256)), "login.schema", id="too long"),
        pytest.param(envoi(until="2026-01-05T02:00:00"), "login.schema", id="an instant without offset"),
        pytest.param(envoi(until="12026-01-05T02:00:00Z"), "login.schema", id="an instant beyond four digits"),
        pytest.param(
            '<Lot xmlns="urn:login:extranet:2" version="2.3" id="l-1" action="C"/>', "login.schema", id="another root"
        ),
    ],
)
def test_another_kind_of_document_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    assert refusal(tmp_path, text) == reason


def test_every_version_two_is_read(tmp_path: Path) -> None:
    assert arrived(tmp_path, envoi(version='version="2.10"')).layout == "login-2.3"


def test_a_hint_of_a_schema_somewhere_else_is_not_followed(tmp_path: Path) -> None:
    elsewhere = f'xsi:schemaLocation="urn:login:extranet:2 {(tmp_path / "other.xsd").as_uri()}"'
    (tmp_path / "other.xsd").write_text("not a schema")
    assert arrived(tmp_path, envoi(version=f'version="2.3" {elsewhere}')).name == NAME


# -- agency, totals, window -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "known"),
    [
        pytest.param(envoi(code="A0008"), NAME, KNOWN, id="the code in the document"),
        pytest.param(envoi(code="../../A0009"), NAME, KNOWN, id="a code that is a path"),
        pytest.param(envoi(), NAME.replace("A0009", "A0008"), KNOWN, id="the code in the name"),
        pytest.param(envoi(siret="00000000000000"), NAME, KNOWN, id="the SIRET in the document"),
        pytest.param(envoi(), NAME, Known(siret="91234567800039"), id="the SIRET in the register"),
        pytest.param(envoi(), NAME, Known(), id="no SIRET in the register"),
    ],
)
def test_a_document_of_another_agency_is_refused(tmp_path: Path, text: str, name: str, known: Known) -> None:
    assert refusal(tmp_path, text, known, name) == "agency.mismatch"


@pytest.mark.parametrize("counter", list(layout().totals))
def test_each_total_is_counted(tmp_path: Path, counter: str) -> None:
    assert refusal(tmp_path, envoi(totals={counter: "7"})) == "login.totals_mismatch"


def test_the_three_kinds_of_person_are_counted_together(tmp_path: Path) -> None:
    persons = [f'<{kind} id="p-{kind}" action="C"/>' for kind in ("PersonnePhysique", "PersonneMorale", "Indivision")]
    assert arrived(tmp_path, envoi(*persons, totals={"personnes": "+003"})).name == NAME
    assert refusal(tmp_path, envoi(*persons, totals={"personnes": "1"})) == "login.totals_mismatch"


def test_a_total_with_more_digits_than_a_machine_word_is_only_wrong(tmp_path: Path) -> None:
    assert refusal(tmp_path, envoi(totals={"lots": "1" * 24})) == "login.totals_mismatch"


@pytest.mark.parametrize(
    ("since", "cursor", "reason"),
    [
        pytest.param("2026-01-05T02:00:01+01:00", CURSOR, "login.window_gap", id="a second is missing"),
        pytest.param("2026-01-05T01:00:00+01:00", CURSOR, "login.window_overlap", id="the clock of another zone"),
        pytest.param("2026-01-05T01:59:59.999+01:00", CURSOR, "login.window_overlap", id="a millisecond twice"),
        pytest.param(FIRST, None, "login.window_gap", id="nothing was ever accepted"),
    ],
)
def test_a_delta_that_does_not_follow_the_last_document_is_refused(
    tmp_path: Path, since: str, cursor: str | None, reason: str
) -> None:
    assert refusal(tmp_path, delta(since=since), Known(SIRET, cursor)) == reason


def test_a_delta_that_names_no_beginning_follows_nothing(tmp_path: Path) -> None:
    assert refusal(tmp_path, envoi(mode="delta")) == "login.window_gap"


@pytest.mark.parametrize("since", [FIRST, "2026-01-05T01:00:00Z", "2026-01-04T20:00:00.000-05:00"])
def test_windows_meet_as_instants(tmp_path: Path, since: str) -> None:
    assert arrived(tmp_path, delta(since=since)).cursor == "2026-01-06T01:00:00Z"


@pytest.mark.parametrize("cursor", [None, CURSOR, "2027-01-01T00:00:00Z"])
def test_a_complete_document_is_always_accepted_and_restarts_the_chain(tmp_path: Path, cursor: str | None) -> None:
    assert arrived(tmp_path, envoi(until=SECOND), Known(SIRET, cursor)).cursor == "2026-01-06T01:00:00Z"


def test_the_end_of_a_day_is_the_beginning_of_the_next() -> None:
    assert instant("2026-01-05T24:00:00Z") == instant("2026-01-06T01:00:00+01:00")


# -- order ------------------------------------------------------------------------------------------------------------

# Each fault with the one that comes right after it in the table: the earlier one gives the reason.
_FAULTS_TOGETHER = [
    pytest.param(
        envoi(prolog='<?xml version="1.0" encoding="UTF-7"?><!DOCTYPE x>'), "login.doctype", id="doctype, encoding"
    ),
    pytest.param(envoi(prolog='<?xml version="1.0" encoding="UTF-7"?>')[:-8], "login.encoding", id="encoding, cut"),
    pytest.param(envoi(namespace="urn:x")[:-8], "login.not_well_formed", id="cut, namespace"),
    pytest.param(envoi(namespace="urn:x", version='version="3.0"'), "login.namespace", id="namespace, version"),
    pytest.param(envoi("<Lot/>", version='version="3.0"'), "login.version", id="version, schema"),
    pytest.param(envoi("<Lot/>", code="A0008"), "login.schema", id="schema, agency"),
    pytest.param(envoi(code="A0008", totals={"lots": "1"}), "agency.mismatch", id="agency, totals"),
    pytest.param(envoi(mode="delta", since=SECOND, totals={"lots": "1"}), "login.totals_mismatch", id="totals, window"),
]


@pytest.mark.parametrize(("text", "reason"), _FAULTS_TOGETHER)
def test_the_first_fault_of_the_table_gives_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    assert refusal(tmp_path, text) == reason


def test_no_refusal_repeats_what_the_document_says(tmp_path: Path) -> None:
    """The parser and the schema quote what they dislike: the name of a person, in the worst case."""
    for text in (
        envoi(PERSON.format("<ZORGLUB>")),
        envoi(PERSON.format("ZORGLUB" * 50)),
        envoi(PERSON.format("") + "<ZORGLUB/>"),
    ):
        with pytest.raises(DeliveryRefused) as refused:
            Login().open(delivered(tmp_path, text), KNOWN)
        assert "ZORGLUB" not in str(refused.value)
        assert refused.value.__suppress_context__ or refused.value.__context__ is None
