"""Notices: by e-mail and to a programme, through real servers on loopback; each once for a person and an event."""

import datetime as dt
import hashlib
import hmac
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import select

from ledger.entry import Instruction
from ledger.mandate import fold
from ledger.orders import Channel, InfringementNotice
from pipelines.notices import post_office, sending
from pipelines.notices.outbox import Outbox, Pace, due
from pipelines.notices.settings import PASSWORD as SMTP_PASSWORD, Mail, Settings, settings
from pipelines.notices.tables import EVENT, LETTER, POST
from pipelines.reception import tables
from pipelines.reception.accounts import Accounts
from schemas.access import Grant, Role
from schemas.errors import Malformed
from schemas.ids import AgencyCode
from store.keys import open_root
from tests.functional.conftest import SAMPLES, Installation, noon
from tests.mail_server import PASSWORD, USER, Post, post_office as mail_server

ORIGIN = "https://depositaire.example"
INVITED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NIGHT = noon("2026-01-05").astimezone(dt.UTC)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A night of the samples, with somebody of two agencies. Each test begins with an empty outbox."""
    made = Installation(tmp_path_factory.mktemp("notices"))
    made.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
    for agency in ("A0001", "A0002"):
        made.instruct(agency)
    made.place_day("2026-01-05")
    made.sync(NIGHT, portal=False)
    accounts = people(made)
    for agency in ("A0001", "A0002"):
        grant = Grant(Role.READER, AgencyCode(agency), INVITED)
        accounts.invite(f"{agency.lower()}@agence.example", grant, INVITED)
    auditor = Grant(Role.AUDITOR, AgencyCode("A0001"), INVITED, INVITED + dt.timedelta(days=300))
    accounts.invite("auditeur@audit.example", auditor, INVITED)
    return made


def people(site: Installation) -> Accounts:
    return Accounts(tables.accounts(site.home), post_office.outbox_of(site.home, open_root(site.home)).vault)


@pytest.fixture
def outbox(site: Installation) -> Iterator[Outbox]:
    made = post_office.outbox_of(site.home, open_root(site.home))
    yield made
    made.engine.dispose()
    for path in site.home.reception.glob("notices.db*"):
        path.unlink()


def instructed(site: Installation, agency: str) -> str:
    first = site.log(agency).read().entries[0]
    assert isinstance(first, Instruction)
    return first.id


def account_of(outbox: Outbox, email: str) -> str:
    with outbox._accounts.connect() as db:
        found = outbox._people.find(db, email)
    assert found is not None
    return found


def plain(post: Post) -> Settings:
    return Settings(Mail("127.0.0.1", post.port, "avis@depositaire.example", "none"), 1)


def turned(site: Installation, outbox: Outbox, how: Settings, at: dt.datetime = NIGHT) -> sending.Turn:
    return sending.turn(site.home, outbox, how, ORIGIN, lambda: at)


def test_a_letter_leaves_over_tls_with_a_login_and_holds_codes_counts_and_links(
    site: Installation, outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_server(tmp_path) as post:
        site.home.settings.write_text(
            f'[notices]\nsmtp = "127.0.0.1:{post.port}"\nfrom = "avis@depositaire.example"\n'
            f'user = "{USER}"\nput_aside = 1\n'
        )
        monkeypatch.setenv(SMTP_PASSWORD, PASSWORD)
        assert PASSWORD not in repr(settings(site.home))
        refused = turned(site, outbox, settings(site.home))
        assert (refused.sent, refused.troubles) == (0, ("tls",))  # nobody vouches for this certificate
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        done = turned(site, outbox, settings(site.home), NIGHT + dt.timedelta(minutes=2))
    site.home.settings.unlink()
    assert (done.sent, done.troubles, done.left) == (2, (), 0)
    assert post.logins
    assert sorted(post.to) == ["a0001@agence.example", "a0002@agence.example"]  # no auditor
    mail = next(m for m in post.letters if m["To"] == "a0001@agence.example")
    assert "lignes d'une livraison" in mail.get_content().replace("\n", " ")
    assert f"{ORIGIN}/a/A0001/quarantine" in mail.get_content()
    assert f"{ORIGIN}/preferences" in mail.get_content()
    assert mail["List-Unsubscribe"] == f"<{ORIGIN}/preferences>"
    assert mail["Subject"].startswith("Depositaire : ")
    nothing = "".join(m.as_string() for m in post.letters)
    assert "SDGI_A0001" not in nothing  # deliveries are not named, nor is anybody
    assert not re.search(r"@(?!agence|depositaire)\w+\.example", nothing)


def test_nobody_is_told_twice_and_what_is_new_is_told_once(site: Installation, outbox: Outbox) -> None:
    with mail_server() as post:
        first = turned(site, outbox, plain(post))
        assert first.sent == 2
        assert turned(site, outbox, plain(post)).sent == 0
        entry = InfringementNotice(
            agency=AgencyCode("A0002"), reference="LETTRE-1", recorded_by="dpo", recorded_at=NIGHT,
            instruction=instructed(site, "A0002"), law="GDPR 5(1)(c)", channel=Channel.EMAIL, told_at=NIGHT,
        )  # fmt: skip
        line = site.log("A0002").append(entry, NIGHT)
        assert turned(site, outbox, plain(post)).sent == 1
        assert turned(site, outbox, plain(post)).sent == 0
    assert post.to[2:] == ["a0002@agence.example"]
    assert f"{ORIGIN}/a/A0002/log/{line.number}" in post.letters[-1].get_content()


def test_a_server_that_is_down_keeps_letters_waiting_and_gets_them_once(site: Installation, outbox: Outbox) -> None:
    post = Post()
    with mail_server(kept=post):
        pass  # its port, with nobody there
    down = turned(site, outbox, plain(post))
    assert (down.sent, down.troubles) == (0, ("unreachable",))
    with mail_server(kept=post):
        assert turned(site, outbox, plain(post)).sent == 0  # not before its time
        assert turned(site, outbox, plain(post), NIGHT + dt.timedelta(minutes=2)).sent == 2
        assert turned(site, outbox, plain(post), NIGHT + dt.timedelta(hours=3)).sent == 0
    assert sending.pause_after(1) < sending.pause_after(3) < sending.pause_after(30) == sending.LONGEST_PAUSE


def test_an_address_that_is_refused_for_good_is_not_written_to_again(site: Installation, outbox: Outbox) -> None:
    with mail_server() as post:
        post.answers = lambda to: "550 no" if to.startswith("a0001") else "451 later"
        assert set(turned(site, outbox, plain(post)).troubles) == {"recipient 550", "recipient 451"}
        post.answers = lambda _: "250 OK"
        assert turned(site, outbox, plain(post), NIGHT + dt.timedelta(minutes=2)).sent == 1
    assert post.to == ["a0002@agence.example"]


def test_each_is_told_at_the_pace_that_they_chose(site: Installation, outbox: Outbox) -> None:
    outbox.prefer(account_of(outbox, "a0001@agence.example"), Pace.DAILY, NIGHT)
    outbox.prefer(account_of(outbox, "a0002@agence.example"), Pace.NEVER, NIGHT)
    with mail_server() as post:
        assert turned(site, outbox, plain(post)).sent == 0
        morning = dt.datetime(2026, 1, 6, 6, 0, tzinfo=dt.UTC)
        assert turned(site, outbox, plain(post), morning - dt.timedelta(minutes=1)).sent == 0
        assert turned(site, outbox, plain(post), morning).sent == 1
        outbox.prefer(account_of(outbox, "a0002@agence.example"), Pace.NOW, NIGHT)
        assert turned(site, outbox, plain(post), morning).sent == 0  # what was not wanted does not come later
    assert post.to == ["a0001@agence.example"]
    assert "Livraison SDGI lue" in post.letters[0].get_content()  # deliveries are in digests alone
    assert due(Pace.NOW, "arrived", NIGHT) is None
    assert due(Pace.WEEKLY, "arrived", NIGHT) == dt.datetime(2026, 1, 12, 6, tzinfo=dt.UTC)  # a Monday
    assert due(Pace.WEEKLY, "arrived", noon("2026-01-09")) == dt.datetime(2026, 1, 12, 6, tzinfo=dt.UTC)


def test_who_came_later_is_not_told_of_what_was_before(site: Installation, outbox: Outbox) -> None:
    new = Grant(Role.SIGNATORY, AgencyCode("A0001"), NIGHT + dt.timedelta(hours=1))
    people(site).invite("nouveau@agence.example", new, new.since)
    with mail_server() as post:
        turned(site, outbox, plain(post), NIGHT + dt.timedelta(hours=2))
        assert "nouveau@agence.example" not in post.to
        people(site).revoke("nouveau@agence.example", NIGHT)


def test_a_letter_that_waits_for_somebody_whose_role_was_revoked_meanwhile_does_not_leave(
    site: Installation, outbox: Outbox
) -> None:
    until = Grant(Role.READER, AgencyCode("A0001"), INVITED, NIGHT + dt.timedelta(hours=1))
    for email, grant in (("revoque@agence.example", replace(until, until=None)), ("fini@agence.example", until)):
        people(site).invite(email, grant, INVITED)
        outbox.prefer(account_of(outbox, email), Pace.DAILY, NIGHT)
    with mail_server() as post:
        turned(site, outbox, plain(post))
        people(site).revoke("revoque@agence.example", NIGHT)
        later = turned(site, outbox, plain(post), NIGHT + dt.timedelta(days=1))
    people(site).revoke("fini@agence.example", NIGHT)  # so that the tests after this one have the people they know
    assert not {"revoque@agence.example", "fini@agence.example"} & set(post.to)
    assert later.troubles == ("nobody is left to take it",)
    with outbox.engine.connect() as db:
        assert db.scalars(select(LETTER.c.id).where(LETTER.c.sent_at.is_(None))).all() == []


def test_silence_and_the_end_of_the_window_are_told_once_each(site: Installation, outbox: Outbox) -> None:
    site.load_register(SAMPLES / "agencies" / "AGENCES_20260106.csv")
    with mail_server() as post:
        for days in range(12):
            turned(site, outbox, plain(post), NIGHT + dt.timedelta(days=days))
    said = [(m["To"], line) for m in post.letters for line in m.get_content().splitlines() if line.startswith("- ")]
    silent = [s for s in said if "Rien n'est venu de SDGI" in s[1]]
    assert "a0001@agence.example" in {to for to, _ in silent}
    assert len(silent) == len(set(silent))  # every day for twelve days, and told once


def test_the_end_of_a_window_is_told_at_thirty_seven_and_one_days(site: Installation) -> None:
    from pipelines import status
    from pipelines.notices.events import of_state

    history = site.log("A0002").read()
    found = status.of_agency(site.home, AgencyCode("A0002"), history, fold(history, NIGHT))
    keys: dict[str, int] = {}
    for left in range(40, -1, -1):
        standing = replace(found, days_left=left, end=dt.date(2026, 2, 1), flows=())
        keys |= {e.key: left for e in reversed([*of_state(standing, NIGHT)]) if e.key not in keys}
    assert sorted(keys.values(), reverse=True) == [30, 7, 1]
    assert list(of_state(replace(found, erased_on=dt.date(2026, 2, 1), days_left=1), NIGHT)) == []


@contextmanager
def programme(statuses: list[int]) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A real HTTP server that answers with these statuses, then with 204."""
    taken: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((dict(self.headers), body))
            self.send_response(statuses.pop(0) if statuses else 204)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/avis", taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_programme_is_told_under_a_signature_and_again_when_it_failed(site: Installation, outbox: Outbox) -> None:
    nobody = Settings(None, 1)
    with programme([503, 302]) as (url, taken):
        secret = post_office.tell_programme(site.home, open_root(site.home), AgencyCode("A0001"), url, INVITED)
        assert turned(site, outbox, nobody).troubles == ("status 503",)
        assert turned(site, outbox, nobody, NIGHT + dt.timedelta(minutes=2)).troubles == ("status 302",)
        done = turned(site, outbox, nobody, NIGHT + dt.timedelta(minutes=10))
        assert done.sent == 1
        assert turned(site, outbox, nobody, NIGHT + dt.timedelta(hours=2)).sent == 0
    assert len({body for _, body in taken}) == 1  # the same letter, thrice
    assert len({h["Depositaire-Letter"] for h, _ in taken}) == 1
    headers, body = taken[-1]
    seconds, made = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["Depositaire-Signature"]).groups()  # type: ignore[union-attr]
    assert hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest() == made
    said = json.loads(body)
    assert {e["code"] for e in said["events"]} >= {"instruction", "aside"}
    assert "arrived" not in {e["code"] for e in said["events"]}
    assert secret.encode() not in b"".join(p.read_bytes() for p in site.home.reception.glob("notices.db*"))
    assert url.encode() not in b"".join(p.read_bytes() for p in site.home.reception.glob("notices.db*"))


