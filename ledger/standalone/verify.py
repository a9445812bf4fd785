#!/usr/bin/env python3
"""Checks an evidence pack without a network and without trusting whoever made it. It needs Python 3.9 or later and the
command `openssl` (3.0 or later), nothing else. What it says stands here in French | and in English.

    python3 verify.py PACK.zip [--key KEY] [--since CHECKPOINT] [--tsa-ca CA.pem] [--lang en]

To believe a pack we must know that
1. the file is a pack in its one spelling; none of its files is missing, too many, there twice or changed;
2. each leaf of the log is in its one spelling, of this agency and in its place;
3. each content and salt that is shown is what its leaf commits to;
4. each instruction, obligation or notice that a content names stands before it;
5. the leaves have the root that the checkpoint states, and every older checkpoint is a beginning of the same log;
6. each erasure has its certificate: signed, named by the log, made on a head that the log had before;
7. checkpoints and manifest are signed by the log's key: the one expected (--key), or else the one in the pack;
8. each timestamp is the one that the log names, and an authority that is trusted made it (--tsa-ca);
9. each signature of a passkey holds for the entry before it, and the passkey stood for the agency then.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

MANIFEST = ["format", "version", "agency", "made_at", "size", "root", "key", "files"]
GIVEN = frozenset({1, *range(6, 14)})  # the kinds of entry that are an instruction
NAMED = {"instruction": GIVEN, "supersedes": GIVEN, "instructions": GIVEN | {15}, "obligation": {15}, "notice": {17}}
PREFIXES = {**dict.fromkeys(GIVEN, "INS"), 15: "OBL", 17: "NOT"}
ERASED, ANCHORED, ENROLLED, REVOKED, SIGNED = 5, 19, 23, 24, 25
SAID = GIVEN | {2, 18, ENROLLED, REVOKED, 26}  # what an agency says, and can sign
# Algorithms of passkeys (COSE), and how the DER of such a key begins: P-256, Ed25519, RSA.
ES256, EDDSA, RS256 = -7, -8, -257
DER = {ES256: "3059301306072a8648ce3d020106082a8648ce3d03010703420004", EDDSA: "302a300506032b6570032100",
       RS256: "3082....300d06092a864886f70d0101010500"}  # fmt: skip
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")
LANGUAGES = ("fr", "en")
NEXT = (". Redemandez ce qui manque ; gardez ce dossier.", ". Ask for what is missing; keep this pack.")


class Broken(Exception):
    """The pack does not hold, or cannot be checked: why, and what to do."""


def check(raw: bytes, key: str = "", since: bytes = b"", tsa_ca: bytes = b"", lang: str = "fr") -> list[str]:
    """What holds, a sentence each; Broken otherwise. `since`: a checkpoint; `tsa_ca`: certificates in PEM."""
    words = LANGUAGES.index(lang)
    try:
        return [told.split(" | ")[words] for told in Pack(raw).check(key.strip(), since, tsa_ca)]
    except Broken as broken:
        said = str(broken)
    except Exception:  # noqa: BLE001 - whatever else is wrong with the bytes, they are no pack
        said = "ce n'est pas un dossier de preuves entier | this is not a whole evidence pack"
    raise Broken(said.split(" | ")[words] + NEXT[words])


def no(words: str) -> NoReturn:
    raise Broken(words)


class Pack:
    """A pack whose files are those of its manifest (1), with the leaves of its log (2) and what they say (3)."""

    def __init__(self, raw: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            self.files = {i.filename: archive.read(i) for i in archive.infolist() if i.compress_type == 0}
        again = io.BytesIO()  # 1: stored, sorted, undated, nothing between
        with zipfile.ZipFile(again, "w") as archive:
            for name in sorted(self.files):
                member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                member.create_system, member.external_attr = 3, 0o644 << 16
                archive.writestr(member, self.files[name])
        if again.getvalue() != raw:
            no("le zip a plus que ses fichiers, ou l'un deux fois | the zip has more than its files, or one twice")
        m = self.manifest = json.loads(self.files["manifest.json"])
        spelled = json.dumps(m, ensure_ascii=False, indent=1).encode() + b"\n"
        known = (m["format"], m["version"]) == ("depositaire-evidence", 1) and re.fullmatch("[A-Z0-9]{5}", m["agency"])
        if not known or list(m) != MANIFEST or spelled != self.files["manifest.json"]:
            no("le manifeste n'a pas la forme prévue | the manifest is not written as one")
        digests = {n: _sha(self.files[n]).hex() for n in sorted(self.files) if not n.startswith("manifest.")}
        if list(m["files"].items()) != list(digests.items()):
            changed = sorted({n for n, _ in m["files"].items() ^ digests.items()})[:3]
            no(f"fichiers changés, ajoutés ou retirés : {changed} | files changed, added or taken out: {changed}")
        self.agency, self.name = m["agency"], f"depositaire/{m['agency']}/instructions"
        self.leaves = list(self._leaves())
        self.entries = list(self._entries())
        self.levels = [[_sha(b"\0" + raw_leaf) for raw_leaf, _ in self.leaves]]
        while len(self.levels[-1]) > 1:
            row = self.levels[-1]
            self.levels.append([_sha(b"\1" + row[n] + row[n + 1]) for n in range(0, len(row) - 1, 2)])

    def check(self, key: str, since: bytes, tsa_ca: bytes) -> list[str]:
        m, size, n = self.manifest, len(self.leaves), len(self.files)
        self._references()
        public = base64.b64decode(m["key"].split("+", 2)[2])[1:]
        own = m["key"] == _key(self.name, public) and self.files["log/key.txt"] == (m["key"] + "\n").encode()  # 7
        if not own or (key and key != m["key"]):
            no("le dossier est signé par une autre clé que celle attendue | the pack is signed by another key")
        stated = (m["size"], m["root"]) == (size, self._root(size).hex())  # 5
        if not stated or not self._begins(self.files["log/checkpoint"], size):
            no("les inscriptions n'ont pas la racine signée | the leaves do not have the root that was signed")
        stamps, certificates, signed = self._stamped(tsa_ca), self._certificates(), self._signatures()
        if since and not self._begins(since):
            no("le registre ne prolonge pas le point de --since | the log does not extend the head of --since")
        vouched, digest = f"depositaire/{self.agency}/evidence", _sha(self.files["manifest.json"]).hex()
        if _signed(self.files["manifest.note"], vouched, public) != [vouched, digest]:
            no("la signature porte sur un autre manifeste | the signature is over another manifest")
        notes = [self.files[name] for name in sorted(self.files) if name.endswith("checkpoint")]
        for note in [*notes, since] if since else notes:
            _signed(note, self.name, public)
        hidden = sum(body is None for _, body in self.entries)
        return [
            f"{n} fichiers, tous ceux du manifeste signé | {n} files, those of the signed manifest",
            f"{self.agency} : {size} inscriptions, recalculées | {self.agency}: {size} entries, recomputed",
            f"{hidden} contenus retenus par la loi ou détruits | {hidden} contents are withheld by law or destroyed",
            f"{certificates} certificats d'effacement | {certificates} certificates of erasure",
            f"{signed} signatures par clé d'accès, vérifiées | {signed} signatures by passkey, verified",
            f"{stamps} horodatages, vérifiés si --tsa-ca | {stamps} timestamps, verified if --tsa-ca",
            *(["le point de --since est prolongé | the head of --since is extended"] if since else []),
            f"signé par {m['key']} | signed by {m['key']}",
            *([] if key else ["sans --key, la clé du dossier est crue | without --key the pack's own key is trusted"]),
        ]

    def _leaves(self) -> Any:
        """2. The leaves, each with what it states."""
        raws, at, index = self.files["log/entries"], 0, 0
        while at < len(raws):
            raw = raws[at + 2 : at + 2 + int.from_bytes(raws[at : at + 2], "big")]
            leaf = json.loads(raw)
            stated = {field: leaf[field] for field in ("at", "commitment", "kind")}
            ours = {"agency": self.agency, "format": "depositaire-leaf", "index": index, "version": 1, **stated}
            whole = raws[at : at + 2] == len(raw).to_bytes(2, "big") and _canonical(ours) == raw
            if not whole or not INSTANT.fullmatch(leaf["at"]) or type(leaf["kind"]) is not int:
                no(f"l'inscription {index} n'est pas à sa place | leaf {index} is not in its place")
            yield raw, leaf
            at, index = at + 2 + len(raw), index + 1

    def _entries(self) -> Any:
        """3. The kind of each leaf, and the body that it says (None: withheld or destroyed)."""
        contents, salts = (self.files[f"log/{f}.jsonl"].split(b"\n") for f in ("contents", "salts"))
        if contents.pop() or salts.pop() or not len(contents) == len(salts) == len(self.leaves):
            no("il manque un contenu ou un sel, ou il y en a trop | a content or a salt is missing or too many")
        for index, (_, leaf) in enumerate(self.leaves):
            if contents[index] == salts[index] == b"null":
                yield leaf["kind"], None
                continue
            salt = bytes.fromhex(json.loads(salts[index]))
            told = b"depositaire-commitment/1\n" + salt + index.to_bytes(8, "big") + contents[index]
            spelled = salts[index] == f'"{salt.hex()}"'.encode() and len(salt) == 32
            content = json.loads(contents[index])
            whole = _canonical({"body": {**content["body"]}, "key": content["key"]}) == contents[index]
            if not (spelled and whole) or _sha(told).hex() != leaf["commitment"]:
                no(f"l'inscription {index} s'engage sur un autre contenu | leaf {index} commits to another content")
            yield leaf["kind"], content["body"]

    def _references(self) -> None:
        """4. What is named stands before; the id of a content that is not shown, nobody can tell."""
        seen: dict[str, set[int]] = {}
        unread: set[int] = set()
        for index, (kind, body) in enumerate(self.entries):
            for field, kinds in NAMED.items():
                named = (body or {}).get(field, [])
                for one in [named] if isinstance(named, str) else named:
                    if not (seen.get(one, set()) | unread) & kinds:
                        no(f"l'inscription {index} nomme une absente | leaf {index} names one that is not there")
            if body is None:
                unread.add(kind)
            elif kind in PREFIXES:
                seen.setdefault(f"{PREFIXES[kind]}-{_sha(_canonical(body)).hex()[:10]}", set()).add(kind)

    def _stamped(self, tsa_ca: bytes) -> int:
        """5, 8. How many heads were stamped (RFC 3161), at the instant that the log says."""
        stems = sorted({Path(f).stem for f in self.files if f.startswith(("anchors/", "log/kept/"))})
        for stem in stems:
            files = {"note": self.files[f"log/kept/{stem}.checkpoint"], "response": self.files[f"anchors/{stem}.tsr"]}
            note, response = (_sha(raw).hex() for raw in files.values())
            named = {"size": int(stem), "checkpoint_sha256": note, "response_sha256": response}
            said = [b for k, b in self.entries if b and k == ANCHORED and {f: b[f] for f in named} == named]
            if not said or not self._begins(files["note"], int(stem)):
                no(f"le registre ne prolonge pas le point {stem} | the log does not extend checkpoint {stem}")
            at = datetime.fromisoformat(said[0]["stamped_at"][:19] + "+00:00")
            verify = f"ts -verify -in response -data note -CAfile ca -attime {int(at.timestamp())}"
            stated = f"{at:%Y%m%d%H%M%S}".encode() in files["response"]  # its GeneralizedTime
            if tsa_ca and not (stated and _openssl(verify, {**files, "ca": tsa_ca})):
                no(f"l'horodatage {stem} ne tient pas avec --tsa-ca | timestamp {stem} does not hold with --tsa-ca")
        return len(stems)

    def _certificates(self) -> int:
        """6. Every erasure and its certificate, one for one."""
        there = {_sha(raw).hex(): raw for n, raw in self.files.items() if n.startswith("certificates/")}
        erased = [(n, b["certificate_sha256"]) for n, (k, b) in enumerate(self.entries) if b and k == ERASED]
        if {digest for _, digest in erased} != set(there):
            no("un effacement n'a pas son certificat, ou l'inverse | an erasure without certificate, or the other way")
        for index, digest in erased:
            c = json.loads(there[digest])
            signature, head = bytes.fromhex(c.pop("signature")), c["ledger"]
            message = f"depositaire-certificate/{c['version']}\n".encode() + _canonical(c)
            whose = (c["format"], c["agency"]) == ("depositaire-certificate", self.agency)
            if not whose or not _verified(bytes.fromhex(c["public_key"]), message, signature):
                no("la signature d'un certificat ne tient pas | the signature of a certificate does not hold")
            # Version 1 names a line of the ledger before the log: `depositaire verify` compares that.
            if "size" in head and (head["size"] > index or self._root(head["size"]).hex() != head["root"]):
                no("un certificat a été fait sur un autre registre | a certificate was made on another log")
        return len(erased)

    def _signatures(self) -> int:
        """9. How many entries a passkey signed. It stands once one that stood before has signed its enrolment, or as
        the first one; until it is revoked, or an erasure ends the contract."""
        keys: dict[str, Any] = {}  # those that stand
        counts: dict[str, int] = {}  # the last counter of each that ever stood
        used, signed = False, 0
        for n, (kind, body) in enumerate(self.entries):
            if kind == SIGNED:
                if n == 0 or self.entries[n - 1][0] not in SAID:
                    no(f"la signature {n} ne suit rien à signer | signature {n} stands behind nothing to sign")
                continue
            behind, said = self.entries[n + 1] if n + 1 < len(self.entries) else (0, None)
            by = said["credential"] if said and behind == SIGNED else ""
            if by:
                count = _asserted(said or {}, keys.get(by), self.levels[0][n])
                if count < 0 or ((count or counts[by]) and count <= counts[by]):
                    no(f"la signature de l'inscription {n} ne tient pas | the signature of leaf {n} does not hold")
                counts[by], used, signed = count, True, signed + 1
            if body and kind == ENROLLED:
                name = f"CRD-{_sha(_unpadded(body['public_key'])).hex()[:10]}"
                if name not in counts and (by or not (used or keys)):
                    keys[name], counts[name] = body, body["sign_count"]
            elif body and kind == REVOKED:
                keys.pop(body["credential"], None)
            elif body and kind == ERASED and not body["late_files"]:
                keys, counts, used = {}, {}, False
        return signed

    def _begins(self, note: bytes, wanted: int | None = None) -> bool:
        """5. Whether a checkpoint (C2SP tlog-checkpoint), of so many leaves, is a head that this log had."""
        form = re.match(rf"{self.name}\n(0|[1-9]\d{{0,18}})\n([^\n]+)\n\n— ", note.decode(errors="replace"))
        root = self._root(int(form[1])) if form else b""
        return form is not None and wanted in (None, int(form[1])) and base64.b64encode(root).decode() == form[2]

    def _root(self, size: int) -> bytes:
        """RFC 6962 §2.1, over the first `size` leaves; nothing when there are fewer."""
        if not 0 < size <= len(self.leaves):
            return b"" if size else _sha(b"")
        parts, begin = [], 0
        for level in reversed(range(size.bit_length())):  # perfect subtrees, the greatest first
            if size >> level & 1:
                parts.append(self.levels[level][begin >> level])
                begin += 1 << level
        node = parts.pop()
        while parts:
            node = _sha(b"\1" + parts.pop() + node)
        return node


def _signed(note: bytes, name: str, public: bytes) -> list[str]:
    """7. The lines of a note (C2SP signed-note), once its signature by this key holds. Other signers are ignored."""
    text, _, lines = note.decode(errors="replace").rpartition("\n\n")
    ours = re.findall(rf"^— {name} ([A-Za-z0-9+/]{{91}}=)\n", lines, re.MULTILINE)
    raw = base64.b64decode(ours[0]) if len(ours) == lines.count(f"— {name} ") == 1 else b""
    one = base64.b64encode(raw).decode() in ours and raw[:4].hex() == _key(name, public).split("+")[1]
    if not one or not _verified(public, f"{text}\n".encode(), raw[4:]):
        no(f"un point ou le manifeste n'est pas signé de {name} | a checkpoint or the manifest is not signed by {name}")
    return text.split("\n")


def _key(name: str, public: bytes) -> str:
    """The verifier key of this name (C2SP signed-note)."""
    typed = b"\1" + public
    return f"{name}+{_sha(name.encode() + bytes((10,)) + typed).hex()[:8]}+{base64.b64encode(typed).decode()}"


def _asserted(said: dict[str, str], key: Any, leaf_hash: bytes) -> int:
    """9. The counter of a WebAuthn assertion (level 2, §7.2) over this leaf by this passkey; -1 when it is none."""
    data, client, signature = (_unpadded(said[f]) for f in ("authenticator_data", "client_data", "signature"))
    if key is None or len(data) < 37:
        return -1
    page, challenge = json.loads(client), base64.urlsafe_b64encode(leaf_hash).decode().rstrip("=")
    told = (page.get("type"), page.get("challenge"), page.get("origin"), page.get("crossOrigin", False))
    asked = told == ("webauthn.get", challenge, key["origin"], False) and data[:32] == _sha(
        key["relying_party"].encode()
    )
    # The person was there (1) and made sure of (4), no key is enrolled (64), more follows only where it says so (128).
    if not asked or data[32] & 69 != 5 or bool(data[32] & 128) != (len(data) > 37):
        return -1
    public, message = _unpadded(key["public_key"]), data + _sha(client)
    if not re.match(DER[key["algorithm"]], public.hex()):
        return -1
    if key["algorithm"] == EDDSA:
        holds = len(public) == 44 and _verified(public[12:], message, signature)
    else:
        files = {"key": public, "message": message, "signature": signature}
        holds = _openssl("dgst -sha256 -verify key -keyform DER -signature signature message", files)
    return int.from_bytes(data[33:37], "big") if holds else -1


def _unpadded(text: str) -> bytes:
    """Base64url without padding, in its one spelling."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != text:
        no("une clé d'accès est mal écrite | a passkey is not written as one")
    return raw


