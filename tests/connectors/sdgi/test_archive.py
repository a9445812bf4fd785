"""The archive is opened as if it were hostile: what unpacks is what was declared, and nothing leaves its folder."""

import hashlib
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from connectors.base import Known
from connectors.sdgi import Sdgi
from schemas.errors import DeliveryRefused
from tests.connectors.sdgi.sending import SIRET, Export, delivery, opened, read, rows

MIB = 1 << 20
DOCUMENT = {"N° document": "D1", "Visibilité (T/I/C)": "T", "Fichier": "d1.pdf"}


def archive(folder: Path, export: Export | None = None) -> Path:
    path = (export or Export()).write(folder).path
    assert path is not None
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DeliveryRefused) as caught:
        Sdgi().open(delivery(path), Known(SIRET))
    return caught.value.reason


def declare(path: Path, sizes: Mapping[str, tuple[int | None, int | None]]) -> None:
    """Make the central directory declare another compressed and real size for some members."""
    raw = bytearray(path.read_bytes())
    for name, (compressed, real) in sizes.items():
        entry = raw.rindex(b"PK\x01\x02", 0, raw.rindex(name.encode()))
        for offset, size in ((20, compressed), (24, real)):
            if size is not None:
                struct.pack_into("<I", raw, entry + offset, size)
    path.write_bytes(raw)


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path)
    path.write_bytes(b"Bonjour")
    assert refusal(path) == "sdgi.zip_unreadable"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path)
    path.write_bytes(b"")
    assert refusal(path) == "sdgi.zip_unreadable"


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_refused(tmp_path: Path, kept: float) -> None:
    path = archive(tmp_path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * kept)])
    assert refusal(path) == "sdgi.zip_unreadable"


def test_a_directory_that_points_before_the_file_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.rindex(b"PK\x05\x06") + 12, 0xFFFFFF)
    path.write_bytes(raw)
    assert refusal(path) == "sdgi.zip_unreadable"


@pytest.mark.parametrize(
    "name",
    [
        "../../ailleurs/x.csv",
        "/etc/x",
        "C:x.CSV",
        "PJ\\x.pdf",
        "PJ/../x.pdf",
        "PJ/sous/x.pdf",
        "PJ/",
        "PJ/x:y.pdf",
        "PJ/a\nb.pdf",
        "autre.csv",
        "AUTRE1.CSV",
        "LISEZMOI.TXT",
    ],
)
def test_a_member_with_another_name_is_unsafe(tmp_path: Path, name: str) -> None:
    assert refusal(archive(tmp_path, Export(further=[(name, b"x")]))) == "sdgi.unsafe_member"


def test_a_name_is_judged_with_what_stands_behind_its_nul(tmp_path: Path) -> None:
    path = archive(tmp_path, Export(further=[("PJ/a.pdf+..", b"x")]))
    path.write_bytes(path.read_bytes().replace(b"PJ/a.pdf+..", b"PJ/a.pdf\x00.."))
    assert refusal(path) == "sdgi.unsafe_member"


def test_an_unknown_file_in_capitals_is_let_in_and_not_read(tmp_path: Path) -> None:
    assert len(read(tmp_path, Export(further=[("AUTRES.CSV", b"x")])).lines) == 1


def test_an_unsafe_name_counts_before_a_bomb(tmp_path: Path) -> None:
    bomb = ("PJ/x.bin", bytes(2 * MIB))
    assert refusal(archive(tmp_path, Export(further=[bomb, ("../x", b"x")]))) == "sdgi.unsafe_member"


def test_a_large_member_of_more_than_a_hundred_times_its_size_is_a_bomb(tmp_path: Path) -> None:
    assert refusal(archive(tmp_path, Export(further=[("PJ/x.bin", bytes(MIB + 1))]))) == "sdgi.zip_bomb"


def test_a_member_of_one_mebibyte_may_be_as_small_as_it_likes(tmp_path: Path) -> None:
    assert len(read(tmp_path, Export(further=[("PJ/x.bin", bytes(MIB))])).lines) == 1


def test_members_that_declare_too_much_together_are_a_bomb(tmp_path: Path) -> None:
    path = archive(tmp_path)
    declare(path, dict.fromkeys(("LOTS.CSV", "BAUX.CSV"), (200 * MIB, 300 * MIB)))
    assert refusal(path) == "sdgi.zip_bomb"


