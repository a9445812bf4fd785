"""A letter as it leaves: a text for a person, JSON for a programme. The same letter is the same bytes each time."""

import hashlib
import hmac
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from functools import cache
from pathlib import Path
from typing import Any

from schemas.ids import AgencyCode, system_name

SIGNATURE, NUMBER = "Depositaire-Signature", "Depositaire-Letter"


@dataclass(frozen=True, slots=True)
class Told:
    """One event in a letter."""

    code: str
    at: str
    facts: Mapping[str, Any]

    @property
    def page(self) -> str:
        """Below the agency's pages, where more is said."""
        if self.code == "aside":
            return "/quarantine"
        return f"/log/{self.facts['number']}" if "number" in self.facts else ""


@dataclass(frozen=True, slots=True)
class Letter:
    id: str
    agency: AgencyCode
    made_at: datetime
    told: Sequence[Told]
    origin: str

    def link(self, told: Told) -> str:
        return f"{self.origin}/a/{self.agency}{told.page}"


@cache
def _words() -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


def as_mail(letter: Letter, sender: str, to: str, language: str) -> EmailMessage:
    """RFC 5322, in plain text. Who is sent it twice sees one: its Message-ID is the letter's number."""
    tongue = language if language in _words() else "fr"
    words = _words()[tongue]
    lines = [words["greeting"], "", words["begin"].format(agency=letter.agency), ""]
    for told in letter.told:
        lines += [f"- {words[told.code].format_map(_named(told.facts, tongue))}", f"  {letter.link(told)}"]
    lines += ["", words["end"], f"{letter.origin}/preferences", ""]
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = words["subject"].format(count=len(letter.told), agency=letter.agency)
    mail["From"], mail["To"] = sender, to
    mail["Date"] = letter.made_at
    mail["Message-ID"] = f"<{letter.id}@{sender.rpartition('@')[2].strip('>')}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834
    mail["List-Unsubscribe"] = f"<{letter.origin}/preferences>"  # RFC 2369
    mail.set_content("\n".join(lines), cte="quoted-printable")
    return mail


def _named(facts: Mapping[str, Any], language: str) -> dict[str, Any]:
    """Facts with a system as people call it. A programme is told the word of the model."""
    return {name: system_name(said, language) if name == "system" else said for name, said in facts.items()}


def as_json(letter: Letter) -> bytes:
    events = [{"code": t.code, "at": t.at, "facts": dict(t.facts), "link": letter.link(t)} for t in letter.told]
    said = {"letter": letter.id, "agency": letter.agency, "events": events}
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode("ascii")


def signature(secret: str, body: bytes, at: datetime) -> str:
    """`t=<seconds>,v1=<hexadecimal>`: HMAC-SHA256 (RFC 2104) over the seconds, a full stop and the body. A receiver
    refuses what was signed long ago."""
    seconds = str(int(at.timestamp()))
    made = hmac.new(secret.encode(), seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={made}"
