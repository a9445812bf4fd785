"""What an agency signs: prepared, signed and recorded with one write; which passkeys stand; what counts unsigned."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from ledger import fsck, signing
from ledger.entry import Entry, Erased, Line, Window, Withdrawal
from ledger.instruction_file import Paper
from ledger.log import Log
from ledger.mandate import fold, stand, withdrawable
from ledger.orders import Channel, Decision, Outcome, Restrict, Synchronise
from ledger.passkeys import Passkeys
from ledger.signatures import Loss, Revoked, Signed, SigningRule
from ledger.signing import Prepared
from ledger.tree import leaf_hash
from schemas.errors import Malformed, NotVerified, Refused, TryAgain
from schemas.ids import System
from schemas.mandate import Purpose, RestrictedBy
from tests.unit.ledger import made
from tests.unit.ledger.conftest import instruction
from tests.unit.ledger.orders_made import AT, CODE, GIVEN, answer, engage, erase, infringement, restrict, synchronise
from tests.unit.ledger.passkeys_made import SoftPasskey, later

PORTAL = {"channel": Channel.PORTAL}
AFTER = later(600)


def paper(**changes: Any) -> Paper:
    said = {k: v for k, v in GIVEN.items() if k not in ("agency", "recorded_at")} | PORTAL
    said |= {"systems": (System.SDGI,), "tables": ("*",), "purposes": (Purpose.EXTRANET,)} | changes
    return Paper(Synchronise, said)


def sign(log: Log, passkey: SoftPasskey, prepared: Prepared) -> Line:
    said = passkey.assertion(prepared.leaf_hash)
    return signing.record(log, prepared, passkey.id, said, prepared.at + dt.timedelta(minutes=1))


def sign_entry(log: Log, passkey: SoftPasskey, entry: Entry, at: dt.datetime = AT) -> Line:
    """Any entry that an agency may say, signed."""
    history = log.read()
    foreseen = log.foresee(history.head, entry, at, None)
    return sign(log, passkey, Prepared(CODE, entry, None, at, history.head, foreseen))


@pytest.fixture
def passkey(log: Log) -> SoftPasskey:
    one = SoftPasskey()
    signing.enrol(log, one.enrolled(), AT)
    return one


def grants(log: Log, at: dt.datetime = AFTER) -> list[str]:
    return [g.instruction for g in fold(log.read(), at).grants]


def conflicts(log: Log) -> list[tuple[str, tuple[str, ...]]]:
    return [(c.code, c.ids) for c in fold(log.read(), AFTER).conflicts]


# -- two steps ---------------------------------------------------------------------------------------------------------


def test_a_signed_instruction_is_in_force_and_every_checker_finds_who_signed(
    log: Log, passkey: SoftPasskey, tmp_path: Path
) -> None:
    prepared = signing.prepare(log, paper(), AT)
    line = sign(log, passkey, prepared)
    assert line.hash == prepared.leaf_hash.hex()
    assert grants(log) == [line.entry.id]  # type: ignore[union-attr]
    history = log.read()
    assert stand(history, AFTER).signers == {line.entry.id: passkey.id}  # type: ignore[union-attr]
    assert [type(e).__name__ for e in history.entries] == ["Enrolled", "Synchronise", "Signed"]
    checked = fsck.check_log(log.path, made.fsck_keys(made.keys_at(tmp_path)))
    assert checked.signatures == 1


def test_nothing_is_written_before_the_signature(log: Log, passkey: SoftPasskey) -> None:
    before = log.files()
    signing.prepare(log, paper(), AT)
    assert log.files() == before


def test_what_was_prepared_is_the_leaf_that_is_written_byte_for_byte(log: Log, passkey: SoftPasskey) -> None:
    prepared = signing.prepare(log, paper(), AT)
    sign(log, passkey, prepared)
    stored = log.files()
    assert prepared.foreseen.leaf in stored.entries
    assert prepared.foreseen.content in stored.contents.split(b"\n")


def test_a_log_that_grew_meanwhile_asks_for_another_signature(log: Log, passkey: SoftPasskey) -> None:
    prepared = signing.prepare(log, paper(), AT)
    log.append(Window(dt.date(2023, 7, 20), None, dt.date(2026, 1, 5)), AT)
    size = log.head().size
    with pytest.raises(TryAgain, match="grown"):
        sign(log, passkey, prepared)
    assert log.head().size == size
    sign(log, passkey, signing.prepare(log, paper(), AT))


def test_a_leaf_that_was_prepared_is_signed_within_ten_minutes(log: Log, passkey: SoftPasskey) -> None:
    prepared = signing.prepare(log, paper(), AT)
    said = passkey.assertion(prepared.leaf_hash)
    for now in (AT + signing.PATIENCE + dt.timedelta(seconds=1), AT - dt.timedelta(seconds=1)):
        with pytest.raises(TryAgain, match="too old"):
            signing.record(log, prepared, passkey.id, said, now)


def test_a_signature_of_another_leaf_or_of_another_passkey_is_refused_and_nothing_is_written(
    log: Log, passkey: SoftPasskey
) -> None:
    prepared = signing.prepare(log, paper(), AT)
    other = signing.prepare(log, paper(tables=("lot",)), AT)
    stranger = SoftPasskey(number=2)
    size = log.head().size
    tries = [
        (passkey.id, passkey.assertion(other.leaf_hash)),
        (passkey.id, stranger.assertion(prepared.leaf_hash)),
        (stranger.id, stranger.assertion(prepared.leaf_hash)),
    ]
    for credential, said in tries:
        with pytest.raises(NotVerified):
            signing.record(log, prepared, credential, said, AT)
    for wrong in ({}, passkey.assertion(prepared.leaf_hash) | {"more": "AA"}):
        with pytest.raises(Malformed, match="three parts"):
            signing.record(log, prepared, passkey.id, wrong, AT)
    assert log.head().size == size


def test_the_same_is_not_signed_twice(log: Log, passkey: SoftPasskey) -> None:
    line = sign(log, passkey, signing.prepare(log, paper(), AT))
    with pytest.raises(Refused, match="already"):
        signing.prepare(log, paper(), AT)
    withdrawal = signing.prepare_withdrawal(log, line.entry.id, later(5))  # type: ignore[union-attr]
    sign(log, passkey, withdrawal)
    assert grants(log) == []
    with pytest.raises(Refused, match="already"):
        signing.prepare_withdrawal(log, line.entry.id, later(6))  # type: ignore[union-attr]


def test_a_text_that_somebody_recorded_without_its_signature_can_still_be_signed(
    log: Log, passkey: SoftPasskey
) -> None:
    log.append(synchronise(**PORTAL, systems=(System.SDGI,)), AT)
    line = sign(log, passkey, signing.prepare(log, paper(), AT))
    assert grants(log) == [line.entry.id]  # type: ignore[union-attr]


def test_an_acknowledgement_is_recorded_behind_the_signature(log: Log, passkey: SoftPasskey) -> None:
    said = paper()
    sign(log, passkey, signing.prepare(log, Paper(said.kind, said.values, "AR-2026-7"), AT))
    kinds = [type(e).__name__ for e in log.read().entries]
    assert kinds == ["Enrolled", "Synchronise", "Signed", "Acknowledgement"]


# -- which passkeys stand ----------------------------------------------------------------------------------------------


def test_the_first_passkey_stands_unsigned_and_every_other_needs_a_signature(log: Log, passkey: SoftPasskey) -> None:
    second = SoftPasskey(number=2)
    with pytest.raises(Refused, match="stands for this agency"):
        signing.enrol(log, second.enrolled(), AT)
    sign(log, passkey, signing.prepare_enrolment(log, second.enrolled(), AT))
    assert set(Passkeys.of(log.read()).now.passkeys) == {passkey.id, second.id}
    sign(log, second, signing.prepare(log, paper(), AT))
    assert len(grants(log)) == 1


def test_a_passkey_that_an_operator_slipped_in_signs_nothing(log: Log, passkey: SoftPasskey) -> None:
    slipped = SoftPasskey(number=2)
    log.append(slipped.enrolled(), AT)
    with pytest.raises(NotVerified, match="no such passkey"):
        sign(log, slipped, signing.prepare(log, paper(), AT))
    forged(log, slipped, synchronise(**PORTAL))
    assert grants(log) == []
    assert [code for code, _ in conflicts(log)] == ["not_signed"]


def forged(log: Log, passkey: SoftPasskey, entry: Entry) -> None:
    """Whoever has the keys of the log writes an entry with a signature of their own."""
    foreseen = log.foresee(log.read().head, entry, AT, None)
    said = passkey.assertion(leaf_hash(foreseen.leaf))
    items: list[tuple[Entry, str | None]] = [(entry, None), (Signed(credential=passkey.id, **said), None)]
    log.append_all(items, AT, foreseen=foreseen)


def test_revoking_every_passkey_lets_nobody_enrol_another_once_one_has_signed(log: Log, passkey: SoftPasskey) -> None:
    sign(log, passkey, signing.prepare(log, paper(), AT))
    signing.revoke(log, passkey.id, Loss.LOST, "exploitant", AT)
    with pytest.raises(Refused, match="has signed"):
        signing.enrol(log, SoftPasskey(number=2).enrolled(), AT)
    log.append(SoftPasskey(number=2).enrolled(), AT)
    assert Passkeys.of(log.read()).now.passkeys == {}
    assert len(grants(log)) == 1, "what was signed before stays signed"


def test_a_first_passkey_that_never_signed_can_be_replaced(log: Log, passkey: SoftPasskey) -> None:
    signing.revoke(log, passkey.id, Loss.REPLACED, "exploitant", AT)
    with pytest.raises(Refused, match="enrolled before"):
        signing.enrol(log, passkey.enrolled(), AT)
    second = SoftPasskey(number=2)
    signing.enrol(log, second.enrolled(), AT)
    assert set(Passkeys.of(log.read()).now.passkeys) == {second.id}


def test_a_revoked_passkey_signs_nothing_more_and_may_sign_its_own_revocation(log: Log, passkey: SoftPasskey) -> None:
    prepared = signing.prepare(log, paper(), AT)
    gone = Revoked(agency=CODE, credential=passkey.id, reason=Loss.LEFT, recorded_by="gérance", recorded_at=AT)
    sign_entry(log, passkey, gone)
    assert not Passkeys.of(log.read()).broken
    with pytest.raises(TryAgain):
        sign(log, passkey, prepared)
    with pytest.raises(NotVerified, match="no such passkey"):
        sign(log, passkey, signing.prepare(log, paper(), AT))
    with pytest.raises(Refused, match="no such passkey"):
        signing.revoke(log, passkey.id, Loss.LOST, "exploitant", AT)


def test_an_erasure_ends_passkeys_and_the_rule_with_the_contract(log: Log, passkey: SoftPasskey) -> None:
    signing.demand(log, "gérance", AT)
    sign(log, passkey, signing.prepare(log, paper(), AT))
    log.append(Erased(dt.date(2026, 1, 6), later(30), "cd" * 32, late_files=True), later(30))
    assert Passkeys.of(log.read()).now.passkeys
    log.append(Erased(dt.date(2026, 1, 6), later(30), "cd" * 32), later(30))
    now = Passkeys.of(log.read()).now
    assert (now.passkeys, now.used, now.required) == ({}, False, False)


def test_a_counter_that_goes_back_is_refused_by_the_log_too(log: Log) -> None:
    counting = SoftPasskey(count=5)
    signing.enrol(log, counting.enrolled(), AT)
    sign(log, counting, signing.prepare(log, paper(), AT))
    counting.count = 5
    with pytest.raises(NotVerified, match="went back"):
        sign(log, counting, signing.prepare(log, paper(tables=("lot",)), AT))


# -- what counts unsigned ----------------------------------------------------------------------------------------------


def test_what_comes_by_the_portal_without_a_signature_allows_nothing_and_still_restricts(log: Log) -> None:
    allowed, closed = synchronise(**PORTAL), restrict(RestrictedBy.TABLE, ("lot",), **PORTAL)
    out = engage(Decision.OBJECT, **PORTAL)
    for entry in (instruction(), allowed, closed, erase("document", **PORTAL), out):
        log.append(entry, AT)
    now = fold(log.read(), AFTER)
    assert [g.instruction for g in now.grants] == [instruction().id]
    assert [r.instruction for r in now.restrictions] == [closed.id]
    assert now.withheld == {"document"}
    assert now.tasks == (), "nobody's order is carried out"
    assert [s.authorised for s in now.sub_processors] == [False]
    assert {c.code for c in now.conflicts} == {"not_signed"}
    assert stand(log.read(), AFTER).unsigned >= {allowed.id, closed.id}


def test_once_only_what_is_signed_counts_nothing_unsigned_that_comes_later_allows_anything(
    log: Log, passkey: SoftPasskey
) -> None:
    before = instruction()
    log.append(before, AT)
    signing.demand(log, "gérance", AT)
    late: list[Entry] = [
        synchronise(systems=(System.LOGIN,)),
        instruction(again=1),
        synchronise(recorded_at=AT, again=7),
    ]
    for entry in late:
        log.append(entry, AT)
    assert grants(log) == [before.id], "however early it says that it was recorded"
    line = sign(log, passkey, signing.prepare(log, paper(), AT))
    assert set(grants(log)) == {before.id, line.entry.id}  # type: ignore[union-attr]
    log.append(Withdrawal(before.id, later(1), later(1)), AT)
    assert grants(log) == [line.entry.id], "a withdrawal needs no signature"  # type: ignore[union-attr]


def test_the_rule_is_lifted_by_a_signature_only(log: Log, passkey: SoftPasskey) -> None:
    signing.demand(log, "gérance", AT)
    lifted = SigningRule(agency=CODE, required=False, given_by="gérance", recorded_at=AT)
    log.append(lifted, AT)
    log.append(synchronise(), AT)
    assert grants(log) == []
    sign(log, passkey, signing.prepare_rule(log, lifted, AT))
    later_one = synchronise(again=1)
    log.append(later_one, AT)
    assert grants(log) == [later_one.id]


@pytest.mark.parametrize("rule", [False, True], ids=["free", "only what is signed counts"])
@pytest.mark.parametrize("closed_by_signature", [False, True], ids=["closed by letter", "closed by a signature"])
@pytest.mark.parametrize("opened_by_signature", [False, True], ids=["opened by letter", "opened by a signature"])
@pytest.mark.parametrize("how", ["withdrawn", "replaced", "given up"])
def test_what_a_signature_closed_only_a_signature_opens(
    log: Log, passkey: SoftPasskey, rule: bool, closed_by_signature: bool, opened_by_signature: bool, how: str
) -> None:
    def say(entry: Entry, signed: bool) -> None:
        if signed:
            sign_entry(log, passkey, entry)
        else:
            log.append(entry, AT)

    closed = restrict(RestrictedBy.TABLE, ("lot",))
    say(closed, closed_by_signature)
    if rule:
        signing.demand(log, "gérance", AT)
    opens = not (rule or closed_by_signature) or opened_by_signature
    assert opened_by_signature or withdrawable(log.read(), closed.id) == opens
    if how == "withdrawn":
        say(Withdrawal(closed.id, later(1), later(1)), opened_by_signature)
    elif how == "replaced":
        say(restrict(RestrictedBy.TABLE, ("document",), supersedes=(closed.id,)), opened_by_signature)
    else:
        told = infringement(closed.id)
        log.append(told, AT)
        say(answer(told.id, Outcome.WITHDRAWN), opened_by_signature)
    restricted = {t for r in fold(log.read(), AFTER).restrictions for t in r.targets}
    assert ("lot" not in restricted) == opens


def test_an_answer_by_the_portal_without_a_signature_maintains_nothing(log: Log, passkey: SoftPasskey) -> None:
    given = instruction()
    told = infringement(given.id)
    log.append(given, AT)
    log.append(told, AT)
    log.append(answer(told.id, Outcome.MAINTAINED, **PORTAL), AT)
    assert grants(log) == []
    sign_entry(log, passkey, answer(told.id, Outcome.MAINTAINED, **PORTAL))
    assert grants(log) == [given.id]


# -- whoever writes the log by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["behind nothing", "behind a window", "twice", "of another leaf", "of a stranger"])
def test_a_signature_that_holds_for_nothing_is_found(log: Log, passkey: SoftPasskey, what: str, tmp_path: Path) -> None:
    window = Window(dt.date(2023, 7, 20), None, dt.date(2026, 1, 5))
    match what:
        case "behind nothing":
            log.append(window, AT)
            log.append(Signed(credential=passkey.id, **passkey.assertion(bytes(32))), AT)
        case "behind a window":
            forged(log, passkey, window)
        case "twice":
            line = sign(log, passkey, signing.prepare(log, paper(), AT))
            log.append(Signed(credential=passkey.id, **passkey.assertion(bytes.fromhex(line.hash))), AT)
        case "of another leaf":
            log.append(synchronise(**PORTAL), AT)
            log.append(Signed(credential=passkey.id, **passkey.assertion(bytes(32))), AT)
        case _:
            forged(log, SoftPasskey(number=2), synchronise(**PORTAL))
    assert len(Passkeys.of(log.read()).broken) == 1
    with pytest.raises(NotVerified, match="leaf"):
        fsck.check_log(log.path, made.fsck_keys(made.keys_at(tmp_path)))


def test_restrictions_are_signed_like_everything_else(log: Log, passkey: SoftPasskey) -> None:
    said = {k: v for k, v in GIVEN.items() if k not in ("agency", "recorded_at")} | PORTAL
    line = sign(
        log, passkey, signing.prepare(log, Paper(Restrict, said | {"scope": RestrictedBy.AGENCY, "targets": ()}), AT)
    )
    assert [r.instruction for r in fold(log.read(), AFTER).restrictions] == [line.entry.id]  # type: ignore[union-attr]
    assert conflicts(log) == []