@lru_cache(maxsize=4096)
def _verified(public: bytes, message: bytes, signature: bytes) -> bool:
    """Ed25519 (RFC 8032), by the command `openssl`; what stands before the key is RFC 8410's."""
    files = {"key": bytes.fromhex("302a300506032b6570032100") + public, "message": message, "signature": signature}
    return _openssl("pkeyutl -verify -rawin -pubin -keyform DER -inkey key -in message -sigfile signature", files)


def _openssl(arguments: str, files: dict[str, bytes]) -> bool:
    """Whether the command says yes. `files` lie beside it under their names."""
    if not shutil.which("openssl"):
        no("il faut openssl 3.0 ou plus récent, installez-le | openssl 3.0 or later is needed, install it")
    with tempfile.TemporaryDirectory() as folder:
        for name, raw in files.items():
            (Path(folder) / name).write_bytes(raw)
        done = subprocess.run(["openssl", *arguments.split()], cwd=folder, capture_output=True, check=False)
    if b"rawin" in done.stderr:
        no("openssl est trop ancien, il faut 3.0 | openssl is too old, 3.0 is needed")
    return done.returncode == 0


def _canonical(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _sha(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def main() -> int:
    """0: the pack holds; 1: it does not, or cannot be checked."""
    parser = argparse.ArgumentParser(description="Vérifie un dossier de preuves / checks an evidence pack")
    parser.add_argument("pack")
    parser.add_argument("--key", default="", help="clé attendue, ou son fichier / the key expected, or its file")
    parser.add_argument("--since", default="", help="point de contrôle gardé / a checkpoint that was kept")
    parser.add_argument("--tsa-ca", default="", help="autorités d'horodatage (PEM) / authorities of time (PEM)")
    parser.add_argument("--lang", default="fr", choices=LANGUAGES)
    given = parser.parse_args()
    french = given.lang == "fr"
    try:
        key = given.key if "+" in given.key or not given.key else Path(given.key).read_text(encoding="utf-8")
        since, ca = (Path(f).read_bytes() if f else b"" for f in (given.since, given.tsa_ca))
        told = check(Path(given.pack).read_bytes(), key, since, ca, given.lang)
    except (OSError, ValueError, Broken) as why:
        unread = "un fichier ne se lit pas, vérifiez son chemin" if french else "a file cannot be read, check its path"
        print("NON VÉRIFIÉ" if french else "NOT VERIFIED", why if isinstance(why, Broken) else unread, sep=" : ")
        return 1
    print("VÉRIFIÉ" if french else "VERIFIED", *told, sep="\n  - ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
