"""What the host gives to nobody: to strangers nothing, to workers no key without an instruction, nor a way to give
one."""

import datetime as dt
import json
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from ledger.entry import Head, Instruction, Receipt, Withdrawal
from ledger.minting import mint
from pipelines.host import admission, client
from pipelines.host.client import Served, Wire
from pipelines.host.settings import Hosted, hosted
from pipelines.host.wire import LARGEST_MESSAGE, SERVICE, decode, encode
from pipelines.premises import HostAway, NotAdmitted
from schemas.capability import Act
from schemas.errors import Malformed, NotVerified, Refused, TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.mandate import Purpose
from store.keys import Keyring, agency_key, login, open_root
from store.pages import Sheet
from store.postgres.settings import Settings
from tests.functional.conftest import DAYS
from tests.functional.host.conftest import NOW, Hosting, Site
from tests.leave import capability
from tests.postgres import Cluster

A, B = AgencyCode("A0001"), AgencyCode("A0002")
LONG_AGO = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a host that will never answer."""
    monkeypatch.setattr(client, "PATIENCE", 1.0)
    monkeypatch.setattr(client, "DEADLINE", 1.0)


def wire(home: Home, address: str | None = None) -> Wire:
    told = hosted(home)
    assert told is not None
    return Wire(home, Hosted(address or told.address, told.name))


def leave(served: Served, agency: AgencyCode, at: dt.datetime = NOW) -> Any:
    return mint(served.log(agency).read(receipts=False), Act.SYNCHRONISE, at, System.SDGI)


# -- who may ask -------------------------------------------------------------------------------------------------------


def test_an_admitted_worker_is_answered_until_it_is_dismissed_on_the_connection_that_it_has(hosting: Hosting) -> None:
    home = hosting.admit("worker-1")
    line = wire(home)
    assert line.ask("keyed", agencies=[A], portal=False) == {"agencies": [], "portal": False}
    assert admission.dismiss(hosting.site.home, "worker-1", NOW)
    with pytest.raises(NotAdmitted, match="does not admit this one"):
        line.ask("keyed", agencies=[A], portal=False)
    assert hosting.night_fails(home, DAYS[0])
    assert not admission.dismiss(hosting.site.home, "worker-1", NOW), "twice is once"


@pytest.mark.usefixtures("quick")
def test_a_certificate_of_another_home_is_refused(hosting: Hosting, tmp_path: Path, cluster: Cluster) -> None:
    other = Site(tmp_path / "other", cluster)
    out = tmp_path / "stranger"
    admission.admit(other.home, open_root(other.home), "worker-1", out, hosting.address, NOW)
    hosting.admit("worker-1")
    with pytest.raises(HostAway):
        wire(Home.at(out)).ask("keyed", agencies=[A], portal=False)


@pytest.mark.usefixtures("quick")
def test_a_worker_believes_no_other_host_not_even_another_worker(hosting: Hosting) -> None:
    """Whoever has a worker's certificate cannot take the host's place."""
    honest, rogue = hosting.admit("honest"), hosting.admit("rogue")
    authority, pair = admission.own_papers(rogue)
    server = grpc.server(ThreadPoolExecutor(1))
    trust = grpc.ssl_server_credentials([(pair.key, pair.certificate)], authority, require_client_auth=True)
    answer = grpc.unary_unary_rpc_method_handler(lambda *_: encode({"ok": []}))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"keyed": answer}),))
    port = server.add_secure_port("127.0.0.1:0", trust)
    server.start()
    try:
        with pytest.raises(HostAway):
            wire(honest, f"127.0.0.1:{port}").ask("keyed", agencies=[A], portal=False)
    finally:
        server.stop(None).wait()


@pytest.mark.usefixtures("quick")
def test_without_a_certificate_nobody_is_heard(hosting: Hosting) -> None:
    home = hosting.admit("worker-1")
    authority, _ = admission.own_papers(home)
    trusting = grpc.ssl_channel_credentials(authority)
    options = (("grpc.ssl_target_name_override", "host.depositaire.invalid"),)
    for channel in (
        grpc.secure_channel(hosting.address, trusting, options=options),
        grpc.insecure_channel(hosting.address),
    ):
        for name in (f"{SERVICE}/keyed", "grpc.health.v1.Health/Check"):
            with pytest.raises(grpc.RpcError) as no:
                channel.unary_unary(f"/{name}")(encode({"agencies": []}), timeout=2)
            assert no.value.code() == grpc.StatusCode.UNAVAILABLE
        channel.close()


def test_old_versions_of_tls_are_turned_down(hosting: Hosting) -> None:
    papers = admission.folder(hosting.admit("worker-1"))

    def spoken(version: ssl.TLSVersion) -> str | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_verify_locations(papers / "authority.pem")
        context.load_cert_chain(papers / "worker.pem", papers / "worker.key")
        context.set_alpn_protocols(["h2"])
        where, port = admission.parsed(hosting.address)
        with (
            socket.create_connection((where, port), 5) as plain,
            context.wrap_socket(plain, server_hostname="host.depositaire.invalid") as shielded,
        ):
            return shielded.version()

    assert spoken(ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert spoken(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.warns(DeprecationWarning, match="TLSv1"), pytest.raises(ssl.SSLError):
        spoken(ssl.TLSVersion.TLSv1_1)


def test_a_worker_can_see_that_the_host_is_well(hosting: Hosting) -> None:
    line = wire(hosting.admit("worker-1"))
    check = line._channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"", timeout=5) == b"\x08\x01"


# -- keys --------------------------------------------------------------------------------------------------------------


def test_the_key_of_an_agency_is_given_under_its_instruction_and_is_the_one_of_its_ring(hosting: Hosting) -> None:
    hosting.site.day(DAYS[0])
    served = hosting.premises("worker-1")
    with served.keyring(leave(served, A), System.SDGI, create=True) as theirs:
        kids = theirs.allocate(600)
        text = theirs.cipher(kids[-1]).encrypt(b"n" * 12, b"x", b"")
    with Keyring.open(hosting.site.home, open_root(hosting.site.home), capability(A)) as ours:
        assert ours.cipher(kids[-1]).encrypt(b"n" * 12, b"x", b"") == text
        assert ours.allocate(1)[0] == 601
        assert ours.destroy_persons([3]) == 1
    with served.keyring(leave(served, A), System.SDGI) as theirs:
        with pytest.raises(NotVerified, match="destroyed"):
            theirs.cipher(3)
        assert theirs.destroy_persons([3, 599]) == 1
    with (
        Keyring.open(hosting.site.home, open_root(hosting.site.home), capability(A)) as ours,
        pytest.raises(NotVerified, match="destroyed"),
    ):
        ours.cipher(599)


def questions(agency: AgencyCode | None) -> dict[str, dict[str, Any]]:
    """Everything that tells or changes something of an agency's keys."""
    its = {"agency": agency, "system": "sdgi"}
    return {
        "key": {**its, "act": "synchronise", "head": [0, bytes(32)], "create": True},
        "login": {"agency": agency},
        "last_page": its,
        "load_pages": {**its, "first": 0, "count": 1},
        "store_pages": {**its, "sheets": [[0, 1, b"x", None]]},
        "rewrite_pages": its,
    }