KILLED = """\
import datetime as dt, sys
from pathlib import Path
from pipelines.notices import post_office, sending
from pipelines.notices.settings import Mail, Settings
from schemas.home import Home
from store.keys import open_root
home, port, at = Home.at(Path(sys.argv[1])), int(sys.argv[2]), dt.datetime.fromisoformat(sys.argv[3])
office = post_office.outbox_of(home, open_root(home))
print("ready", flush=True)
sending.turn(home, office, Settings(Mail("127.0.0.1", port, "avis@depositaire.example", "none"), 1),
    "https://depositaire.example", lambda: at)
print("done", flush=True)
"""


def test_whoever_is_killed_while_sending_loses_nothing_and_tells_nobody_of_two_letters(
    site: Installation, outbox: Outbox
) -> None:
    """Killed at many moments of a turn. What was cut short goes again, under the same number."""
    with mail_server() as post:
        for moment in range(12):
            at = NIGHT + dt.timedelta(minutes=moment)
            args = [sys.executable, "-c", KILLED, str(site.home.root), str(post.port), at.isoformat()]
            with subprocess.Popen(args, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
                time.sleep(moment * 0.004)
                child.kill()
        turned(site, outbox, plain(post), NIGHT + dt.timedelta(hours=1))
        letters: dict[str, set[str]] = {}
        for mail in post.letters:
            letters.setdefault(mail["Message-ID"], set()).add(mail["To"] + mail.get_content())
        assert all(len(said) == 1 for said in letters.values())
        lines = [
            (mail["To"], text)
            for mail in {m["Message-ID"]: m for m in post.letters}.values()
            for text in re.findall(r"log/\d+|quarantine", mail.get_content())
        ]
    with outbox.engine.connect() as db:
        assert db.execute(select(POST).where(POST.c.letter.is_(None))).all() == []
        assert db.execute(select(LETTER).where(LETTER.c.sent_at.is_(None))).all() == []
        posts = len(db.execute(select(POST)).all())
    assert len([t for t in lines if t[1] != "quarantine"]) == len({t for t in lines if t[1] != "quarantine"})
    assert posts == len(lines)


@pytest.mark.parametrize(
    "text",
    [
        'smtp = "mail.example"',
        'smtp = "mail.example:25"\nfrom = "a@b.example"\nsecurity = "none"',
        'smpt = "x:1"',
        "put_aside = 0",
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, text: str) -> None:
    from schemas.home import Home

    home = Home.at(tmp_path)
    home.settings.write_text(f"[notices]\n{text}\n")
    with pytest.raises(Malformed):
        settings(home)


def test_no_programme_is_told_without_tls_elsewhere(site: Installation) -> None:
    for url in ("http://agence.example/x", "ftp://agence.example", "https://name:word@agence.example/", "https://"):
        with pytest.raises(Malformed):
            post_office.tell_programme(site.home, open_root(site.home), AgencyCode("A0001"), url, INVITED)


def test_an_agency_that_is_forgotten_leaves_nothing_and_is_told_of_nothing_old(
    site: Installation, outbox: Outbox
) -> None:
    root = open_root(site.home)
    outbox.collect(NIGHT, 1)
    assert post_office.forget(site.home, root, AgencyCode("A0001")) > 0
    mark = outbox.vault.mark("agency", "A0001")
    with outbox.engine.connect() as db:
        assert db.execute(select(EVENT).where(EVENT.c.agency_mark == mark)).all() == []
    outbox.collect(NIGHT, 1)
    with outbox.engine.connect() as db:
        assert db.execute(select(EVENT).where(EVENT.c.agency_mark == mark)).all() == []
