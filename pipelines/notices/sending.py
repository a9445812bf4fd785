"""Letters leave: posts that are due are put into a letter, the letter is sent, and that is noted.

A letter whose sending was cut short goes again, the same under the same number: a server or a reader that has it
already knows it by that. A server that is away keeps nobody waiting: the letter is tried again later and later. What
a server refuses for good is noted, and not tried again.
"""

import fcntl
import os
import secrets
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import insert, select, update

from ledger.canonical import read_instant
from pipelines.notices.letters import NUMBER, SIGNATURE, Letter, Told, as_json, as_mail, signature
from pipelines.notices.outbox import Outbox, facts_of
from pipelines.notices.settings import NONE, TLS, Mail, Settings
from pipelines.notices.tables import EVENT, LETTER, POST, WEBHOOK
from pipelines.reception.tables import stamp
from schemas.errors import TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode

SILENCE_SECONDS = 10.0
EVERY_SECONDS = 60.0
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
TRIED_FOR = timedelta(days=5)
_MOST_EVENTS = 100  # in one letter; the rest is in the next
_FOR_GOOD = frozenset(range(400, 500)) - {401, 403, 404, 407, 408, 409, 425, 429}


class Away(Exception):
    """Nothing could be handed over now. The text is a kind."""


class RefusedLetter(Exception):
    """The other side does not take this letter. The text is a kind."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn came to. `left`: what waits, not due things too; `troubles`: kinds, each once."""

    sent: int
    left: int
    troubles: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {"sent": self.sent, "left": self.left, "troubles": list(self.troubles)}


def turn(home: Home, outbox: Outbox, how: Settings, origin: str, now: Callable[[], datetime]) -> Turn:
    """Find out what is new, and send what is due. Raises TryAgain while another process does."""
    with _alone(home):
        outbox.collect(now(), how.put_aside)
        _put_into_letters(outbox, now(), how)
        sent, troubles = 0, []
        for row in _to_send(outbox, now()):
            trouble = _sent(outbox, how, row, origin, now)
            sent += trouble is None
            troubles += [trouble] if trouble else []
        outbox.clear(now())
        return Turn(sent, outbox.waiting(), tuple(dict.fromkeys(troubles)))


def follow(
    home: Home, outbox: Outbox, how: Settings, origin: str, now: Callable[[], datetime], stop: threading.Event,
    told: Callable[[Turn], None] = lambda _: None, failed: Callable[[Exception], None] = lambda _: None,
) -> None:  # fmt: skip
    """Turn after turn, until stopped. What keeps one turn from being is told, and does not keep the next from it."""
    while not stop.is_set():
        try:
            told(turn(home, outbox, how, origin, now))
        except Exception as no:  # noqa: BLE001 - whoever keeps the pages open must not stop for a letter
            failed(no)
        stop.wait(EVERY_SECONDS)


# -- letters -----------------------------------------------------------------------------------------------------------


def _put_into_letters(outbox: Outbox, at: datetime, how: Settings) -> None:
    """One letter for each recipient and agency, of what is due. Written before anything is sent."""
    with outbox.engine.begin() as db:
        waits = (POST.c.letter.is_(None), POST.c.due_at <= stamp(at))
        mail = () if how.mail is not None else (POST.c.recipient.like("WHK-%"),)  # people's wait for a server
        found = db.execute(
            select(POST.c.recipient, POST.c.event, EVENT.c.agency_mark)
            .join(EVENT, EVENT.c.id == POST.c.event)
            .where(*waits, *mail)
            .order_by(POST.c.recipient, EVENT.c.agency_mark, POST.c.event)
        ).all()
        parts: dict[tuple[str, str], list[int]] = {}
        for r in found:
            parts.setdefault((r.recipient, r.agency_mark), []).append(r.event)
        for (recipient, _), numbers in parts.items():
            for start in range(0, len(numbers), _MOST_EVENTS):
                number = f"LTR-{secrets.token_hex(12)}"
                some = numbers[start : start + _MOST_EVENTS]
                db.execute(insert(LETTER).values(id=number, recipient=recipient, made_at=stamp(at), next_at=stamp(at)))
                mine = (POST.c.recipient == recipient, POST.c.event.in_(some))
                db.execute(update(POST).where(*mine).values(letter=number))


def _to_send(outbox: Outbox, at: datetime) -> Sequence[Any]:
    with outbox.engine.connect() as db:
        due = (LETTER.c.sent_at.is_(None), LETTER.c.next_at <= stamp(at))
        return db.execute(select(LETTER).where(*due).order_by(LETTER.c.made_at, LETTER.c.id)).all()