@pytest.mark.parametrize("how", ["never instructed", "withdrawn", "not yet", "over"])
def test_without_an_instruction_in_force_nothing_of_an_agencys_keys_is_answered(hosting: Hosting, how: str) -> None:
    """In force now, by the host's own clock and log, whatever the worker says."""
    site, line = hosting.site, wire(hosting.admit("worker-1"))
    if how != "never instructed":
        begins = NOW + dt.timedelta(days=1) if how == "not yet" else LONG_AGO
        ends = NOW - dt.timedelta(days=1) if how == "over" else None
        said = Instruction(
            A, (System.SDGI,), ("*",), (Purpose.EXTRANET,), begins, ends, "ANNEXE-2026", "gerance", LONG_AGO
        )
        site.log(A).append(said, LONG_AGO)
        if how == "withdrawn":
            site.log(A).append(Withdrawal(said.id, LONG_AGO, LONG_AGO), LONG_AGO)
    agency_key(site.home, open_root(site.home), capability(A), create=True)
    before = site.home.keyring(A).read_bytes()
    for method, fields in questions(A).items():
        with pytest.raises(Refused, match="no instruction in force"):
            line.ask(method, **fields)
        assert site.home.keyring(A).read_bytes() == before, method


def test_an_instruction_for_one_system_opens_the_keys_for_no_other(hosting: Hosting) -> None:
    hosting.site.instruct(A, systems=(System.GPI,))
    line = wire(hosting.admit("worker-1"))
    head = hosting.site.log(A).head()
    asked = questions(A)["key"] | {"head": [head.size, head.root]}
    assert len(line.ask("key", **asked | {"system": "gpi"})) == 32
    with pytest.raises(Refused, match="no instruction in force"):
        line.ask("key", **asked)


