"""A log's anchors: two files and an entry that names them, whatever instant the run was stopped at; and the checker
finds whatever was changed."""

import datetime as dt
import hashlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ledger import fsck, lines
from ledger.anchors import Anchors, Asked, Authority as By, is_due, verify_anchored
from ledger.checkpoint import sign_checkpoint
from ledger.deeds import Anchored
from ledger.entry import Head, Window
from ledger.log import Log
from ledger.stored import checkpoint_of
from ledger.timestamp import ask, verify
from schemas.errors import Malformed, NotVerified, TryAgain
from tests.tsa import Authority
from tests.unit.ledger.conftest import AT
from tests.unit.ledger.made import CODE, fsck_keys, keys_at, log_at
from tests.unit.ledger.test_log_crash import DONE, STOPPED, stopped_at


def window(n: int) -> Window:
    return Window(dt.date(2023, 7, 20), None, dt.date(2026, 1, 1) + dt.timedelta(days=n))


def fill(log: Log, count: int) -> Log:
    log.append_all([(window(n), None) for n in range(count)], AT)
    return log


def waiting(root: Path) -> tuple[Anchors, Asked]:
    """A question about a log of three lines that has no answer yet."""
    fill(log_at(root), 3)
    anchors = anchors_of(root)
    asked = anchors.next()
    assert asked is not None
    with anchors.alone():
        anchors.await_answer(asked)
    return anchors, asked


def anchors_of(root: Path) -> Anchors:
    return Anchors(log_at(root), str(keys_at(root).verifier(CODE)))


def anchor(root: Path, by: By, answer: Callable[[bytes], bytes]) -> list[Anchored]:
    """As the pipeline does it."""
    anchors = anchors_of(root)
    with anchors.alone():
        done = anchors.mend(by, AT)
        asked = anchors.next()
        if asked is not None:
            done.append(anchors.record(asked, answer(asked.question.raw), by, AT))
    return done


def names(root: Path) -> list[str]:
    return sorted(p.name for p in anchors_of(root).folder.iterdir())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "tsa")


@pytest.fixture(scope="module")
def by(authority: Authority) -> By:
    return By("autorite-exemple", authority.roots)


def test_an_anchor_is_two_files_and_an_entry_with_their_digests(tmp_path: Path, authority: Authority, by: By) -> None:
    log = fill(log_at(tmp_path), 3)
    checkpoint = log.checkpoint()
    (made,) = anchor(tmp_path, by, authority.answer)
    assert names(tmp_path) == ["3.checkpoint", "3.tsr"]
    folder = anchors_of(tmp_path).folder
    assert (folder / "3.checkpoint").read_bytes() == checkpoint
    assert made.checkpoint_sha256 == hashlib.sha256(checkpoint).hexdigest()
    assert made.response_sha256 == hashlib.sha256((folder / "3.tsr").read_bytes()).hexdigest()
    assert (made.size, made.authority) == (3, "autorite-exemple")
    line = log.read().lines[-1]
    assert (line.number, line.entry, line.key) == (4, made, "anchor:3")
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}


def test_what_is_anchored_already_is_not_stamped_again(tmp_path: Path, authority: Authority, by: By) -> None:
    log = fill(log_at(tmp_path), 3)
    anchor(tmp_path, by, authority.answer)
    before = log.head()
    assert anchor(tmp_path, by, authority.answer) == []
    assert log.head() == before
    fill(log, 1)
    (made,) = anchor(tmp_path, by, authority.answer)
    assert made.size == 5
    assert names(tmp_path) == ["3.checkpoint", "3.tsr", "5.checkpoint", "5.tsr"]
    assert anchor(tmp_path, by, authority.answer) == []


def test_only_something_else_than_anchors_makes_an_anchor_due() -> None:
    def entry(size: int) -> Anchored:
        return Anchored(size=size, checkpoint_sha256="ab" * 32, response_sha256="cd" * 32, authority="a", stamped_at=AT)

    assert not is_due([])
    assert is_due([window(0)])
    assert not is_due([window(0), entry(1)])
    assert is_due([window(0), entry(1), window(1)])
    assert is_due([window(0), window(1), entry(1)]), "recorded while the authority was being asked"
    assert not is_due([window(0), window(1), entry(1), entry(3)])


def test_a_log_without_entries_has_nothing_to_anchor(tmp_path: Path, authority: Authority, by: By) -> None:
    log_at(tmp_path).checkpoint()
    assert anchor(tmp_path, by, authority.answer) == []
    assert names(tmp_path) == []


