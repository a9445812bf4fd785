"""Timestamps of RFC 3161: an authority of time signs that it has seen a digest, and when.

    question = ask(checkpoint)                  # TimeStampReq in DER, for application/timestamp-query
    stamp = verify(answer, checkpoint, trusted(pem), question.nonce)

What is stamped is a checkpoint, the whole signed note: whoever trusts the authority's clock knows from then on that
the log had this head at that instant, whatever becomes of the keys of its keeper (R46, R55; GDPR 5(2)). The forms and
their signatures are read by `rfc3161_client`; docs/specs/instruction-log.md shows an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.x509 import (
    Certificate,
    ExtendedKeyUsage,
    ObjectIdentifier,
    load_der_x509_certificate,
    load_pem_x509_certificates,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from schemas.errors import Malformed, NotVerified

MAX_RESPONSE_BYTES = 1024 * 1024  # a usual one has 1 to 8 KB; the certificates in it make the difference

_SHA256 = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_ASK_AGAIN = "Ask the authority again."
_WRONG_AUTHORITY = "Check --trust against what the authority publishes, or ask another authority."


@dataclass(frozen=True, slots=True)
class Question:
    """What an authority is asked: `raw`, the TimeStampReq in DER, and the `nonce` that its answer must repeat."""

    raw: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a verified answer says. `stamped_at`: genTime in UTC, fractions of a second left out; `serial`: of the
    token, up to 160 bits; `policy`: dotted; `response_sha256`: digest of the whole answer."""

    stamped_at: datetime
    serial: int
    policy: str
    response_sha256: str


def ask(checkpoint: bytes) -> Question:
    """A question for SHA-256 of these bytes, with a fresh nonce, that wants the authority's certificate in the
    answer."""
    request = TimestampRequestBuilder(checkpoint, HashAlgorithm.SHA256).build()
    if request.nonce is None:
        raise NotVerified("the question has no nonce", "Report this.")
    return Question(request.as_bytes(), request.nonce)


def trusted(pem: bytes) -> tuple[Certificate, ...]:
    """The certificates of a PEM file: those of the authority's root, and of intermediates that its answers lack.
    Raises Malformed."""
    try:
        found = tuple(dict.fromkeys(load_pem_x509_certificates(pem)))
    except ValueError:
        found = ()
    if not found:
        raise Malformed(
            "the trust file holds no certificates", "Give the authority's root certificate in PEM with --trust."
        )
    return found


def stamped_digest(raw: bytes) -> bytes:
    """The SHA-256 that an answer is about, nothing of it verified. Raises NotVerified when it is about none."""
    imprint = _granted(raw).tst_info.message_imprint
    if imprint.hash_algorithm != _SHA256:  # another digest may have as many bytes
        raise NotVerified("the timestamp is not over a SHA-256 digest", _ASK_AGAIN)
    return imprint.message


def verify(
    raw: bytes,
    checkpoint: bytes,
    trust: Sequence[Certificate],
    nonce: int | None = None,
    policy: str | None = None,
) -> Stamp:
    """What an authority's answer says of a checkpoint, or NotVerified and nothing else, whatever the bytes are.

    `trust`: the certificates that a chain may end at; `nonce`: the question's (None: the answer is kept, and the
    question is not); `policy`: the dotted identifier that is demanded, if one is. To believe it we must know that
    1. the bytes are one TimeStampResp in DER and nothing more, with the status granted;
    2. it is about SHA-256 of these very bytes;
    3. it repeats the nonce of the question, so that it was made after it;
    4. it was made under the policy that was demanded;
    5. it has one signature, and the certificate that made it lies in the answer and is for timestamps alone: its
       extended key usage is critical and names id-kp-timeStamping only (RFC 3161 §2.3);
    6. that certificate was valid at the instant that the answer states;
    7. a chain leads from it to one that is trusted, valid at that instant, and the signature holds.
    Not checked: the certificate's digest among the signed attributes (ESSCertID), and revocation.
    """
    response = _granted(raw)  # 1
    if stamped_digest(raw) != sha256(checkpoint).digest():  # 2
        raise NotVerified("the timestamp is over other bytes than this checkpoint", _ASK_AGAIN)
    token = response.tst_info
    if nonce is not None and token.nonce != nonce:  # 3
        raise NotVerified("the timestamp does not answer this question: its nonce is another", _ASK_AGAIN)
    if policy is not None and token.policy.dotted_string != policy:  # 4
        raise NotVerified("the timestamp was made under another policy than the one demanded", _WRONG_AUTHORITY)
    signer = _signer(response)
    _for_timestamps_alone(signer)  # 5
    at = token.gen_time.astimezone(UTC)
    if not signer.not_valid_before_utc <= at <= signer.not_valid_after_utc:  # 6
        raise NotVerified(
            "the authority's certificate was not valid at the instant that the timestamp states", _WRONG_AUTHORITY
        )
    _signed(response, checkpoint, trust)  # 5, 7
    return Stamp(at, token.serial_number, token.policy.dotted_string, sha256(raw).hexdigest())


