"""The notices of a home: opened for a turn, kept going beside the pages, and the programmes that are told."""

import secrets
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import delete, insert, select

from ledger.keys import LogKeys
from ledger.log import Log
from pipelines.notices import sending
from pipelines.notices.outbox import Outbox
from pipelines.notices.settings import Settings, settings
from pipelines.notices.tables import EVENT, LETTER, POST, PREFERENCE, WEBHOOK, open_outbox
from pipelines.reception import tables
from pipelines.reception.logs import Logs
from pipelines.reception.tables import stamp
from pipelines.reception.vault import Vault
from schemas.addresses import is_here
from schemas.errors import Malformed, Refused, TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode
from store.keys import Root


def outbox_of(home: Home, root: Root) -> Outbox:
    vault = Vault.of(home, root)
    return Outbox(home, open_outbox(home), tables.accounts(home), vault, Logs(home, root))


@contextmanager
def beside(home: Home, root: Root, origin: str, now: Callable[[], datetime]) -> Iterator[None]:
    """Send notices for as long as something else goes on (the web door)."""
    how, stop = settings(home), threading.Event()
    office = outbox_of(home, root)
    goes = (home, office, how, origin, now, stop)
    thread = threading.Thread(target=sending.follow, args=goes, kwargs={"failed": _failed}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(sending.SILENCE_SECONDS * 2)
        if not thread.is_alive():
            office.engine.dispose()


def _failed(no: Exception) -> None:
    """Kind and place: what an error says that is not ours may hold anything."""
    if isinstance(no, TryAgain):
        return
    frame = traceback.extract_tb(no.__traceback__)[-1]
    said = f"{type(no).__name__} at {Path(frame.filename).name}:{frame.lineno}"
    print(f"depositaire notices: {said}", file=sys.stderr, flush=True)


def turn(home: Home, root: Root, origin: str, now: Callable[[], datetime]) -> sending.Turn:
    office = outbox_of(home, root)
    try:
        return sending.turn(home, office, settings(home), origin, now)
    finally:
        office.engine.dispose()


def forget(home: Home, root: Root, agency: AgencyCode) -> int:
    """Everything of an agency that is being erased. Returns how many things that was."""
    if not (home.reception / "notices.db").exists():
        return 0
    office = outbox_of(home, root)
    try:
        return office.forget(agency, Log.at(home, agency, LogKeys(home, root)).stated_size())
    finally:
        office.engine.dispose()


def sweep(home: Home, accounts: Collection[str], erased: Collection[str], before: str) -> None:
    """Forget accounts that are forgotten (how they are told, and what waits for them or was sent), and what was told
    before an instant of erased agencies (marks)."""
    if not (accounts or erased) or not (home.reception / "notices.db").exists():
        return
    engine = open_outbox(home)
    try:
        with engine.begin() as db:
            db.execute(delete(PREFERENCE).where(PREFERENCE.c.account.in_(accounts)))
            for table in (POST, LETTER):
                db.execute(delete(table).where(table.c.recipient.in_(accounts)))
            old = select(EVENT.c.id).where(EVENT.c.agency_mark.in_(erased), EVENT.c.at < before)
            letters = select(POST.c.letter).where(POST.c.event.in_(old), POST.c.letter.is_not(None))
            db.execute(delete(LETTER).where(LETTER.c.id.in_(letters)))
            db.execute(delete(POST).where(POST.c.event.in_(old)))
            db.execute(delete(EVENT).where(EVENT.c.agency_mark.in_(erased), EVENT.c.at < before))
    finally:
        engine.dispose()


# -- programmes --------------------------------------------------------------------------------------------------------


def tell_programme(home: Home, root: Root, agency: AgencyCode, url: str, at: datetime) -> str:
    """Tell a programme of an agency from now on; what it was told before at another address ends. Returns the secret
    under which it is told, which is shown once. Raises Malformed for an address that is not https."""
    parts = urlsplit(url)
    plain = parts.scheme == "http" and is_here(parts.hostname or "")
    if not parts.hostname or not (parts.scheme == "https" or plain) or parts.username or parts.fragment or parts.query:
        raise Malformed("the address of the programme is not one of https", "Only on this machine may it be http.")
    vault, secret, number = Vault.of(home, root), secrets.token_urlsafe(32), f"WHK-{secrets.token_hex(8)}"
    mark = vault.mark("agency", agency)
    engine = open_outbox(home)
    with engine.begin() as db:
        db.execute(delete(WEBHOOK).where(WEBHOOK.c.agency_mark == mark))
        db.execute(
            insert(WEBHOOK).values(
                id=number, agency=vault.seal(agency, "webhook", "agency"), agency_mark=mark, made_at=stamp(at),
                url=vault.seal(url, "webhook", number, "url"), secret=vault.seal(secret, "webhook", number, "secret"),
            )
        )  # fmt: skip
    engine.dispose()
    return secret


def tell_no_programme(home: Home, root: Root, agency: AgencyCode) -> None:
    """Raises Refused where none was told."""
    engine, mark = open_outbox(home), Vault.of(home, root).mark("agency", agency)
    with engine.begin() as db:
        known = db.scalar(select(WEBHOOK.c.id).where(WEBHOOK.c.agency_mark == mark))
        db.execute(delete(WEBHOOK).where(WEBHOOK.c.agency_mark == mark))
    engine.dispose()
    if known is None:
        raise Refused("no programme of this agency is told", "Nothing was changed.")


__all__ = ["Settings", "beside", "forget", "outbox_of", "sweep", "tell_no_programme", "tell_programme", "turn"]