def test_a_worker_gets_a_key_for_no_other_act(hosting: Hosting) -> None:
    hosting.site.instruct(A)
    head = hosting.site.log(A).head()
    line = wire(hosting.admit("worker-1"))
    for act in set(Act) - {Act.SYNCHRONISE}:
        with pytest.raises(Refused, match="does nothing else"):
            line.ask("key", **questions(A)["key"] | {"head": [head.size, head.root], "act": str(act)})


def test_a_worker_that_has_read_an_older_log_must_read_again(hosting: Hosting) -> None:
    hosting.site.instruct(A)
    served = hosting.premises("worker-1")
    old = leave(served, A)
    served.keyring(old, System.SDGI, create=True).__exit__()
    hosting.site.instruct(A, tables=("person",))
    with pytest.raises(TryAgain, match="has grown"):
        served.keyring(old, System.SDGI)
    served.keyring(leave(served, A), System.SDGI).__exit__()


def test_a_key_ring_that_was_destroyed_is_given_to_nobody_and_does_not_come_back_as_a_file(hosting: Hosting) -> None:
    site = hosting.site
    site.instruct(A)
    served = hosting.premises("worker-1")
    kept = served.keyring(leave(served, A), System.SDGI, create=True)
    kept.allocate(1)
    assert Keyring.destroy(site.home, capability(A, Act.ERASE))
    for what in (
        lambda: served.keyring(leave(served, A), System.SDGI),
        lambda: kept.allocate(1),
        lambda: wire(hosting.admit("worker-2")).ask("login", agency=A),
    ):
        with pytest.raises(Refused, match="keys of this agency do not exist"):
            what()
    assert not site.home.keyring(A).exists()


def test_no_question_destroys_a_key_ring_or_fetches_another_secret() -> None:
    from pipelines.host.counter import METHODS

    assert set(METHODS) == {
        "key", "keyed", "login", "last_page", "load_pages", "store_pages", "rewrite_pages", "stated_sizes", "head",
        "history", "record", "policy", "rewrite_shelves",
    }, "whoever adds a question says here, and in docs/decisions/0014-host.md, what it lets a worker do"  # fmt: skip


def test_a_page_that_was_changed_meanwhile_is_not_written_over(hosting: Hosting) -> None:
    """A worker that lost its hold, and does not know it, gives no key back that was destroyed."""
    hosting.site.instruct(A)
    served = hosting.premises("worker-1")
    late = served.keyring(leave(served, A), System.SDGI, create=True)
    late.allocate(10)
    with served.keyring(leave(served, A), System.SDGI) as quick:
        quick.destroy_persons([4])
    with pytest.raises(TryAgain, match="changed the keys"):
        late.allocate(1)
    with served.keyring(leave(served, A), System.SDGI) as after, pytest.raises(NotVerified, match="destroyed"):
        after.cipher(4)
    assert late.allocate(1)[0] == 11, "it has forgotten what it believed"


def test_a_page_that_was_stored_but_reported_lost_is_stored_once(hosting: Hosting) -> None:
    hosting.site.instruct(A)
    served = hosting.premises("worker-1")
    served.keyring(leave(served, A), System.SDGI, create=True).__exit__()
    pages = client._ServedPages(served._wire, A, System.SDGI)
    sheet = Sheet(0, 3, b"sealed", None)
    for _ in range(2):
        pages.store([sheet])
    assert pages.last() == (0, 3)
    assert pages.load(0) == b"sealed"
    assert pages.load(1) is None


# -- logs --------------------------------------------------------------------------------------------------------------


def receipt(name: str = "SDGI_A0001_20260105_0100.zip") -> Receipt:
    return Receipt(name, "sdgi", None, "accepted", None, {}, ("INS-1",), "sdgi-1.4", "0", "run")


def test_a_worker_reads_what_the_host_reads_and_records_receipts_once(hosting: Hosting) -> None:
    hosting.site.instruct(A)
    ours, theirs = hosting.site.log(A), hosting.premises("worker-1").log(A)
    lines = [theirs.append(receipt(), NOW, "receipt:1") for _ in range(2)]
    assert lines[0] == lines[1] == ours.read().lines[-1]
    assert theirs.head() == ours.head() == Head(2, theirs.head().root)
    for receipts in (True, False):
        read, there = theirs.read(receipts), ours.read(receipts)
        assert (read, read.leaves) == (there, there.leaves)
    with pytest.raises(TryAgain, match="has grown"):
        theirs.append_all([(receipt(), "receipt:2")], NOW, expected=Head(1, bytes(32)))
    theirs.append_all([(receipt(), "receipt:2")], NOW, expected=theirs.head())
    assert ours.head().size == 3


