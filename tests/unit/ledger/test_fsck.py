"""The checker that shares no code with the writer: what the writer makes passes, whatever was changed is found. Every
single byte of a longer log is changed in test_log_tampering.py."""

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ledger.canonical import canonical, sha256
from ledger.certificate import write
from ledger.checkpoint import sign_checkpoint
from ledger.commitment import commit
from ledger.entry import KINDS, Erased, Head, Window, Withdrawal, body_of
from ledger.fsck import FIELDS, PREFIXES, check_home, check_ledger, check_log
from ledger.leaf import Leaf
from ledger.salts import Salts
from ledger.stored import Stored, checkpoint_of, levels_of, root_of, split
from ledger.tiles import encode_leaf
from ledger.tree import leaf_hash
from schemas.errors import NotVerified
from tests.unit.ledger.conftest import AT, one_of_each
from tests.unit.ledger.made import CODE, fsck_keys, home_at, keys_at, log_at, write_stored
from tests.unit.ledger.test_certificate import KEY, certificate

ORDERS = Path(__file__).parents[2] / "vectors" / "orders-1" / "bodies.jsonl"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one log of every kind of entry and the certificate that it names."""
    log = log_at(tmp_path)
    for entry in one_of_each()[:-1]:
        log.append(entry, AT)
    raw = write(certificate(ledger=log.head()), KEY)
    folder = home_at(tmp_path).certificates
    folder.mkdir()
    (folder / f"{CODE}-20260114.json").write_bytes(raw)
    log.append(Erased(dt.date(2026, 1, 6), AT, sha256(raw)), AT)
    return home_at(tmp_path).root


@pytest.fixture
def keys(home: Path, tmp_path: Path) -> Any:
    return fsck_keys(keys_at(tmp_path))


def test_what_the_writer_makes_passes(home: Path, keys: Any, tmp_path: Path) -> None:
    (checked,) = check_home(home, keys)
    history = log_at(tmp_path).read()
    assert (checked.agency, checked.lines, checked.torn) == (CODE, 5, False)
    assert checked.head == history.head.root.hex()
    assert checked.hashes == tuple(line.hash for line in history.lines)
    assert check_home(home) == (checked,), "without keys as well"


def test_without_keys_changed_content_passes_and_with_them_it_is_found(home: Path, keys: Any) -> None:
    path = home / "ledger" / CODE / "contents"
    path.write_bytes(path.read_bytes().replace(b"2023-07-20", b"2023-07-21"))
    assert check_home(home)[0].lines == 5
    with pytest.raises(NotVerified, match="leaf 2 does not commit to its content"):
        check_home(home, keys)


def test_a_log_put_back_to_an_earlier_day_is_found_by_the_certificate(home: Path, keys: Any, tmp_path: Path) -> None:
    log = log_at(tmp_path)
    stored = Stored.load(log.path)
    contents = stored.contents.splitlines(keepends=True)[:-1]
    leaves = split(stored.entries)[:-1]
    write_stored(log.path, _stored(leaves, b"".join(contents), stored.salts[:-40], tmp_path))
    assert len(log.read().lines) == 4
    with pytest.raises(NotVerified, match="no ledger names this certificate"):
        check_home(home, keys)


def test_a_missing_or_changed_certificate_is_found_by_the_log(home: Path, keys: Any) -> None:
    path = home / "certificates" / f"{CODE}-20260114.json"
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"31", b"30"))
    with pytest.raises(NotVerified, match="missing or was changed"):
        check_home(home, keys)
    path.unlink()
    with pytest.raises(NotVerified, match="missing or was changed"):
        check_home(home, keys)


def test_a_certificate_of_nobodys_is_found(home: Path, keys: Any) -> None:
    (home / "certificates" / "A0001-20260114.json").write_bytes(write(certificate(code_version="0.2.0"), KEY))
    with pytest.raises(NotVerified, match="no ledger names this certificate"):
        check_home(home, keys)


@pytest.mark.parametrize("head", [Head(2, bytes(32)), Head(9, bytes(32)), Head(0, bytes(32))])
def test_a_certificate_made_on_another_log_is_found(home: Path, keys: Any, tmp_path: Path, head: Head) -> None:
    raw = write(certificate(ledger=head), KEY)
    (home / "certificates" / f"{CODE}-20260115.json").write_bytes(raw)
    log_at(tmp_path).append(Erased(dt.date(2026, 1, 6), AT, sha256(raw)), AT)
    with pytest.raises(NotVerified, match="another ledger"):
        check_home(home, keys)


def test_a_log_under_another_name_is_found(home: Path, keys: Any) -> None:
    (home / "ledger" / CODE).rename(home / "ledger" / "A0001")
    with pytest.raises(NotVerified, match="not one of this log"):
        check_home(home, keys)


LEAVES: list[tuple[dict[str, Any], str]] = [
    ({"kind": 2}, "not one of its kind"),
    ({"kind": 99}, "not one of its kind"),
    ({"kind": "4"}, "not of this log in its place"),
    ({"at": "yesterday"}, "does not say when"),
    ({"index": 7}, "not of this log in its place"),
    ({"agency": "A0001"}, "not of this log in its place"),
    ({"commitment": "00" * 32}, "does not commit"),
    ({"more": 1}, "fields of a leaf"),
    ({"version": 2}, "fields of a leaf"),
]


@pytest.mark.parametrize(("change", "told"), LEAVES)
def test_a_whole_log_made_anew_with_the_true_keys_is_held_to_the_same_rules(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    keys_at(tmp_path).begin(CODE)
    body = {"end": None, "register_day": "2026-01-05", "start": "2023-07-20"}
    made = _one_leaf({"body": body, "key": None}, tmp_path)
    write_stored(log_at(tmp_path).path, made[0])
    assert check_log(log_at(tmp_path).path, fsck_keys(keys_at(tmp_path))).lines == 1
    raw = canonical(made[1] | change)
    write_stored(log_at(tmp_path).path, _stored([raw], made[0].contents, made[0].salts, tmp_path))
    with pytest.raises(NotVerified, match=told):
        check_log(log_at(tmp_path).path, fsck_keys(keys_at(tmp_path)))
    with pytest.raises(NotVerified):
        log_at(tmp_path).read()


CONTENTS: list[dict[str, Any]] = [
    {"body": {"end": None, "start": "2023-07-20"}, "key": None},
    {"body": {"end": None, "register_day": "2026-01-05", "start": "2023-07-20", "more": 1}, "key": None},
    {"body": [], "key": None},
    {"body": {"end": None, "register_day": "2026-01-05", "start": "2023-07-20"}},
]


@pytest.mark.parametrize("content", CONTENTS)
def test_content_that_is_not_of_its_kind_is_refused_though_it_is_committed_to(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    keys_at(tmp_path).begin(CODE)
    write_stored(log_at(tmp_path).path, _one_leaf(content, tmp_path)[0])
    with pytest.raises(NotVerified):
        check_log(log_at(tmp_path).path, fsck_keys(keys_at(tmp_path)))
    with pytest.raises(NotVerified):
        log_at(tmp_path).read()


def _one_leaf(content: dict[str, Any], root: Path) -> tuple[Stored, dict[str, Any]]:
    salt = bytes(range(1, 33))
    leaf = Leaf(CODE, 0, AT, 4, commit(salt, 0, content))
    path = root / "salts"
    path.unlink(missing_ok=True)
    Salts(path, keys_at(root).of_salts(CODE)).keep(0, [salt])
    return _stored([leaf.raw], canonical(content) + b"\n", path.read_bytes(), root), json.loads(leaf.raw)


def _stored(raws: list[bytes], contents: bytes, salts: bytes, root: Path) -> Stored:
    """The files of a log with these leaves, signed with its true key."""
    hashes = [leaf_hash(raw) for raw in raws]
    head = Head(len(raws), root_of(hashes))
    checkpoint = sign_checkpoint(checkpoint_of(CODE, head), keys_at(root).signer)
    tiles = tuple(b"".join(row) for row in levels_of(hashes))
    return Stored(b"".join(encode_leaf(raw) for raw in raws), contents, salts, tiles, checkpoint)


def test_a_withdrawal_of_what_was_never_given_is_found(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    log.append(Withdrawal("INS-0000000000", AT, AT), AT)
    with pytest.raises(NotVerified, match="never recorded"):
        check_log(log.path, fsck_keys(keys_at(tmp_path)))


def test_a_leaf_being_written_when_the_machine_stopped_is_told_and_is_no_fault(home: Path, keys: Any) -> None:
    with (home / "ledger" / CODE / "entries").open("ab") as f:
        f.write(b'\x00\xb9{"agency":"A0003","at":"2026-01-')
    (checked,) = check_home(home, keys)
    assert checked.torn
    assert checked.lines == 5


def test_a_leaf_beyond_the_checkpoint_counts_as_it_does_for_the_next_writer(
    home: Path, keys: Any, tmp_path: Path
) -> None:
    folder = home / "ledger" / CODE
    older = (folder / "checkpoint").read_bytes()
    log_at(tmp_path).append(Window(dt.date(2023, 7, 20), None, dt.date(2026, 1, 1)), AT)
    (folder / "checkpoint").write_bytes(older)
    (checked,) = check_home(home, keys)
    assert checked.lines == 6
    assert checked.head == log_at(tmp_path).read().head.root.hex()


def test_every_kind_of_entry_is_known_with_the_fields_that_it_has() -> None:
    bodies = [json.loads(line) for line in ORDERS.read_text().splitlines()]
    assert {b["kind"] for b in bodies} | {1, 2, 3, 4, 5} == set(KINDS.values()) == set(FIELDS)
    for told in bodies:
        assert FIELDS[told["kind"]] == set(told["body"]), told["name"]
    for entry in one_of_each():
        assert FIELDS[KINDS[type(entry)]] == set(body_of(entry))


def test_the_ids_that_it_makes_out_are_those_of_the_entries() -> None:
    told = {json.loads(line)["kind"]: json.loads(line) for line in ORDERS.read_text().splitlines()}
    for kind, prefix in PREFIXES.items():
        if kind > 1:
            assert told[kind]["id"] == f"{prefix}-{sha256(canonical(told[kind]['body']))[:10]}"


# -- version 1 ---------------------------------------------------------------------------------------------------------


def test_a_chain_made_anew_by_hand_is_held_to_the_same_rules(tmp_path: Path) -> None:
    path = tmp_path / f"{CODE}.jsonl"
    header = b'{"agency":"A0003","format":"depositaire-ledger","version":1}'
    changes: list[tuple[dict[str, Any], str]] = [
        ({"kind": 2}, "not one of its kind"),
        ({"kind": 99}, "not one of its kind"),
        ({"at": "yesterday"}, "does not say when"),
        ({"line": 7}, "does not follow"),
        ({"prev": "00" * 32}, "does not follow"),
        ({"body_sha256": "00" * 32}, "digest that the line states"),
        ({"more": 1}, "fields of a line"),
    ]
    for change, told in changes:
        path.write_bytes(rechained(header, one_line() | change))
        with pytest.raises(NotVerified, match=told):
            check_ledger(path)
    path.write_bytes(rechained(header, one_line()))
    assert check_ledger(path).lines == 1
    with path.open("ab") as f:
        f.write(b'{"at":"2026-01-')
    assert check_ledger(path).torn


def one_line() -> dict[str, Any]:
    window = {"end": None, "register_day": "2026-01-05", "start": "2023-07-20"}
    return {"at": "2026-01-05T00:00:00Z", "body": window, "key": None, "kind": 4, "line": 1}


def rechained(header: bytes, line: dict[str, Any]) -> bytes:
    """A ledger of one line whose digests are all right."""
    full = {"prev": hashlib.sha256(header).hexdigest(), "body_sha256": digest(line["body"])} | line
    full["hash"] = digest(full)
    return header + b"\n" + json.dumps(full, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