def _granted(raw: bytes) -> TimeStampResponse:
    """The answer, once it is known to be one and to hold a token whose every part can be read."""
    if len(raw) > MAX_RESPONSE_BYTES:
        raise NotVerified("the answer is longer than 1 MiB", _WRONG_AUTHORITY)
    try:
        response = decode_timestamp_response(raw)
        status = response.status
    except Exception:  # noqa: BLE001 - whatever the reader says of bytes from outside, they are no answer
        raise NotVerified("the answer is not a timestamp response of RFC 3161", _ASK_AGAIN) from None
    if status != PKIStatus.GRANTED:
        raise NotVerified(
            f"the authority did not grant the timestamp: status {status}",
            "Ask again later; if it stays so, ask the authority why.",
        )
    try:
        token = response.tst_info
        parts: tuple[object, ...] = (token.policy, token.serial_number, token.gen_time, token.message_imprint.message)
        whole = token.version == 1 and None not in parts and response.as_bytes() == raw
    except Exception:  # noqa: BLE001 - as above
        whole = False
    if not whole:
        raise NotVerified("the answer is not a timestamp response of RFC 3161", _ASK_AGAIN)
    return response


def _signer(response: TimeStampResponse) -> Certificate:
    """The certificate in the answer that its only signature names."""
    try:
        signatures = list(response.signed_data.signer_infos)
        held = [load_der_x509_certificate(raw) for raw in response.signed_data.certificates]
        found = [c for c in held for s in signatures if (c.issuer, c.serial_number) == (s.issuer, s.serial_number)]
    except Exception:  # noqa: BLE001 - names, versions and extensions of a certificate fail each in its own way
        raise NotVerified("the signatures or the certificates of the answer cannot be read", _ASK_AGAIN) from None
    if len(signatures) != 1 or len(found) != 1:
        raise NotVerified(
            "the answer does not have one signature with its certificate", "Ask an authority that sends it."
        )
    return found[0]


def _for_timestamps_alone(signer: Certificate) -> None:
    try:
        usage = signer.extensions.get_extension_for_class(ExtendedKeyUsage)
        alone = usage.critical and list(usage.value) == [ExtendedKeyUsageOID.TIME_STAMPING]
    except Exception:  # noqa: BLE001 - no such extension, twice the same, one that cannot be read
        alone = False
    if not alone:
        raise NotVerified("the certificate that signed the answer is not one for timestamps alone", _WRONG_AUTHORITY)


def _signed(response: TimeStampResponse, checkpoint: bytes, trust: Sequence[Certificate]) -> None:
    told = ""
    # All together for chains through several, then one by one: of two roots of one name that do not say which key is
    # theirs, only one is looked at, and it may be the wrong one.
    for roots in (list(trust), *([root] for root in trust)):
        try:
            VerifierBuilder(roots=roots).build().verify_message(response, checkpoint)
        except (VerificationError, ValueError) as no:
            told = told or str(no)
        else:
            return
    if "certificate verify error" in told:
        raise NotVerified("no chain leads from the answer's certificate to a trusted one", _WRONG_AUTHORITY)
    raise NotVerified("the signature of the timestamp does not hold", _ASK_AGAIN)
