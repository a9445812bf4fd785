"""An inbox in an object store gives what a folder gives; what goes wrong with it costs only what it concerns."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines import crew, nightly, objects, sync
from pipelines.inbox import Afar, at_hand
from pipelines.objects import NotAllowed, Unanswered
from schemas.ids import AgencyCode, System
from schemas.inbox import Bucket
from schemas.report import Report
from tests.functional.conftest import DAYS, RUN, SAMPLES, Installation, Quiet, noon
from tests.object_store import KEY, SECRET, Server, connected

INBOX = Bucket("arrivees", "nuit/inbox")
IN_FILES = (System.SDGI, System.GPI, System.LOGIN)
DAY = DAYS[0]


@pytest.fixture(scope="module")
def started() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def server(started: Server) -> Server:
    started.reset()
    started.lax()
    started.client().create_bucket(Bucket=INBOX.name)
    return started


def furnish(i: Installation, server: Server) -> None:
    i.load_register(SAMPLES / "agencies" / f"AGENCES_{DAY.replace('-', '')}.csv")
    for agency in ("A0001", "A0002", "A0003"):
        i.instruct(agency)
    server.access(i.home)


def settled(i: Installation, night: sync.Night) -> list[dict[str, Any]]:
    agencies = sync.registered(i.home)
    reports = [r for s in night.systems for r in sync.settle(night, s, agencies, Quiet(), RUN)]
    reports += sync.settle_portal(night, Quiet(), RUN)
    return [r.as_json() for r in [*reports, *sync.strangers(night)]]


def night(i: Installation, day: str = DAY) -> sync.Night:
    return sync.Night(i.home, noon(day), INBOX, IN_FILES)


def told(reports: list[dict[str, Any]]) -> dict[str, tuple[str, str | None]]:
    return {r["delivery"]: (r["outcome"], r["reason"]) for r in reports}


def test_from_a_bucket_comes_what_comes_from_a_folder(tmp_path: Path, server: Server) -> None:
    a, b = Installation(tmp_path / "folder"), Installation(tmp_path / "bucket")
    for i in (a, b):
        furnish(i, server)
    for day in DAYS:
        for path in sorted((SAMPLES / "deliveries" / day).glob("*/*/*")):
            if path.parent.name != "spilasuite":
                a.place(path, path.parts[-3], path.parts[-2])
        a.place_day(day)
        server.fill(INBOX, a.inbox)
        told_by_folder = settled(a, sync.Night(a.home, noon(day), a.inbox, IN_FILES))
        assert settled(b, night(b, day)) == told_by_folder
        assert any(r["outcome"] == "accepted" for r in told_by_folder)
        for agency in ("A0001", "A0002", "A0003", None):
            a.tables(agency), b.tables(agency)
            exported = [{p.name: p.read_bytes() for p in (i.home.root.parent / "export").iterdir()} for i in (a, b)]
            assert exported[0] == exported[1]
    again = settled(b, night(b, DAYS[-1]))
    assert {r["outcome"] for r in again} <= {"replayed", "refused"}


def test_hands_fetch_from_a_bucket_what_they_were_dealt(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, dealt = Installation(tmp_path / "alone"), Installation(tmp_path / "dealt")
    for i in (alone, dealt):
        furnish(i, server)
    server.fill(INBOX, SAMPLES / "deliveries" / DAY)
    by_one = settled(alone, night(alone))
    monkeypatch.setattr(crew, "WORTH", 1)
    monkeypatch.setattr(crew, "SHARE", 1)
    monkeypatch.setattr(nightly, "processes", lambda _: 2)
    started = crew.settle
    counts: list[int] = []

    def counted(tasks: Sequence[crew.Task], count: int, desk: Any) -> list[Report]:
        counts.append(len(tasks))
        return started(tasks, count, desk)

    monkeypatch.setattr(crew, "settle", counted)
    try:
        assert settled(dealt, night(dealt)) == by_one
    finally:
        crew.close()
    assert counts == [3, 3, 3]
    assert any(r["outcome"] == "accepted" for r in by_one)


def test_what_changes_or_vanishes_after_it_was_listed_waits_for_the_next_night(
    installation: Installation, server: Server
) -> None:
    furnish(installation, server)
    server.fill(INBOX, SAMPLES / "deliveries" / DAY)
    first, client = night(installation), server.client()
    assert first.arrivals is not None
    listed = {a: first.arrivals.files(a, "sdgi") for a in ("A0001", "A0002", "A0003")}
    (changed,), (gone,) = [v for v in listed.values() if v][:2]
    size = next(o.size for o in listed_objects(first) if o.name == changed.name)
    client.put_object(Bucket=INBOX.name, Key=INBOX.key(f"A0001/sdgi/{changed.name}"), Body=b"x" * size)
    client.delete_object(Bucket=INBOX.name, Key=next(o.key for o in listed_objects(first) if o.name == gone.name))
    found = told(settled(installation, first))
    assert found.pop(changed.name) == found.pop(gone.name) == ("refused", "source.unreachable")
    assert any(outcome == "accepted" for outcome, _ in found.values())
    again = told(settled(installation, night(installation)))
    assert again[changed.name] == ("refused", "sdgi.zip_unreadable")
    assert gone.name not in again


def listed_objects(n: sync.Night) -> list[objects.Lying]:
    assert isinstance(n.arrivals, objects.Objects)
    return [o for f in n.arrivals.folders() for s in IN_FILES for o in n.arrivals.files(f, s)]


def test_all_agencies_come_from_one_listing_of_several_pages(installation: Installation, server: Server) -> None:
    server.access(installation.home)
    client = server.client()
    for number in range(1_500):
        client.put_object(Bucket=INBOX.name, Key=INBOX.key(f"B{number % 1000:04}/gpi/GPIB.{number:06}"), Body=b"")
    client.put_object(Bucket=INBOX.name, Key=INBOX.key("B0000/gpi/half.tmp"), Body=b"")
    client.put_object(Bucket=INBOX.name, Key="nuit/inbox-other/B0000/gpi/x", Body=b"")
    n = night(installation)
    assert len(listed_objects(n)) == 1_500
    assert n.arrivals is not None
    assert [f.name for f in n.arrivals.files("B0000", "gpi")] == ["GPIB.000000", "GPIB.001000"]
    server.stop()
    try:
        assert len(n.arrivals.folders()) == 1_000  # nobody is asked again
    finally:
        server.start()


def test_names_with_odd_characters_are_told_as_they_are(installation: Installation, server: Server) -> None:
    furnish(installation, server)
    odd = ["été + %41?#&=.zip", "a b", "..", "ﬁn\x01", "<&>'\".zip"]
    for name in odd:
        server.client().put_object(Bucket=INBOX.name, Key=INBOX.key(f"A0001/sdgi/{name}"), Body=b"x")
    n = night(installation)
    assert sorted(o.name for o in listed_objects(n)) == sorted(odd)
    assert set(told(settled(installation, n)).values()) == {("refused", "delivery.name")}


def test_bytes_are_handed_over_as_they_were_sent_and_only_in_memory(installation: Installation, server: Server) -> None:
    server.access(installation.home)
    mark = b"\x1f\x8bMARKED-VALUE-71" * 1000
    key = INBOX.key("A0001/login/LOGIN-A0001-20260105T021000Z.xml.gz")
    server.client().put_object(Bucket=INBOX.name, Key=key, Body=mark, ContentEncoding="gzip")
    (delivery,) = sync.waiting(night(installation), System.LOGIN, AgencyCode("A0001"))
    assert isinstance(delivery, Afar)
    here = at_hand(delivery)
    assert here.path is not None
    assert here.path.read_bytes() == here.path.read_bytes() == mark
    assert str(here.path.readlink()).startswith("/memfd:")
    with pytest.raises(PermissionError), here.path.open("r+b") as file:
        file.write(b"x")
    delivery.let_go()
    assert not here.path.exists()


def test_nothing_is_fetched_without_an_instruction(installation: Installation, server: Server) -> None:
    installation.load_register(SAMPLES / "agencies" / f"AGENCES_{DAY.replace('-', '')}.csv")
    server.access(installation.home)
    server.fill(INBOX, SAMPLES / "deliveries" / DAY)
    n = night(installation)
    assert listed_objects(n)
    calls: list[str] = []
    assert isinstance(n.arrivals, objects.Objects)
    real = n.arrivals.fetched

    def heard(key: str, *told: Any) -> int:
        calls.append(key)
        return real(key, *told)

    n.arrivals.fetched = heard  # type: ignore[method-assign, assignment]
    found = told(settled(installation, n))
    assert {reason for _, reason in found.values()} >= {"agency.no_instruction"}
    assert [c for c in calls if "_portal" not in c] == []


def test_a_wrong_account_is_told_without_its_secret(installation: Installation, server: Server) -> None:
    server.account("s3:*")
    server.access(installation.home, "nobody", "another-marked-secret")
    with pytest.raises(NotAllowed) as no:
        connected(installation.home, INBOX).folders()
    assert "secret" not in str(no.value)
    assert no.value.__cause__ is None


@pytest.mark.soak
def test_a_server_that_goes_away_in_mid_night_costs_what_it_has_not_sent(
    installation: Installation, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(installation, server)
    server.fill(INBOX, SAMPLES / "deliveries" / DAY)
    monkeypatch.setattr(sync, "BATCH_AGENCIES", 1)
    n = night(installation)
    agencies = sync.registered(installation.home)
    before = told([r.as_json() for r in sync.settle(n, System.SDGI, agencies, Quiet(), RUN)])
    server.stop()
    try:
        after = told([r.as_json() for r in sync.settle(n, System.LOGIN, agencies, Quiet(), RUN)])
        with pytest.raises(Unanswered):
            night(installation).arrivals.there()  # type: ignore[union-attr]
    finally:
        server.start()
    assert any(outcome == "accepted" for outcome, _ in before.values())
    assert {v for v in after.values() if v[1] != "agency.system_disabled"} == {("refused", "source.unreachable")}


def test_an_inbox_is_remembered_without_what_opens_it(installation: Installation, server: Server) -> None:
    from store.house import House

    server.access(installation.home)
    with House.open(installation.home) as house:
        house.remember_inbox(INBOX)
        house.remember_inbox(INBOX)
        assert house.inboxes() == [INBOX]
    raw = b"".join(p.read_bytes() for p in installation.home.root.rglob("*") if p.is_file() and p.name != "inbox.json")
    assert SECRET.encode() not in raw
    assert KEY.encode() not in raw


def test_handles_are_given_back(installation: Installation, server: Server) -> None:
    furnish(installation, server)
    server.fill(INBOX, SAMPLES / "deliveries" / DAY)
    settled(installation, night(installation))
    open_now = [str(p.readlink()) for p in Path("/proc/self/fd").iterdir() if p.is_symlink()]
    assert [name for name in open_now if "memfd:delivery" in name] == []
