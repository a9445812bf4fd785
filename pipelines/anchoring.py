"""Anchoring the logs in time: their heads are stamped by an authority (RFC 3161), once a night or by hand.

Only a digest leaves the house, and nothing is written before its answer is verified. Sources: GDPR 5(2); R46, R55.
"""

import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ledger.anchors import Anchors, Authority, verify_anchored
from ledger.canonical import instant
from ledger.deeds import Anchored
from ledger.keys import LogKeys
from ledger.log import Log
from ledger.timestamp import MAX_RESPONSE_BYTES, stamped_digest, trusted, verify as verify_stamp
from ledger.witness import verify_since
from schemas.errors import Malformed, NotVerified, TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode, agency_code
from store.house import House
from store.keys import open_root

SILENCE_SECONDS = 20.0
WHOLE_ANSWER_SECONDS = 60.0
_CHUNK = 2**16
_CODE = re.compile(r"[A-Z0-9]{5}")
_LATER = "Check --tsa and the network, or do the same again later: what was done stays done."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one agency's log: the heads that were anchored (none: nothing new), or what does not hold."""

    agency: AgencyCode
    anchored: tuple[Anchored, ...] = ()
    problem: NotVerified | None = None


@dataclass(frozen=True, slots=True)
class Proven:
    """A timestamp that holds, of a head of `size` leaves that today's log, of `now`, extends."""

    agency: AgencyCode
    size: int
    now: int
    stamped_at: datetime
    authority: str

    def as_json(self) -> dict[str, Any]:
        return {
            "agency": self.agency, "size": self.size, "log_size": self.now, "stamped_at": instant(self.stamped_at),
            "authority": self.authority,
        }  # fmt: skip


def authority(trust: Path, name: str | None, url: str | None = None, policy: str | None = None) -> Authority:
    """Whom to believe: by default it has the name of its host. Raises Malformed."""
    return Authority(
        name or (host_of(url) if url else ""), trusted(_read(trust, "the trust file cannot be read")), policy
    )


