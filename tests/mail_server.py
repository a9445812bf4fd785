"""A server of mail on loopback: aiosmtpd, with STARTTLS and a login where wanted, that keeps what it was sent."""

import datetime as dt
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "depositaire", "quatre mouettes sur le quai"


@dataclass
class Post:
    """`answers`: what is said to a letter, by its recipient."""

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    to: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    answers: Callable[[str], str] = lambda _: "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        said = self.answers(address)
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        made = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(made, EmailMessage)
        self.letters.append(made)
        self.to += envelope.rcpt_tos
        return "250 OK"


@contextmanager
def post_office(folder: Path | None = None, kept: Post | None = None) -> Iterator[Post]:
    """`folder`: where a certificate for this machine is written (`ca.pem`); then STARTTLS and a login are needed."""
    here = kept or Post()
    told: dict[str, Any] = {}
    if folder is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certified(folder))

        def known(server: Any, session: Any, envelope: Any, mechanism: str, given: LoginPassword) -> AuthResult:
            here.logins.append(given.login.decode())
            return AuthResult(success=(given.login.decode(), given.password.decode()) == (USER, PASSWORD))

        told = {"tls_context": context, "require_starttls": True, "authenticator": known, "auth_required": True}
    if not here.port:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as free:
            here.port = free.getsockname()[1]
    served = Controller(here, hostname="127.0.0.1", port=here.port, **told)
    served.start()
    try:
        yield here
    finally:
        served.stop()


def certified(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine's address, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1)).add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "ca.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
