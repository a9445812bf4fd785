"""prov.json of an evidence pack: PROV that another's library reads, with everything that the log tells."""

import io
import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from prov.model import ProvDocument, ProvRecord

from ledger import evidence
from ledger.entry import Erased, Receipt
from ledger.keys import LogKeys
from schemas.home import Home
from store.keys import open_root
from tests import engines
from tests.functional.cli.conftest import Desk, plainly
from tests.functional.cli.test_evidence import log_of, packed
from tests.functional.test_canary import marks, written

AT = "2026-01-15"


@pytest.fixture(scope="module")
def left(_first_night: tuple[Path, object], tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A home after a night, an export and the erasure of A0003."""
    root = engines.copied(_first_night[0], tmp_path_factory.mktemp("provenance") / "copy")
    desk = Desk(root)
    with pytest.MonkeyPatch.context() as surroundings:
        plainly(surroundings)
        assert desk("export", "--agency", "A0003", "--to", root / "given", "--at", "2026-01-10").code == 0
        assert desk("retention", "run", "--at", "2026-01-14").code == 0
    return desk


def members(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def read(raw: bytes) -> ProvDocument:
    return ProvDocument.deserialize(io.StringIO(members(raw)["prov.json"].decode()), format="json")


def of_type(document: ProvDocument, kind: str) -> list[ProvRecord]:
    return [r for r in document.get_records() if any(str(t) == f"dep:{kind}" for t in r.get_asserted_types())]


def related(document: ProvDocument, relation: str) -> list[tuple[str, ...]]:
    found = [r for r in document.get_records() if r.get_type().localpart == relation]
    return [tuple(str(v) for _, v in r.formal_attributes) for r in found]


def test_the_library_of_prov_reads_it_and_every_relation_is_between_what_is_there(left: Desk, tmp_path: Path) -> None:
    for agency in ("A0001", "A0003"):
        document = read(packed(left, agency, tmp_path / "p.zip", AT))
        things = {str(r.identifier) for r in document.get_records() if r.is_element()}
        relations = [r for r in document.get_records() if r.is_relation()]
        assert len(things) > 10
        assert len(relations) > 20
        for r in relations:
            ends = {str(v) for k, v in r.formal_attributes if v is not None and not str(k).endswith("ime")}
            assert ends <= things, r
        again = ProvDocument.deserialize(io.StringIO(document.serialize(format="json")), format="json")
        assert again == document


def test_it_tells_every_delivery_run_and_erasure_of_the_log(left: Desk, tmp_path: Path) -> None:
    entries = log_of(left, "A0003").read().entries
    kinds = Counter(type(e) for e in entries)
    document = read(packed(left, "A0003", tmp_path / "p.zip", AT))
    assert len(of_type(document, "Delivery")) == len(of_type(document, "Synchronisation")) == kinds[Receipt] > 0
    assert len(of_type(document, "Handing")) == 1
    assert len(of_type(document, "Erasure")) == len(of_type(document, "Certificate")) == kinds[Erased] == 1
    (instruction,) = of_type(document, "Instruction")
    assert (str(instruction.identifier), "dep:agency") in related(document, "Attribution")
    plans = [ends for ends in related(document, "Association") if ends[2] == str(instruction.identifier)]
    assert len(plans) == kinds[Receipt]
    tables = {str(r.identifier) for r in of_type(document, "Table")}
    (erasure,) = of_type(document, "Erasure")
    gone = {ends[0] for ends in related(document, "Invalidation") if ends[1] == str(erasure.identifier)}
    assert gone == tables
    assert "dep:table-contact-1" in tables


def test_the_same_facts_give_the_same_provenance(left: Desk, tmp_path: Path) -> None:
    first, second = (members(packed(left, "A0001", tmp_path / f"{n}.zip", AT))["prov.json"] for n in (1, 2))
    assert first == second


def sealed_again(desk: Desk, raw: bytes, name: str, content: bytes | None) -> bytes:
    """The pack with another file, or without it, signed by whoever has the key."""
    home = Home.at(desk.home)
    files = members(raw)
    head = {k: v for k, v in json.loads(files["manifest.json"]).items() if k not in ("format", "version", "files")}
    kept = {n: v for n, v in files.items() if not n.startswith("manifest.") and n != name}
    key = LogKeys(home, open_root(home)).signer
    return evidence.sealed(head, kept | ({name: content} if content is not None else {}), key)


@pytest.mark.parametrize("was", ["sync.sdgi", "dep:table-person-1", '"dep:version": 1', "dep:INS-"])
def test_a_provenance_that_says_something_else_than_the_log_is_refused(left: Desk, tmp_path: Path, was: str) -> None:
    raw = packed(left, "A0001", tmp_path / "p.zip", AT)
    changed = members(raw)["prov.json"].replace(was.encode(), was[:-1].encode() + b"9")
    assert changed != members(raw)["prov.json"]
    (tmp_path / "changed.zip").write_bytes(sealed_again(left, raw, "prov.json", changed))
    said = left("verify", tmp_path / "changed.zip")
    if was == '"dep:version": 1':
        assert said.code == 0  # another version counts otherwise; what was signed is signed
    else:
        assert (said.code, "prov.json does not say what the log says" in said.out + said.err) == (1, True)


def test_a_pack_of_before_there_was_provenance_still_holds(left: Desk, tmp_path: Path) -> None:
    raw = packed(left, "A0001", tmp_path / "p.zip", AT)
    (tmp_path / "old.zip").write_bytes(sealed_again(left, raw, "prov.json", None))
    assert left("verify", tmp_path / "old.zip").code == 0


def test_no_value_of_anybody_is_in_it(left: Desk, tmp_path: Path) -> None:
    raw = members(packed(left, "A0001", tmp_path / "p.zip", AT))["prov.json"]
    values = marks("A0001")
    assert len(values) > 200
    assert [v for v in values if any(form in raw for form in written(v))] == []