def host_of(url: str) -> str:
    """The host of an authority's address. Raises Malformed."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    if not host:
        raise Malformed("--tsa is not an address of an authority", "Give one that begins with https:// or http://.")
    return host


class Post:
    """The logs of a home, for whoever has their heads stamped and checks the stamps."""

    def __init__(self, home: Home, passphrase: str | None = None) -> None:
        House.open(home).db.close()
        self._home = home
        self._keys = LogKeys(home, open_root(home, passphrase))

    def agencies(self, wanted: Collection[str] | None) -> list[AgencyCode]:
        """Those that were named, or all that have a log: erased ones too, whose log goes on."""
        if wanted is not None:
            codes = [agency_code(a) for a in dict.fromkeys(wanted)]
            for code in codes:
                if not self._log(code).exists:
                    raise Malformed(f"there is no log of agency {code} here", "Check the code.")
            return codes
        named = {p.stem for p in self._home.ledgers.glob("*") if _CODE.fullmatch(p.stem)}
        return sorted(code for code in map(agency_code, named) if self._log(code).exists)

    def anchor(
        self, agencies: Collection[AgencyCode], url: str, by: Authority, at: datetime, step: Callable[[str], None]
    ) -> Iterator[Outcome]:
        """Have the head of each log stamped. A log or an answer that does not hold does not keep the others from it;
        an authority that does not answer does: raises TryAgain."""
        for agency in agencies:
            try:
                yield Outcome(agency, tuple(self._anchor(agency, url, by, at)))
            except NotVerified as no:
                yield Outcome(agency, problem=no)
            step(agency)

    def _anchor(self, agency: AgencyCode, url: str, by: Authority, at: datetime) -> list[Anchored]:
        anchors = self._anchors(agency)
        with anchors.alone():
            done = anchors.mend(by, at)
            asked = anchors.next()
            if asked is not None:
                done.append(anchors.record(asked, post(url, asked.question.raw), by, at))
        return done

    # -- by hand -------------------------------------------------------------------------------------------------------

    def query(self, agency: AgencyCode, to: Path) -> int | None:
        """Write the question about a log's head to a file, to be carried to an authority. Returns the size of the head;
        None, and no file, when it is anchored already."""
        anchors = self._anchors(agency)
        with anchors.alone():
            asked = anchors.next()
            if asked is None:
                return None
            anchors.await_answer(asked)
        to.write_bytes(asked.question.raw)
        return asked.size

    def take(self, response: Path, by: Authority, at: datetime) -> tuple[AgencyCode, Anchored]:
        """Take in the answer to a question that was carried away."""
        raw = _read(response, "the answer cannot be read")
        agency, size = self._stamped(raw)
        anchors = self._anchors(agency)
        with anchors.alone():
            return agency, anchors.take(size, raw, by, at)

    # -- checking ------------------------------------------------------------------------------------------------------

    def verify(self, response: Path, trust: Path) -> Proven:
        """An authority has stamped a head that today's log extends. Raises NotVerified saying what does not hold.

        To believe it we must know that
        1. the answer is about a checkpoint that is kept here, and `ledger.timestamp.verify` believes it;
        2. the checkpoint is of this log, and today's log extends it;
        3. the log names the answer by its digest, with the same instant.
        """
        raw = _read(response, "the answer cannot be read")
        believed = trusted(_read(trust, "the trust file cannot be read"))
        agency, size = self._stamped(raw)
        checkpoint = self._anchors(agency).checkpoint(size)
        stamp = verify_stamp(raw, checkpoint, believed)  # 1
        history = self._log(agency).read()
        stated = verify_since(checkpoint, history, str(self._keys.verifier(agency)))  # 2
        told = verify_anchored(history, stated.size, checkpoint, raw)  # 3
        if told.stamped_at != stamp.stamped_at:
            raise NotVerified("the log states another instant than the timestamp", "Keep both as evidence.")
        return Proven(agency, stated.size, history.head.size, stamp.stamped_at, told.authority)

    def _stamped(self, raw: bytes) -> tuple[AgencyCode, int]:
        """Whose head, and of how many leaves, an answer is about."""
        digest = stamped_digest(raw)
        for agency in self.agencies(None):
            size = self._anchors(agency).size_of(digest)
            if size is not None:
                return agency, size
        raise NotVerified(
            "the timestamp is over no checkpoint that is kept here", "Check --home; keep the file as evidence."
        )

    def _log(self, agency: AgencyCode) -> Log:
        return Log.at(self._home, agency, self._keys)

    def _anchors(self, agency: AgencyCode) -> Anchors:
        log = self._log(agency)
        if not log.exists:
            raise Malformed(f"there is no log of agency {agency} here", "Check the code.")
        log.head()  # one of version 1 is moved into its folder before anything is kept there
        return Anchors(log, str(self._keys.verifier(agency)))


class _Staying(HTTPRedirectHandler):
    """Redirected, a question would become a GET: the address is to be given as it is."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: str, question: bytes) -> bytes:
    """The answer of an authority to a question, over HTTP (RFC 3161 §3.4). Raises TryAgain when there is none, and
    NotVerified when it is longer than any."""
    host_of(url)
    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    request = Request(url, question, headers)  # noqa: S310 - the scheme was checked
    try:
        with build_opener(_Staying).open(request, timeout=SILENCE_SECONDS) as answer:
            return _whole(answer)
    except HTTPError as no:
        no.close()
        raise TryAgain(f"the authority of time answers with the HTTP status {no.code}", _LATER) from None
    except (OSError, HTTPException, ValueError):
        raise TryAgain("the authority of time does not answer", _LATER) from None


def _whole(answer: Any) -> bytes:
    """All of an answer, as long as it comes within its time and its size."""
    deadline = time.monotonic() + WHOLE_ANSWER_SECONDS
    raw = b""
    while part := answer.read1(_CHUNK):
        raw += part
        if len(raw) > MAX_RESPONSE_BYTES:
            raise NotVerified("the answer is longer than 1 MiB", "Check --tsa: this is no authority of time.")
        if time.monotonic() > deadline:
            raise TimeoutError
    announced = answer.headers.get("Content-Length")
    if announced is not None and announced.isdigit() and int(announced) > len(raw):
        raise OSError("cut short")
    return raw


def _read(path: Path, missing: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise Malformed(missing, "Give the path of its file.") from None
