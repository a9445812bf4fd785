"""Codes of an authenticator (TOTP, RFC 6238): six figures, thirty seconds, each good once (ASVS 5.0 6.5.1)."""

import re
from datetime import datetime

import pyotp

SECONDS = 30
ISSUER = "Depositaire"
_CODE = re.compile(r"[0-9]{6}")
NOBODYS = pyotp.random_base32()


def fresh() -> str:
    """A secret of 160 bits, in base 32."""
    return pyotp.random_base32()


def address(secret: str, name: str) -> str:
    """What an authenticator reads as a picture: `otpauth://totp/…`."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def step(secret: str, code: str, at: datetime) -> int | None:
    """The step of time that a code is of: now, or one before or after, for clocks that differ; None: it is of none."""
    plain = re.sub(r"\s", "", code)
    if not _CODE.fullmatch(plain):
        plain = "none"
    now, totp = int(at.timestamp()) // SECONDS, pyotp.TOTP(secret)
    found = None
    for n in (now - 1, now, now + 1):  # always all three: how long it takes tells nothing
        if pyotp.utils.strings_equal(totp.at(n * SECONDS), plain):
            found = n
    return found


def picture(text: str) -> dict[str, object]:
    """A QR code (ISO/IEC 18004) as modules: how many a side has, and an SVG path of the dark ones."""
    from reportlab.graphics.barcode.qrencoder import QRCode, QRErrorCorrectLevel

    code = QRCode(None, QRErrorCorrectLevel.M)
    code.addData(text)
    code.make()
    side = code.getModuleCount()
    dark = "".join(f"M{x} {y}h1v1h-1z" for y in range(side) for x in range(side) if code.isDark(y, x))
    return {"side": side, "path": dark}