def test_an_answer_that_is_not_believed_leaves_nothing(tmp_path: Path, authority: Authority, by: By) -> None:
    log = fill(log_at(tmp_path / "home"), 3)
    before = log.head()
    other = Authority(tmp_path / "other")
    answers: list[Callable[[bytes], bytes]] = [
        other.answer, lambda _: b"", lambda q: authority.answer(q)[:-1], lambda _: authority.answer(ask(b"other").raw),
    ]  # fmt: skip
    for answer in answers:
        with pytest.raises(NotVerified):
            anchor(tmp_path / "home", by, answer)
        assert names(tmp_path / "home") == []
        assert log.head() == before


def test_an_authority_has_a_name(authority: Authority) -> None:
    for name in ("", "a\nb", "x" * 101):
        with pytest.raises(Malformed, match="no name"):
            By(name, authority.roots)


# -- stopped -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [False, True], ids=["before", "half-way"])
def test_a_run_that_is_stopped_anywhere_is_completed_by_the_next(
    tmp_path: Path, authority: Authority, by: By, half: bool
) -> None:
    fill(log_at(tmp_path / "made"), 3)
    raw = anchors_of(tmp_path / "made").next()
    assert raw is not None
    answer = authority.answer(raw.question.raw)  # the same for all: nothing here depends on the nonce

    def act(root: Path) -> object:
        anchors = anchors_of(root)
        with anchors.alone():
            return anchors.record(raw, answer, by, AT)

    step, ended = 0, STOPPED
    seen = set()
    while ended == STOPPED:
        step += 1
        root = Path(shutil.copytree(tmp_path / "made", tmp_path / str(step)))
        ended = stopped_at(partial(act, root), step, half, tmp_path / "acknowledged")
        seen.add(tuple(n for n in names(root) if not n.startswith(".")) if anchors_of(root).folder.exists() else ())
        anchor(root, by, authority.answer)
        entries = [e for e in log_at(root).read().entries if isinstance(e, Anchored)]
        assert [e.size for e in entries] == [3]
        assert not is_due(log_at(root).read().entries)
        (checked,) = fsck.check_home(root / "home", fsck_keys(keys_at(root)), authority.trust.read_bytes())
        assert len(checked.anchors) == 1
        shutil.rmtree(root)
    assert (ended, step > 10) == (DONE, True)
    assert seen == {(), ("3.checkpoint",), ("3.checkpoint", "3.tsr")}