def test_a_bomb_counts_before_a_missing_member(tmp_path: Path) -> None:
    export = Export(absent=["LOTS.CSV"], further=[("PJ/x.bin", bytes(2 * MIB))])
    assert refusal(archive(tmp_path, export)) == "sdgi.zip_bomb"


def test_a_member_that_unfolds_to_more_than_it_declares_is_stopped_early(tmp_path: Path) -> None:
    path = archive(tmp_path, Export(raw={"LOTS.CSV": bytes(40 * MIB)}, counts={"LOTS.CSV": 0}))
    declare(path, {"LOTS.CSV": (None, 7)})
    tracemalloc.start()
    assert refusal(path) == "sdgi.zip_bomb"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * MIB


def test_a_small_lie_about_a_size_makes_the_archive_unreadable(tmp_path: Path) -> None:
    path = archive(tmp_path)
    declare(path, {"LOTS.CSV": (None, 7)})
    assert refusal(path) == "sdgi.zip_unreadable"


@pytest.mark.parametrize("file", ["CONTROLE.TXT", "LOTS.CSV", "SORTIES.CSV"])
def test_a_required_member_may_not_be_missing(tmp_path: Path, file: str) -> None:
    assert refusal(archive(tmp_path, Export(absent=[file]))) == "sdgi.member_missing"


def test_two_members_may_not_have_one_name(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        path = archive(tmp_path, Export(further=[("LOTS.CSV", b"x")]))
    assert refusal(path) == "sdgi.member_missing"


def damage(path: Path, member: str) -> None:
    """Change one byte in the middle of what a member was compressed to."""
    with zipfile.ZipFile(path) as whole:
        info = whole.getinfo(member)
    raw = bytearray(path.read_bytes())
    raw[info.header_offset + 30 + len(member) + info.compress_size // 2] ^= 0x55
    path.write_bytes(raw)


def test_a_required_member_with_a_wrong_checksum_is_unreadable(tmp_path: Path) -> None:
    path = archive(tmp_path)
    damage(path, "GESTIONNAIRES.CSV")
    assert refusal(path) == "sdgi.zip_unreadable"


def test_an_encrypted_member_is_unreadable(tmp_path: Path) -> None:
    path = archive(tmp_path)
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as whole:
        local = whole.getinfo("LOTS.CSV").header_offset
    central = raw.rindex(b"PK\x01\x02", 0, raw.rindex(b"LOTS.CSV"))
    raw[local + 6] |= 1
    raw[central + 8] |= 1
    path.write_bytes(raw)
    assert refusal(path) == "sdgi.zip_unreadable"


def test_a_method_that_may_ask_for_any_memory_is_not_tried(tmp_path: Path) -> None:
    path = archive(tmp_path)
    with zipfile.ZipFile(path) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as other:
        for name, raw in members.items():
            other.writestr(name, raw)
    assert refusal(path) == "sdgi.zip_unreadable"


def test_a_damaged_archive_counts_before_a_wrong_control_file(tmp_path: Path) -> None:
    path = archive(tmp_path, Export(control=b"Bonjour\r\n"))
    damage(path, "LOTS.CSV")
    assert refusal(path) == "sdgi.zip_unreadable"


def test_an_attachment_gives_its_digest_to_the_document_that_names_it(tmp_path: Path) -> None:
    other = {**DOCUMENT, "N° document": "D2", "Fichier": "d2.pdf"}
    export = Export(lines={"DOCUMENTS.CSV": [DOCUMENT, other]}, further=[("PJ/d1.pdf", b"%PDF-1.7")])
    digest = hashlib.sha256(b"%PDF-1.7").hexdigest()
    assert rows(read(tmp_path, export), "document", "file_name", "sha256") == [("d1.pdf", digest), ("d2.pdf", None)]


def test_a_damaged_attachment_refuses_nothing_and_has_no_digest(tmp_path: Path) -> None:
    path = archive(tmp_path, Export(lines={"DOCUMENTS.CSV": [DOCUMENT]}, further=[("PJ/d1.pdf", b"%PDF-1.7" * 9)]))
    damage(path, "PJ/d1.pdf")
    proved = Sdgi().open(delivery(path), Known(SIRET))
    assert proved.raw.attachments == {}


def test_the_digest_of_the_delivery_is_that_of_its_bytes(tmp_path: Path) -> None:
    export = Export()
    arrived = opened(tmp_path, export).arrived
    assert arrived.sha256 == hashlib.sha256((tmp_path / arrived.name).read_bytes()).hexdigest()
