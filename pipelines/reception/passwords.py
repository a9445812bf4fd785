"""Passwords: Argon2id (RFC 9106), at least 15 characters, none that everybody tries first.

19 MiB, two passes, one lane: 0.13 s on the machine of the measurements; two at once, so that tries cannot take all of
the processor or the memory. ASVS 5.0 6.2.1, 6.2.4, 6.2.9, 11.4.2.
"""

import re
import threading
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from schemas.errors import Malformed

LEAST, MOST = 15, 256
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_AT_ONCE = threading.BoundedSemaphore(2)

# Of what leaked most often, what is long enough to reach this check: rows of keys, counting, a few phrases. Repetitions
# of shorter ones are found by form.
_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "azertyuiopqsdfghjklmwxcvbn",
         "qwertyuiopasdfghjklzxcvbnm", "1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv5tgb6yhn",
         "aqwzsxedcrfvtgbyhnuj")  # fmt: skip
_PHRASES = frozenset({
    "correcthorsebatterystaple", "motdepassemotdepasse", "passwordpassword", "iloveyouforever", "jetaimepourlavie",
    "administrateur", "administrator123", "changemechangeme", "letmeinletmein", "motdepasse12345", "password1234567",
    "password12345678", "azertyuiop12345", "qwertyuiop12345", "bienvenue123456", "welcome12345678", "depositaire2026",
})  # fmt: skip


def check(password: str, *own: str) -> None:
    """Raises Malformed, without a word of it, for one that is not to be used. `own`: what it may not be made of."""
    if not LEAST <= len(password) <= MOST:
        raise Malformed("the password is too short or too long", f"Take {LEAST} to {MOST} characters: a few words do.")
    if _is_common(password, own):
        raise Malformed("the password is one that is tried first", "Take a few words that do not belong together.")


def _is_common(password: str, own: tuple[str, ...]) -> bool:
    plain = _letters(password)
    if plain in _PHRASES or len(set(password)) < 5 or re.fullmatch(r"(.{1,16}?)\1+.{0,8}", plain):
        return True
    if any(plain and plain in way for row in _ROWS for way in (row * 2, row[::-1] * 2)):
        return True
    return any(len(o) > 3 and o in plain and len(plain.replace(o, "")) < 6 for o in map(_letters, own))


def _letters(text: str) -> str:
    """Letters and figures, small."""
    return re.sub(r"[\W_]", "", text.casefold())


def hashed(password: str) -> str:
    with _AT_ONCE:
        return _HASHER.hash(_normal(password))


def matches(password: str, kept: str | None) -> bool:
    """Whether it is the one that was kept. Nothing kept takes as long as something else kept."""
    with _AT_ONCE:
        try:
            _HASHER.verify(kept or _nobodys(), _normal(password[: MOST + 1]))
        except (VerificationError, InvalidHashError):
            return False
    return kept is not None


@cache
def _nobodys() -> str:
    return _HASHER.hash("the password of nobody")


def _normal(password: str) -> str:
    """One spelling of what looks the same (NIST SP 800-63B-4 §3.1.1.2)."""
    return unicodedata.normalize("NFC", password)
