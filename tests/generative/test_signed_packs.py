"""Evidence packs with signatures of passkeys: whoever has every key of the processor and makes log, head and manifest
anew still cannot sign for the agency, and both verifiers say so."""

from collections.abc import Callable

import pytest

from ledger import evidence, fsck_signed
from ledger.entry import KINDS, Entry, Erased, body_of
from ledger.evidence import Papers
from ledger.examine import examine
from ledger.orders import Channel
from ledger.passkeys import Passkeys
from ledger.signatures import Algorithm, Loss, Revoked, Signed
from ledger.standalone.verify import check
from ledger.tree import leaf_hash
from schemas.errors import NotVerified
from tests.generative.test_evidence_tampering import KEY, OTHERS, opened, refused, window
from tests.unit.ledger.orders_made import AT, CODE, synchronise
from tests.unit.ledger.passkeys_made import SoftPasskey

ASKED = synchronise(channel=Channel.PORTAL)
Story = Callable[[SoftPasskey], list[Entry]]


def packed(entries: list[Entry]) -> bytes:
    return evidence.pack(opened(entries), (), Papers(OTHERS), AT, KEY)


def signed(before: list[Entry], passkey: SoftPasskey, entry: Entry = ASKED) -> list[Entry]:
    """These entries, one more, and its signature."""
    leaf = opened([*before, entry]).leaves[-1]
    return [*before, entry, Signed(credential=passkey.id, **passkey.assertion(leaf_hash(leaf)))]


def revoked(passkey: SoftPasskey) -> Revoked:
    return Revoked(agency=CODE, credential=passkey.id, reason=Loss.LOST, recorded_by="gérance", recorded_at=AT)


def of_another_leaf(passkey: SoftPasskey) -> list[Entry]:
    *begin, signature = signed([passkey.enrolled()], passkey)
    return [*begin[:-1], synchronise(channel=Channel.PORTAL, tables=("lot",)), signature]


def counting_back(_: SoftPasskey) -> list[Entry]:
    counting = SoftPasskey(count=5)
    begin = signed([counting.enrolled()], counting)
    counting.count = 5
    return signed(begin, counting, synchronise(again=1))


def slipped_in(passkey: SoftPasskey) -> list[Entry]:
    other = SoftPasskey(number=2)
    return signed([passkey.enrolled(), other.enrolled()], other)


def slipped_in_after_all_were_revoked(passkey: SoftPasskey) -> list[Entry]:
    other = SoftPasskey(number=2)
    return signed([*signed([passkey.enrolled()], passkey), revoked(passkey), other.enrolled()], other)


def come_back(passkey: SoftPasskey) -> list[Entry]:
    return signed([passkey.enrolled(), revoked(passkey), passkey.enrolled()], passkey)


FORGED: dict[str, Story] = {
    "by a passkey that nobody enrolled": lambda p: signed([p.enrolled()], SoftPasskey(number=2)),
    "by no passkey of the log": lambda p: signed([window(1)], p),
    "by one that was slipped in": slipped_in,
    "by one slipped in after all were revoked": slipped_in_after_all_were_revoked,
    "by one that was revoked": lambda p: signed([p.enrolled(), revoked(p)], p),
    "by one that was revoked and came back": come_back,
    "over another leaf": of_another_leaf,
    "behind something that no agency says": lambda p: signed([p.enrolled()], p, window(1)),
    "behind nothing": lambda p: signed([p.enrolled()], p)[2:],
    "twice": lambda p: [*signed([p.enrolled()], p), signed([p.enrolled()], p)[-1]],
    "with a counter that went back": counting_back,
}


def erased() -> Erased:
    return Erased(window(1).register_day, AT, "cd" * 32)


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda a: a.name)
def test_a_pack_with_signatures_holds_by_both(algorithm: Algorithm) -> None:
    passkey, second = SoftPasskey(algorithm), SoftPasskey(number=2)
    story = signed([passkey.enrolled()], passkey, second.enrolled())
    story = signed([*signed(story, second), revoked(passkey)], second, synchronise(again=1))
    raw = packed(story)
    assert refused(raw) == (False, False)
    assert examine(raw).signed == 3
    assert any("3 signatures by passkey" in told for told in check(raw, lang="en"))


@pytest.mark.parametrize("story", FORGED.values(), ids=FORGED.keys())
def test_a_signature_that_was_forged_is_found_by_both_though_everything_was_signed_anew(story: Story) -> None:
    assert refused(packed(story(SoftPasskey()))) == (True, True)


def test_a_passkey_of_a_contract_that_an_erasure_ended_signs_nothing() -> None:
    """The rule alone: a pack with an erasure holds its certificate too."""
    passkey = SoftPasskey()
    made = opened(signed([passkey.enrolled(), erased()], passkey))
    assert len(Passkeys.of(made.history).broken) == 1
    told = [(KINDS[type(e)], body_of(e), h) for e, h in zip(made.history.entries, made.history.leaves, strict=True)]
    with pytest.raises(NotVerified, match="no passkey that stood"):
        fsck_signed.check(told, CODE)


def test_an_enrolment_that_does_not_stand_breaks_nothing_as_long_as_nothing_is_signed_by_it() -> None:
    passkey, other = SoftPasskey(), SoftPasskey(number=2)
    assert refused(packed([*signed([passkey.enrolled()], passkey), other.enrolled()])) == (False, False)