def _sent(outbox: Outbox, how: Settings, row: Any, origin: str, now: Callable[[], datetime]) -> str | None:
    """None: it left. Else what was the matter."""
    at, trouble, over = now(), None, False
    try:
        _hand_over(outbox, how, row, origin, at)
    except RefusedLetter as no:
        trouble, over = str(no), True
    except Away as no:
        trouble, over = str(no), at - read_instant(row.made_at) > TRIED_FOR
    with outbox.engine.begin() as db:
        done = stamp(now()) if trouble is None or over else None
        later = stamp(at + pause_after(row.tries + 1))
        values = {"sent_at": done, "tries": row.tries + 1, "next_at": later, "trouble": trouble}
        db.execute(update(LETTER).where(LETTER.c.id == row.id).values(**values))
    return trouble


def pause_after(tries: int) -> timedelta:
    """1, 2, 4 … minutes, at most an hour."""
    return min(FIRST_PAUSE * int(2 ** min(tries - 1, 10)), LONGEST_PAUSE)


def _hand_over(outbox: Outbox, how: Settings, row: Any, origin: str, at: datetime) -> None:
    with outbox.engine.connect() as db:
        found = db.execute(
            select(EVENT).join(POST, POST.c.event == EVENT.c.id).where(POST.c.letter == row.id).order_by(EVENT.c.id)
        ).all()
        hook = db.execute(select(WEBHOOK).where(WEBHOOK.c.id == row.recipient)).one_or_none()
    if not found:
        raise RefusedLetter("nothing is left of it")
    agency = AgencyCode(outbox.vault.open(found[0].agency, "event", "agency"))
    told = [Told(e.code, e.at, facts_of(e)) for e in found]
    letter = Letter(row.id, agency, read_instant(row.made_at), told, origin)
    if row.recipient.startswith("WHK-"):
        if hook is None:
            raise RefusedLetter("nobody is left to take it")
        url = outbox.vault.open(hook.url, "webhook", hook.id, "url")
        to_programme(url, outbox.vault.open(hook.secret, "webhook", hook.id, "secret"), letter, at)
        return
    who = outbox.addressee(row.recipient, agency, at)
    if who is None:
        raise RefusedLetter("nobody is left to take it")
    if how.mail is None:
        raise Away("no server")
    to_person(how.mail, letter, *who)


# -- ways --------------------------------------------------------------------------------------------------------------


def to_person(how: Mail, letter: Letter, email: str, language: str) -> None:
    """By SMTP (RFC 5321), over TLS but on this machine. Raises Away, RefusedLetter."""
    try:
        with _server(how) as server:
            if how.user is not None:
                server.login(how.user, how.password or "")
            server.send_message(as_mail(letter, how.sender, email, language))
    except smtplib.SMTPRecipientsRefused as no:
        codes = {code for code, _ in no.recipients.values()}
        kind = f"recipient {min(codes)}"
        raise (RefusedLetter(kind) if min(codes) >= 500 else Away(kind)) from None
    except smtplib.SMTPResponseException as no:
        raise Away(f"smtp {no.smtp_code}") from None
    except (smtplib.SMTPException, OSError) as no:
        raise Away(_kind(no)) from None


def _server(how: Mail) -> smtplib.SMTP:
    if how.security == TLS:
        return smtplib.SMTP_SSL(how.host, how.port, timeout=SILENCE_SECONDS, context=ssl.create_default_context())
    server = smtplib.SMTP(how.host, how.port, timeout=SILENCE_SECONDS)
    if how.security != NONE:
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def to_programme(url: str, secret: str, letter: Letter, at: datetime) -> None:
    """By HTTP. Any 2xx takes it; a redirect is not followed. Raises Away, RefusedLetter."""
    parts, body = urlsplit(url), as_json(letter)
    headers = {
        "Content-Type": "application/json", "User-Agent": "depositaire", NUMBER: letter.id,
        SIGNATURE: signature(secret, body, at),
    }  # fmt: skip
    host, port = parts.hostname or "", parts.port
    made = (
        HTTPSConnection(host, port, timeout=SILENCE_SECONDS, context=ssl.create_default_context())
        if parts.scheme == "https"
        else HTTPConnection(host, port, timeout=SILENCE_SECONDS)
    )
    with closing(made) as wire:
        try:
            wire.request("POST", parts.path or "/", body, headers)
            status = wire.getresponse().status
        except (OSError, HTTPException) as no:
            raise Away(_kind(no)) from None
    if status in _FOR_GOOD:
        raise RefusedLetter(f"status {status}")
    if not 200 <= status < 300:
        raise Away(f"status {status}")


def _kind(no: Exception) -> str:
    if isinstance(no, ssl.SSLError):
        return "tls"
    if isinstance(no, socket.timeout):
        return "silent"
    if isinstance(no, smtplib.SMTPException):
        return "smtp"
    return "unreachable"


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """One sender at a time: two would send the same letter twice."""
    handle = os.open(home.reception / "notices.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TryAgain("notices are being sent by another process", "`door serve` and `up` send them.") from None
        yield
    finally:
        with suppress(OSError):
            os.close(handle)