def test_a_worker_gives_no_instruction_and_records_nothing_but_what_it_received(hosting: Hosting) -> None:
    hosting.site.instruct(A)
    (given,) = hosting.site.log(A).read().instructions
    theirs = hosting.premises("worker-1").log(A)
    before = hosting.site.log(A).head()
    for entry, key in (
        (given, "receipt:1"), (Withdrawal(given.id, NOW, NOW), "receipt:1"), (receipt(), "excess:1"), (receipt(), "x"),
    ):  # fmt: skip
        with pytest.raises(Refused, match="nothing else"):
            theirs.append(entry, NOW, key)
    with pytest.raises(Malformed):
        theirs.append(receipt(), NOW, None)
    assert hosting.site.log(A).head() == before


def test_a_worker_begins_no_log(hosting: Hosting) -> None:
    served = hosting.premises("worker-1")
    with pytest.raises(Refused, match="has no log"):
        served.log(B).append(receipt(), NOW, "receipt:1")
    assert served.stated_sizes([B]) == {B: 0}
    assert not hosting.site.home.ledger(B).exists()


# -- what is said ------------------------------------------------------------------------------------------------------


def test_what_is_no_question_is_told_so(hosting: Hosting) -> None:
    ask = wire(hosting.admit("worker-1"))._channel.unary_unary(f"/{SERVICE}/keyed")
    whole = {"agencies": ["A0001"], "portal": False}
    assert decode(ask(encode(whole), timeout=5))["ok"] == {"agencies": [], "portal": False}
    strange: list[Any] = ["A0001", [1], [None], [[]], [b"A0001"], ["../root.key"], ["A0001"] * 5001]
    odd: list[dict[str, Any]] = [
        {"agencies": ["A0001"]}, whole | {"more": 1}, whole | {"portal": 1}, whole | {"portal": None},
        *(whole | {"agencies": some} for some in strange),
    ]  # fmt: skip
    raw = [
        b"", b"[]", b"\xff", b'{"agencies":[1.5],"portal":false}', b'{"agencies":[NaN],"portal":false}',
        b'{"agencies":[{"$":"%"}],"portal":false}', b'{"agencies":[{"$":1}],"portal":false}', b"[" * 100_000,
    ]  # fmt: skip
    for message in (*(encode(each) for each in odd), *raw):
        assert decode(ask(message, timeout=5))["no"][0] == "Malformed", message[:80]


def test_a_message_that_is_too_large_is_not_read(hosting: Hosting) -> None:
    line = wire(hosting.admit("worker-1"))
    with pytest.raises(grpc.RpcError) as no:
        line._channel.unary_unary(f"/{SERVICE}/keyed")(b" " * (LARGEST_MESSAGE + 1), timeout=10)
    assert no.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_fault_of_the_host_is_told_by_its_kind_and_place_alone(hosting: Hosting) -> None:
    hosting.site.instruct(A)
    served = hosting.premises("worker-1")
    allowed = leave(served, A)
    hosting.site.home.keyring(A).parent.mkdir(exist_ok=True)
    hosting.site.home.keyring(A).write_bytes(b"BELLERIVE" * 1000)
    with pytest.raises(HostAway, match=r"met a fault \(DatabaseError at pages.py:[0-9]+\)"):
        served.keyring(allowed, System.SDGI)
    assert "Traceback" not in hosting.said.read_text()
    assert "BELLERIVE" not in hosting.said.read_text()


# -- a worker's folder -------------------------------------------------------------------------------------------------


def secrets(site: Site) -> dict[str, bytes]:
    """What must never leave the host, each as it would be found: raw, or in the texts of its file."""
    home, root = site.home, open_root(site.home)
    settings = Settings.read(home)
    body = json.loads(home.root_key.read_bytes())
    return {
        "root key": body["key"].encode(), "certificates": root.unwrap(home.signing_key.read_bytes(), "signing"),
        "logs": root.unwrap(home.log_signing_key.read_bytes(), "log signing"),
        "salts": root.unwrap(home.log_key(A).read_bytes(), f"log salts {A}"),
        "agency": agency_key(home, root, capability(A)), "login": login(home, A).encode(),
        "broom": str(settings.broom_password).encode(), "eye": str(settings.eye_password).encode(),
        "manager": str(settings.manager).encode(), "clerk": settings.clerk_password.encode(),
        "authority": root.unwrap((admission.folder(home) / "authority.key").read_bytes(), "host authority"),
    }  # fmt: skip


