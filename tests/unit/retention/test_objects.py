"""Erasing from an object store: every version, mark and unfinished upload of the agency goes, and the search sees what
a plain deletion leaves."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import erasure
from pipelines.objects import NotAllowed
from retention import residue, residue_objects
from retention.objects import Emptying, kept
from schemas.home import Home
from schemas.ids import AgencyCode
from schemas.inbox import Bucket
from store.house import House
from tests.object_store import Server, connected
from tests.unit.retention.conftest import A1, A3, CLOSED, Installation

INBOX = Bucket("arrivees", "in")
NEWEST = dt.date(2026, 1, 13)
NAME = f"SDGI_{A3}_20260105_0210.zip"


@pytest.fixture(scope="module")
def started() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture(params=["Enabled", "Suspended", None])
def server(started: Server, request: pytest.FixtureRequest) -> Server:
    started.reset()
    started.lax()
    client = started.client()
    client.create_bucket(Bucket=INBOX.name)
    if request.param:
        client.put_bucket_versioning(Bucket=INBOX.name, VersioningConfiguration={"Status": "Enabled"})
        put(started, f"{A3}/sdgi/{NAME}")  # what was kept before versions were suspended stays
        client.put_bucket_versioning(Bucket=INBOX.name, VersioningConfiguration={"Status": request.param})
    return started


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


def put(server: Server, below: str, body: bytes = b"x") -> None:
    server.client().put_object(Bucket=INBOX.name, Key=INBOX.key(below), Body=body)


def fill(server: Server) -> None:
    client = server.client()
    for below in (f"{A3}/sdgi/{NAME}", f"{A3}/notes/é +.tmp", f"{A1}/gpi/GPI{A3}.000001", f"{A1}/sdgi/of-A1.zip"):
        put(server, below)
        put(server, below, b"again")
    client.delete_object(Bucket=INBOX.name, Key=INBOX.key(f"{A3}/sdgi/{NAME}"))
    client.create_multipart_upload(Bucket=INBOX.name, Key=INBOX.key(f"{A3}/sdgi/half é.zip"))
    client.create_multipart_upload(Bucket=INBOX.name, Key=INBOX.key(f"{A1}/sdgi/half.zip"))
    client.put_object(Bucket=INBOX.name, Key=f"in-other/{A3}/sdgi/{NAME}", Body=b"not of this inbox")
    for day, code in (("20260111", A3), ("20260112", A1), ("20260113", A3)):
        put(server, f"_portal/PORTAIL_COMPTES_{day}.csv")
        put(server, f"_portal/PORTAIL_RATTACHEMENTS_{day}.csv", f"id\nA;{code};sdgi;C:1\n".encode())


def names(home: Home) -> list[str]:
    return sorted({"/".join(k.parts) for k in kept(connected(home, INBOX), "")})


def test_every_version_of_the_agency_goes_and_the_others_stay(server: Server, home: Home) -> None:
    server.access(home)
    fill(server)
    assert Emptying(connected(home, INBOX)).late({A3}, NEWEST, dt.date.min) == {A3}
    gone = Emptying(connected(home, INBOX)).remove(A3, NEWEST)
    assert gone["deliveries"] >= 2
    assert (gone["unfinished_uploads"], gone["portal_snapshots"]) == (1, 2)
    assert names(home) == [
        f"{A1}/sdgi/half.zip", f"{A1}/sdgi/of-A1.zip",
        "_portal/PORTAIL_COMPTES_20260112.csv", "_portal/PORTAIL_COMPTES_20260113.csv",
        "_portal/PORTAIL_RATTACHEMENTS_20260112.csv", "_portal/PORTAIL_RATTACHEMENTS_20260113.csv",
    ]  # fmt: skip
    assert server.client().get_object(Bucket=INBOX.name, Key=f"in-other/{A3}/sdgi/{NAME}")["Body"].read()
    assert not any(Emptying(connected(home, INBOX)).remove(A3, NEWEST).values())


def test_the_search_sees_what_a_plain_deletion_leaves_and_its_control_leaves_nothing(
    server: Server, home: Home
) -> None:
    server.access(home)
    put(server, f"{A3}/sdgi/{NAME}")
    server.client().delete_object(Bucket=INBOX.name, Key=INBOX.key(f"{A3}/sdgi/{NAME}"))
    left = [k for k in kept(connected(home, INBOX), "") if k.parts[0] == A3]
    stores = (connected(home, INBOX),)
    looked_at, hits, planted, found = residue_objects.search(stores, frozenset({A3}), residue.CONTROL, residue._named)
    assert (looked_at, hits.get(A3, 0)) == (len(left), len(left))
    assert planted == found >= 2
    assert [n for n in names(home) if "control" in n] == []


def test_a_search_that_sees_no_versions_is_not_trusted(server: Server, home: Home) -> None:
    server.access(home)
    store = connected(home, INBOX)
    real = store.call
    store.call = lambda m, **k: {} if m == "list_object_versions" else real(m, **k)  # type: ignore[method-assign]
    told = residue_objects.search((store,), frozenset({A3}), residue.CONTROL, residue._named)
    assert not residue.Finding("object names", *told).trusted


def furnished(tmp_path: Path, server: Server) -> Installation:
    i = Installation(tmp_path)
    i.furnish()
    server.access(i.home)
    fill(server)
    with House.open(i.home) as house:
        house.remember_inbox(INBOX)
    return i


def erased(i: Installation) -> erasure.Erasure:
    broom = erasure.Broom(i.home, i.root, "test", lambda _: i_forget(i))
    return next(e for e in erasure.run(broom, CLOSED, [AgencyCode(A3)]).erasures if e.agency == A3)


def i_forget(i: Installation) -> dict[str, int]:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(i.home.dagster / "runs.db")) as db, db:
        db.execute("DELETE FROM event_logs")
    return {}


def test_a_certificate_counts_the_versions_and_names_the_search(tmp_path: Path, server: Server) -> None:
    i = furnished(tmp_path, server)
    done = erased(i)
    assert done.certificate is not None, (done.problem, done.residue)
    said = done.certificate.read_text()
    assert "unfinished_uploads" in said
    assert residue_objects.PLACE in said
    assert not [n for n in names(i.home) if A3 in n and "_portal" not in n]


@pytest.mark.parametrize("missing", ["s3:DeleteObjectVersion", "s3:ListBucketVersions", "everything"])
def test_without_the_rights_there_is_no_certificate(tmp_path: Path, started: Server, missing: str) -> None:
    started.reset()
    started.lax()
    started.client().create_bucket(Bucket=INBOX.name)
    i = furnished(tmp_path, started)
    rights = {"s3:ListBucket", "s3:GetObject", "s3:ListBucketVersions", "s3:DeleteObjectVersion", "s3:DeleteObject"}
    key, secret = started.account(*((rights - {missing}) if missing != "everything" else {"s3:GetObject"}))
    started.access(i.home, key, secret)
    if missing == "everything":
        with pytest.raises(NotAllowed):
            connected(i.home, INBOX).there()
    done = erased(i)
    assert done.certificate is None
    assert "remove_files" in str(done.problem) or "search" in str(done.problem)
    started.lax()
