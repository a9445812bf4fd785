"""An authority of time for tests: the `openssl` command with keys of its own, in a temporary folder, on loopback."""

import datetime as dt
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

POLICY = "1.3.6.1.4.1.99999.3161"
TIME_ALONE = (ExtendedKeyUsageOID.TIME_STAMPING,)
TST_INFO = "1.2.840.113549.1.9.16.1.4"
DAY = dt.timedelta(days=1)

_CONFIGURATION = f"""\
[tsa]
default_tsa = here
[here]
serial = {{folder}}/serial
default_policy = {POLICY}
digests = {{digests}}
signer_digest = sha256
ess_cert_id_alg = sha256
"""


class Authority:
    """A root, and a certificate for timestamps under it. `days`: from when until when that is valid, from now."""

    def __init__(
        self,
        folder: Path,
        days: tuple[int, int] = (-1, 3650),
        usage: Sequence[ObjectIdentifier] = TIME_ALONE,
        critical: bool = True,
        digests: str = "sha256",
        keyed: bool = True,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        root, signer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self._root_key = root
        self._root = _certificate("Racine Exemple", root, "Racine Exemple", root, (-1, 3650), None, True, keyed)
        made = _certificate("Horodatage Exemple", signer, "Racine Exemple", root, days, usage, critical, keyed)
        self.trust = folder / "root.pem"
        self.trust.write_bytes(self._root.public_bytes(serialization.Encoding.PEM))
        (folder / "signer.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        unlocked = serialization.NoEncryption()
        pem = signer.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unlocked)
        (folder / "signer.key").write_bytes(pem)
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_CONFIGURATION.format(folder=folder, digests=digests))

    @property
    def roots(self) -> tuple[x509.Certificate, ...]:
        return (self._root,)

    def under(self, name: str) -> tuple[x509.Certificate, x509.Certificate]:
        """Another root, and our root's key certified by it: a chain that is longer by one."""
        key = ec.generate_private_key(ec.SECP256R1())
        above = _certificate(name, key, name, key, (-1, 3650), None, True, True)
        between = _certificate("Racine Exemple", self._root_key, name, key, (-1, 3650), None, True, True)
        return above, between

    def answer(self, question: bytes) -> bytes:
        """What the authority answers to a TimeStampReq."""
        (self.folder / "question").write_bytes(question)
        self._openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "question", "-signer", "signer.pem",
                      "-inkey", "signer.key", "-out", "answer")  # fmt: skip
        return (self.folder / "answer").read_bytes()

    def signed_again(self, content: bytes) -> bytes:
        """An answer with this content (TSTInfo), signed by our certificate whatever that is for."""
        (self.folder / "content").write_bytes(content)
        self._openssl("cms", "-sign", "-binary", "-nodetach", "-md", "sha256", "-nosmimecap", "-econtent_type",
                      TST_INFO, "-in", "content", "-signer", "signer.pem", "-inkey", "signer.key", "-outform", "DER",
                      "-out", "token")  # fmt: skip
        return der(0x30, der(0x30, b"\x02\x01\x00") + (self.folder / "token").read_bytes())

    def signed_by_two(self, content: bytes, other: "Authority") -> bytes:
        """An answer with this content that another authority signs too, with our certificate alone in it."""
        (self.folder / "content").write_bytes(content)
        signers = [(a.folder / "signer.pem", a.folder / "signer.key") for a in (self, other)]
        named = [str(x) for pem, key in signers for x in ("-signer", pem, "-inkey", key)]
        self._openssl("cms", "-sign", "-binary", "-nodetach", "-md", "sha256", "-nosmimecap", "-nocerts", "-certfile",
                      "signer.pem", "-econtent_type", TST_INFO, "-in", "content", *named, "-outform", "DER",
                      "-out", "token")  # fmt: skip
        return der(0x30, der(0x30, b"\x02\x01\x00") + (self.folder / "token").read_bytes())

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


def content_of(answer: bytes) -> bytes:
    """The TSTInfo of an answer: what follows its type, in an octet string."""
    at = answer.index(bytes.fromhex("060b2a864886f70d0109100104")) + 13
    at += 2 if answer[at + 1] < 0x80 else 2 + (answer[at + 1] & 0x7F)  # [0]
    long = answer[at + 1] & 0x7F if answer[at + 1] >= 0x80 else 0
    length = int.from_bytes(answer[at + 2 : at + 2 + long], "big") if long else answer[at + 1]
    return answer[at + 2 + long : at + 2 + long + length]


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes((size,)) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
    return bytes((tag,)) + length + content


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: tuple[int, int],
    usage: Sequence[ObjectIdentifier] | None,
    critical: bool,
    keyed: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    named, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (name, issuer))
    made = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=usage is None, path_length=None), critical=True)
    )
    if keyed:  # roots of one name are told apart
        own, by_key = (k.public_key() for k in (key, issuer_key))
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
        made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key), critical=False)
    if usage:
        made = made.add_extension(x509.ExtendedKeyUsage(usage), critical=critical)
    return made.sign(issuer_key, hashes.SHA256())


# -- over HTTP ---------------------------------------------------------------------------------------------------------

Answer = Callable[[bytes], bytes]


@contextmanager
def serving(
    answer: Answer, status: int = 200, announced: int | None = None, silence: float = 0.0
) -> Iterator[tuple[str, list[bytes]]]:
    """The authority's address, and the questions that came. `announced`: a length other than the answer's."""
    asked: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(question)
            assert self.headers["Content-Type"] == "application/timestamp-query"
            time.sleep(silence)
            body = answer(question)
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(body) if announced is None else announced))
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # who asked has gone

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsa", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