def everything(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def test_a_workers_folder_holds_its_own_secrets_and_no_other_before_and_after_a_night(hosting: Hosting) -> None:
    hosting.site.day(DAYS[0])
    worker = hosting.admit("worker-1")
    hosting.night(worker, DAYS[0])
    told, kept = secrets(hosting.site), everything(worker.root)
    here = everything(hosting.site.home.root)
    for name, secret in told.items():
        if name in ("root key", "manager", "broom", "eye", "clerk", "login"):
            assert secret in here, f"the search must be able to find it: {name}"
        for form in (secret, secret.hex().encode()):
            assert form not in kept, name
            assert form not in hosting.said.read_bytes(), name
    for path in (p for p in worker.keys.rglob("*") if p.is_file()):
        assert path.stat().st_mode & 0o777 == 0o600, path.name
    assert {p.stat().st_mode & 0o777 for p in (worker.root, worker.keys, admission.folder(worker))} == {0o700}
    assert all(p.stat().st_mode & 0o077 == 0 for p in admission.folder(hosting.site.home).iterdir())


def test_a_worker_has_a_login_of_its_own_that_ends_with_it(hosting: Hosting) -> None:
    settings = Settings.read(hosting.admit("worker-1"))
    assert (settings.manager, settings.broom_password, settings.eye_password) == (None, None, None)
    for purpose in ("broom", "eye"):
        with pytest.raises(Refused, match="does not know that login"):
            getattr(settings, purpose)
    given = {"user": settings.clerk.role, "password": settings.clerk.password}
    with psycopg.connect(settings.address, **given, autocommit=True) as open_:  # type: ignore[arg-type]
        assert open_.execute("SELECT count(*) FROM house.agency").fetchone() == (0,)
        for statement in ("SELECT * FROM shelf.person", "SELECT dep.drop_shelf('A0001')", "CREATE TABLE x (y int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                open_.execute(statement)
        admission.dismiss(hosting.site.home, "worker-1", NOW)
        with pytest.raises(psycopg.OperationalError):
            open_.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(settings.address, **given)  # type: ignore[arg-type]


def test_a_name_is_given_once_and_again_after_its_dismissal(hosting: Hosting, tmp_path: Path) -> None:
    site, root = hosting.site, open_root(hosting.site.home)
    old = hosting.admit("worker-1")
    with pytest.raises(Refused, match="admitted already"):
        admission.admit(site.home, root, "worker-1", tmp_path / "again", None, NOW)
    with pytest.raises(Malformed, match="empty folder"):
        admission.admit(site.home, root, "worker-2", old.root, None, NOW)
    for name in ("", "A", "a/b", "-a", "a--b", "a" * 40):
        with pytest.raises(Malformed, match="no name"):
            admission.admit(site.home, root, name, tmp_path / "again", None, NOW)
    with pytest.raises(Malformed, match="ever admitted"):
        admission.dismiss(site.home, "worker-9", NOW)
    admission.dismiss(site.home, "worker-1", NOW)
    admission.admit(site.home, root, "worker-1", tmp_path / "again", None, NOW)
    assert wire(Home.at(tmp_path / "again")).ask("keyed", agencies=[], portal=True) == {"agencies": [], "portal": False}
    with pytest.raises(NotAdmitted):
        wire(old).ask("keyed", agencies=[], portal=True)
    assert [(w.name, w.dismissed_at is None) for w in admission.read(site.home)] == [
        ("worker-1", False), ("worker-1", True),
    ]  # fmt: skip


@pytest.mark.parametrize("address", ["0.0.0.0:7443", "[::]:7443", "keys.example", "keys.example:99999", 'x":1'])
def test_a_worker_is_told_an_address_that_can_be_reached(hosting: Hosting, tmp_path: Path, address: str) -> None:
    with pytest.raises(Malformed, match="address"):
        admission.admit(hosting.site.home, open_root(hosting.site.home), "w", tmp_path / "w", address, NOW)
