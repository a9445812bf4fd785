"""Ten thousand attempts to process without a valid instruction: each is refused, and none reaches the first row read or
written (R46; GDPR 28(3)(a), 29).

Nine ways to have none, each against every door that it can be tried at. After each attempt the shelves and the key
rings are as they were, nothing sealed was opened, and no file of the inbox was.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from connectors.base import Permitted
from ledger.entry import Withdrawal
from schemas.admission import admit
from schemas.capability import Act
from schemas.errors import Refused
from schemas.ids import System
from store.agency import OpenShelf
from store.keep import keep
from store.keys import Keyring
from tests.generative.doors import ATTEMPTED
from tests.generative.test_shelf_model import YIELDS
from tests.generative.without_instruction import (
    ERRAND,
    FIRST,
    NIGHT,
    NOBODY,
    A,
    Watch,
    World,
    arrived,
    furnished,
    instruction,
    of_agency,
)

pytestmark = pytest.mark.files  # the watch looks at files

ATTEMPTS = 10_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with furnished(tmp_path) as w:
        yield w


def test_of_ten_thousand_attempts_without_a_valid_instruction_none_reaches_a_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(world.installation, monkeypatch)
    files = watch.made()
    tried: Counter[tuple[str, str]] = Counter()
    for _, kind in zip(range(ATTEMPTS), cycle(ATTEMPTED), strict=False):
        attempt = world.rng.choice(ATTEMPTED[kind])
        attempt(world)
        tried[kind, attempt.__name__] += 1
        assert watch.look() == watch.before, f"{attempt.__name__} ({kind}) reached something"
    assert tried.total() == ATTEMPTS
    assert {kind for kind, _ in tried} == set(ATTEMPTED)
    assert min(tried.values()) > 50, "every door was tried"
    assert watch.dump() == watch.contents
    assert {name for name in watch.made() - files if not name.startswith("T")} == set()
    watch.close()


def test_the_watch_sees_whoever_may_at_every_door(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same calls with a valid capability pass, and what watches the others notices each."""
    watch = Watch(world.installation, monkeypatch)
    warrant = world.warrants(NIGHT).grant(A, Act.SYNCHRONISE)
    leave = warrant.capability
    delivery = world.a_delivery(A, System.SDGI, NIGHT)
    assert Permitted.of(delivery, leave).under is leave
    assert watch.look() == watch.before
    with Keyring.open(world.home, world.root, leave) as keyring, OpenShelf.open(world.home, keyring, warrant) as shelf:
        assert sum(len(part) for part in shelf.rows("person")) > 0
        assert watch.look()[1] > watch.before[1], "an opened value is noticed"
        assert delivery.path is not None
        delivery.path.read_bytes()
        assert watch.look()[2] > watch.before[2], "an opened file is noticed"
        shelf.db.rollback()
        with shelf.writing() as db:
            db.exec_driver_sql("UPDATE flow SET cursor = cursor")
        assert watch.look()[0] != watch.before[0], "a write is noticed"
        made = of_agency(world.a_reading(), A)
        told = replace(made, deliveries=(replace(arrived(made), name="another"),))
        ((_, report),) = keep(admit(told, [leave.mandate], YIELDS), [shelf], ERRAND)
        assert report is not None
        assert report.outcome == "accepted"
        assert watch.dump() != watch.contents
    watch.close()


def test_from_the_instant_a_withdrawal_is_recorded_no_write_begins(world: World) -> None:
    """Somebody else records it while writes follow one another; the log alone tells."""
    said = instruction(NOBODY)
    log = world.installation.log(NOBODY)
    log.append(said, FIRST)
    warrant = world.warrants(NIGHT).grant(NOBODY, Act.SYNCHRONISE)
    recorded, begun = threading.Event(), threading.Event()

    def withdraw() -> None:
        begun.wait()
        log.append(Withdrawal(said.id, NIGHT, NIGHT), NIGHT)
        recorded.set()

    somebody = threading.Thread(target=withdraw)
    somebody.start()
    written = 0
    with (
        Keyring.open(world.home, world.root, warrant.capability, create=True) as keyring,
        OpenShelf.open(world.home, keyring, warrant, create=True) as shelf,
    ):
        for _ in range(1000):
            too_late = recorded.is_set()
            try:
                with shelf.writing():
                    written += 1
            except Refused:
                break
            assert not too_late
            if written == 3:
                begun.set()
    somebody.join()
    assert recorded.is_set()
    assert 3 <= written < 1000