def stopped_before_the_entry(root: Path, by: By, answer: Callable[[bytes], bytes]) -> Anchors:
    """What a run leaves that was stopped once its files were on disk."""
    anchors = anchors_of(root)
    asked = anchors.next()
    assert asked is not None
    response = answer(asked.question.raw)
    with anchors.alone(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(Log, "append", _stops)
        with pytest.raises(KeyboardInterrupt):
            anchors.record(asked, response, by, AT)
    return anchors


def _stops(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_was_left_is_named_though_the_log_has_grown_since(tmp_path: Path, authority: Authority, by: By) -> None:
    log = fill(log_at(tmp_path), 3)
    stopped_before_the_entry(tmp_path, by, authority.answer)
    fill(log, 2)
    assert [a.size for a in anchor(tmp_path, by, authority.answer)] == [3, 6]
    assert [type(e).__name__ for e in log.read().entries[5:]] == ["Anchored", "Anchored"]


def test_what_was_left_and_does_not_hold_is_told_and_kept(tmp_path: Path, authority: Authority, by: By) -> None:
    log = fill(log_at(tmp_path), 3)
    folder = stopped_before_the_entry(tmp_path, by, authority.answer).folder
    before = log.head()
    raw = (folder / "3.tsr").read_bytes()
    (folder / "3.tsr").write_bytes(raw[:-1])
    with pytest.raises(NotVerified, match=r"anchors/3.tsr, which the log does not name yet"):
        anchor(tmp_path, by, authority.answer)
    (folder / "3.tsr").write_bytes(raw)
    (folder / "3.checkpoint").rename(folder / "gone")
    with pytest.raises(NotVerified, match=r"anchors/3.checkpoint is missing"):
        anchor(tmp_path, by, authority.answer)
    for name in ("3.tsr", "gone"):
        (folder / name).rename(folder / {"3.tsr": "2.tsr", "gone": "2.checkpoint"}[name])
    with pytest.raises(NotVerified, match=r"anchors/2.checkpoint is of another size"):
        anchor(tmp_path, by, authority.answer)
    assert log.head() == before


def test_a_log_that_was_put_back_to_an_earlier_day_does_not_extend_what_was_left(
    tmp_path: Path, authority: Authority, by: By
) -> None:
    log = fill(log_at(tmp_path), 3)
    earlier = Path(shutil.copytree(log.path, tmp_path / "earlier"))
    fill(log, 2)
    anchor(tmp_path, by, authority.answer)
    shutil.copytree(log.path / "anchors", earlier / "anchors")
    shutil.rmtree(log.path)
    earlier.rename(log.path)
    with pytest.raises(NotVerified, match="the log had 5 leaves and has 3"):
        anchor(tmp_path, by, authority.answer)
    assert names(tmp_path) == ["5.checkpoint", "5.tsr"]


def test_of_two_that_anchor_at_once_the_second_waits(
    tmp_path: Path, authority: Authority, by: By, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(log_at(tmp_path), 3)
    monkeypatch.setattr(lines, "PATIENCE_SECONDS", 0.1)
    with anchors_of(tmp_path).alone(), pytest.raises(TryAgain, match="another process"):
        anchor(tmp_path, by, authority.answer)
    assert [a.size for a in anchor(tmp_path, by, authority.answer)] == [3]


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_a_question_carried_by_hand_waits_for_its_answer(tmp_path: Path, authority: Authority, by: By) -> None:
    log = fill(log_at(tmp_path), 3)
    anchors = anchors_of(tmp_path)
    asked = anchors.next()
    assert asked is not None
    with anchors.alone():
        anchors.await_answer(asked)
    assert names(tmp_path) == ["3.checkpoint", "3.nonce"]
    fill(log, 1)
    answer = authority.answer(asked.question.raw)
    with pytest.raises(NotVerified, match="its nonce is another"):
        anchors.take(3, authority.answer(ask(asked.checkpoint).raw), by, AT)
    assert names(tmp_path) == ["3.checkpoint", "3.nonce"]
    made = anchors.take(3, answer, by, AT)
    assert names(tmp_path) == ["3.checkpoint", "3.tsr"]
    assert anchors.take(3, answer, by, AT) == made
    assert sum(isinstance(e, Anchored) for e in log.read().entries) == 1
    with pytest.raises(NotVerified, match="no question waits"):
        anchors.take(3, authority.answer(asked.question.raw), by, AT)


# -- the checker -------------------------------------------------------------------------------------------------------


@pytest.fixture
def anchored(tmp_path: Path, authority: Authority, by: By) -> Path:
    fill(log_at(tmp_path), 3)
    anchor(tmp_path, by, authority.answer)
    fill(log_at(tmp_path), 1)
    return tmp_path


def check(root: Path, authorities: bytes | None = None) -> fsck.Checked:
    return fsck.check_home(root / "home", fsck_keys(keys_at(root)), authorities)[0]


def test_an_anchor_passes_with_and_without_keys_and_certificates(anchored: Path, authority: Authority) -> None:
    checked = check(anchored)
    assert (checked.lines, len(checked.anchors)) == (5, 1)
    assert check(anchored, authority.trust.read_bytes()) == checked
    assert fsck.check_home(anchored / "home") == (checked,)


@pytest.mark.parametrize("ending", ["checkpoint", "tsr"])
def test_a_file_that_was_changed_or_is_missing_is_found(anchored: Path, ending: str) -> None:
    path = anchors_of(anchored).folder / f"3.{ending}"
    raw = path.read_bytes()
    for at in (0, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :])
        with pytest.raises(NotVerified, match=rf"A0003: anchors/3.{ending} is missing or was changed"):
            check(anchored)
    path.unlink()
    with pytest.raises(NotVerified, match=rf"A0003: anchors/3.{ending} is missing or was changed"):
        check(anchored)


def test_an_authority_that_is_not_trusted_is_found_when_certificates_are_given(anchored: Path, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with pytest.raises(NotVerified, match=r"3.tsr is not signed by an authority that is trusted"):
        check(anchored, other.trust.read_bytes())


def test_an_anchor_of_what_is_no_head_of_the_log_is_found(tmp_path: Path, authority: Authority) -> None:
    """Even where the keys of the log were used to sign it."""
    for n in range(4):
        root = tmp_path / str(n)
        two = fill(log_at(root), 2).head()
        three = fill(log_at(root), 1).head()
        told, head = ((2, Head(2, bytes(32))), (2, Head(2, three.root)), (9, Head(9, three.root)), (3, two))[n]
        _forge(root, told, sign_checkpoint(checkpoint_of(CODE, head), keys_at(root).signer), authority)
        with pytest.raises(NotVerified, match="is not a head that the log had before it was stamped"):
            check(root)


CHANGES = [
    ({"stamped_at": AT}, "states another instant"),
    ({"size": 2}, "is missing or was changed"),
    ({"response_sha256": "00" * 32}, "3.tsr is missing or was changed"),
    ({"checkpoint_sha256": "00" * 32}, "3.checkpoint is missing or was changed"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_an_entry_that_states_something_else_than_its_files_is_found(
    tmp_path: Path, authority: Authority, change: dict[str, object], told: str
) -> None:
    log = fill(log_at(tmp_path), 3)
    _forge(tmp_path, 3, log.checkpoint(), authority, change)
    with pytest.raises(NotVerified, match=told):
        check(tmp_path)


def test_a_timestamp_of_something_else_is_found(tmp_path: Path, authority: Authority) -> None:
    log = fill(log_at(tmp_path), 3)
    _forge(tmp_path, 3, log.checkpoint(), authority, stamps=b"something else")
    with pytest.raises(NotVerified, match=r"3.tsr is not a timestamp over that head"):
        check(tmp_path)


def test_something_that_is_no_timestamp_is_found(tmp_path: Path, authority: Authority) -> None:
    log = fill(log_at(tmp_path), 3)
    _forge(tmp_path, 3, log.checkpoint(), authority, raw=b"no timestamp")
    with pytest.raises(NotVerified, match=r"3.tsr is not a timestamp$"):
        check(tmp_path)


def _forge(
    root: Path,
    size: int,
    checkpoint: bytes,
    authority: Authority,
    changes: dict[str, object] | None = None,
    stamps: bytes | None = None,
    raw: bytes | None = None,
) -> None:
    """An anchor made by hand by someone who has the log's keys and the ear of the authority."""
    response = raw or authority.answer(ask(stamps or checkpoint).raw)
    folder = anchors_of(root).folder
    folder.mkdir()
    (folder / f"{size}.checkpoint").write_bytes(checkpoint)
    (folder / f"{size}.tsr").write_bytes(response)
    stated: dict[str, object] = {
        "size": size,
        "checkpoint_sha256": hashlib.sha256(checkpoint).hexdigest(),
        "response_sha256": hashlib.sha256(response).hexdigest(),
        "authority": "autorite-exemple",
        "stamped_at": AT if raw else verify(response, stamps or checkpoint, authority.roots).stamped_at,
    }
    entry = Anchored(**(stated | (changes or {})))  # type: ignore[arg-type]
    log_at(root).append(entry, AT, f"anchor:{size}")


def test_an_answer_is_taken_for_the_head_that_was_asked_about_alone(
    tmp_path: Path, authority: Authority, by: By
) -> None:
    anchors, asked = waiting(tmp_path)
    for ending in ("checkpoint", "nonce"):
        shutil.copy(anchors.folder / f"3.{ending}", anchors.folder / f"2.{ending}")
    with pytest.raises(NotVerified, match="no question waits"):
        anchors.take(2, authority.answer(asked.question.raw), by, AT)
    assert not any(isinstance(e, Anchored) for e in log_at(tmp_path).read().entries)


def test_what_was_left_is_held_to_the_policy_and_the_nonce_of_its_question(
    tmp_path: Path, authority: Authority, by: By
) -> None:
    anchors, asked = waiting(tmp_path)
    (anchors.folder / "3.tsr").write_bytes(authority.answer(ask(asked.checkpoint).raw))
    with pytest.raises(NotVerified, match="its nonce is another"):
        anchors.mend(by, AT)
    (anchors.folder / "3.tsr").write_bytes(authority.answer(asked.question.raw))
    with pytest.raises(NotVerified, match="another policy"):
        anchors.mend(By(by.name, by.trust, "1.2.3.4"), AT)
    assert [e.size for e in anchors.mend(by, AT)] == [3]


def test_the_log_names_an_answer_together_with_its_head(tmp_path: Path, authority: Authority, by: By) -> None:
    log = fill(log_at(tmp_path), 3)
    (made,) = anchor(tmp_path, by, authority.answer)
    checkpoint, answer = (
        (anchors_of(tmp_path).folder / f"3.{ending}").read_bytes() for ending in ("checkpoint", "tsr")
    )
    history = log.read()
    assert verify_anchored(history, 3, checkpoint, answer) == made
    for size, head, said in ((3, log.checkpoint(), answer), (3, checkpoint, answer + b"x"), (2, checkpoint, answer)):
        with pytest.raises(NotVerified, match="does not name this timestamp"):
            verify_anchored(history, size, head, said)
