"""What an auditor takes away: the evidence pack and the events, and how packs are made and go."""

import datetime as dt
import json
import shutil
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from pipelines import evidence
from pipelines.openlineage import outbox
from pipelines.reception import tables
from pipelines.reception.packs import Packs, _Wanted
from pipelines.reception.vault import Vault
from retention.diary import Diary
from retention.due import Due
from retention.files import remove_files
from retention.plan import plan
from schemas.fields import Category
from schemas.home import Home
from schemas.ids import AgencyCode
from store.keys import create_root, open_root
from tests.functional.web.conftest import HERE, MINE, Browser, Door
from tests.functional.web.test_pages import words

# -- the evidence pack -------------------------------------------------------------------------------------------------


def packed(browser: Browser) -> Any:
    """Ask for a pack, wait for it and take it away."""
    assert browser.send(f"{HERE}/evidence", f"{HERE}/evidence").status_code == 303
    deadline = time.monotonic() + 60
    while "Votre dossier se prépare" in (page := words(browser.get(f"{HERE}/evidence").text)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "Votre dossier est prêt" in page
    return browser.get(f"{HERE}/evidence/file")


def test_a_pack_is_made_taken_away_and_checked_at_home(door: Door, auditor: Browser, tmp_path: Path) -> None:
    answer = packed(auditor)
    assert answer.headers["accept-ranges"] == "none"
    assert auditor.get(f"{HERE}/evidence/file", range="bytes=0-9").content == answer.content
    checked = evidence.verify(answer.content, door.site.home)
    assert (checked.agency, checked.key) == ("A0001", True)
    said = words(auditor.get(f"{HERE}/evidence").text)
    assert checked.signed_by in said
    assert "prov.json" in zipfile.ZipFile(BytesIO(answer.content)).namelist()


def test_a_pack_names_the_columns_of_the_mandate_alone_and_holds(door: Door, limited: Browser) -> None:
    raw = packed(limited).content
    evidence.verify(raw, door.site.home)
    columns = json.loads(zipfile.ZipFile(BytesIO(raw)).read("lineage.json"))["columns"]
    assert {c["category"] for c in columns} == set(MINE) & {c["category"] for c in columns}
    assert columns


def test_a_pack_is_of_whoever_asked_and_of_nobody_else(door: Door, auditor: Browser, reader: Browser) -> None:
    packed(auditor)
    assert reader.get(f"{HERE}/evidence/file").status_code == 303
    from pipelines.reception.tables import PACK

    with door.service.counter.desk.engine.connect() as db:
        one = db.execute(select(PACK)).first()
    assert one is not None
    token = reader.client.cookies["__Host-session"]
    from schemas.access import NotThere, Question

    with pytest.raises(NotThere):
        door.socket.ask(Question.PACK_FILE, token, "127.0.0.1", agency="A0001", pack=one.id, offset=0)


def test_a_pack_goes_after_a_day_and_with_the_erasure_of_its_agency(door: Door, auditor: Browser) -> None:
    packs = door.service.counter.desk.packs
    packed(auditor)
    assert list(packs.folder.glob("A0001-*.zip"))
    gone = remove_files(door.site.home, AgencyCode("A0001"), [], None)
    assert gone["leftovers"] >= 1
    assert not list(packs.folder.glob("A0001-*.zip"))
    assert "Établir mon dossier" in words(auditor.get(f"{HERE}/evidence").text)
    packed(auditor)
    packs.clear(door.clock() + dt.timedelta(hours=23))
    assert list(packs.folder.glob("A0001-*.zip"))
    packs.clear(door.clock() + dt.timedelta(hours=25))
    assert not list(packs.folder.iterdir())


def refused_a_pack(auditor: Browser) -> None:
    """Ask for a pack, and wait until the page says that none could be made."""
    auditor.send(f"{HERE}/evidence", f"{HERE}/evidence")
    deadline = time.monotonic() + 20
    while "n'a pas pu être établi" not in words(auditor.get(f"{HERE}/evidence").text):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_pack_that_cannot_be_made_is_told_and_stops_no_other(
    door: Door, auditor: Browser, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise ValueError("CANARY-7")

    with monkeypatch.context() as broken:
        broken.setattr("pipelines.evidence.write", failing)
        refused_a_pack(auditor)
    assert "CANARY" not in "".join(capfd.readouterr())
    assert packed(auditor).status_code == 200


def test_whatever_goes_wrong_in_between_the_next_pack_is_made(
    door: Door, auditor: Browser, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A database that was away for a moment stops the thread that makes packs as little as a log that does not hold."""
    packs = door.service.counter.desk.packs

    def away(*_: object) -> bool:
        raise OperationalError("CANARY-8", None, Exception())

    monkeypatch.setattr("pipelines.reception.packs._LOOK_SECONDS", 0.05)
    packs.stop()  # the next one looks as often as that
    assert packed(auditor).status_code == 200
    for broken in ("clear", "_erased"):
        with monkeypatch.context() as away_now:
            away_now.setattr(packs, broken, away)
            auditor.send(f"{HERE}/evidence", f"{HERE}/evidence")
            deadline = time.monotonic() + 20
            while "OperationalError" not in "".join(said := list(capfd.readouterr())):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert "CANARY" not in "".join(said)
        assert packed(auditor).status_code == 200


def test_a_pack_that_is_finished_while_its_agency_is_being_erased_is_not_left(
    door: Door, auditor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the erasure removed the files and before it is concluded: nobody else would find this one."""
    packs, diary = door.service.counter.desk.packs, Diary(door.site.home.root / "erasures", AgencyCode("A0001"))
    write = evidence.write

    def late(*given: Any, **more: Any) -> Any:
        diary.begin(plan(Due(AgencyCode("A0001"), dt.date(2026, 1, 1)), [], None), door.clock())
        remove_files(door.site.home, AgencyCode("A0001"), [], None)
        return write(*given, **more)

    with monkeypatch.context() as erasing:
        erasing.setattr("pipelines.evidence.write", late)
        refused_a_pack(auditor)
        assert not list(packs.folder.glob("*A0001-*"))
    diary.conclude(door.clock())
    assert packed(auditor).status_code == 200


def test_a_home_that_is_removed_ends_what_makes_packs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home = Home.at(tmp_path / "home")
    create_root(home)
    root = open_root(home)
    now = dt.datetime(2026, 1, 6, tzinfo=dt.UTC)
    packs = Packs(home, root, tables.accounts(home), Vault.of(home, root), lambda: now, str)
    packs.ask(AgencyCode("A0001"), "USR-1", None, now)
    worker = packs._worker
    assert worker is not None
    deadline = time.monotonic() + 20
    while "a pack was not made" not in capfd.readouterr().err:  # there is no register here
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shutil.rmtree(home.root)
    packs._wanted.put(_Wanted("0", AgencyCode("A0001"), None))
    worker.join(20)
    assert not worker.is_alive()
    assert capfd.readouterr().err == ""


# -- events ------------------------------------------------------------------------------------------------------------


def test_the_events_are_those_that_are_written_less_what_the_mandate_leaves_out(
    door: Door, auditor: Browser, limited: Browser
) -> None:
    answer = auditor.get(f"{HERE}/openlineage")
    assert answer.content == outbox.path(door.site.home, AgencyCode("A0001")).read_bytes()
    assert answer.headers["content-disposition"] == 'attachment; filename="A0001-openlineage.jsonl"'
    cut = [json.loads(line) for line in limited.get(f"{HERE}/openlineage").text.splitlines()]
    assert len(cut) == len(answer.text.splitlines())
    tags = [
        t for e in cut for d in (*e["inputs"], *e["outputs"])
        for t in d.get("facets", {}).get("tags", {}).get("tags", ()) if t["key"] == "category"
    ]  # fmt: skip
    assert tags
    assert {t["value"] for t in tags} <= MINE
    named = {
        (d["name"], f["name"]) for e in cut for d in (*e["inputs"], *e["outputs"])
        for f in d.get("facets", {}).get("schema", {}).get("fields", ())
    }  # fmt: skip
    filled = [
        (i["name"], i["field"]) for e in cut for d in e["outputs"]
        for o in d.get("facets", {}).get("columnLineage", {}).get("fields", {}).values() for i in o["inputFields"]
    ]  # fmt: skip
    assert filled
    assert set(filled) <= named
    assert {str(c) for c in Category} > MINE


def test_files_come_whole_in_as_many_parts_as_they_need(
    door: Door, auditor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = packed(auditor).content, auditor.get(f"{HERE}/openlineage").content
    for module in ("packs", "questions.evidence", "questions.lineage"):
        monkeypatch.setattr(f"pipelines.reception.{module}.PART", 7000)
    assert min(len(raw) for raw in whole) > 3 * 7000
    assert auditor.get(f"{HERE}/evidence/file").content == whole[0]
    assert auditor.get(f"{HERE}/openlineage").content == whole[1]
