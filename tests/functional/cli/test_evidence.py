"""evidence: what an agency is given holds by two verifiers, says everything, and shows nothing of anybody else."""

import dataclasses
import datetime as dt
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ledger.deeds import Fulfilled
from ledger.entry import Receipt
from ledger.keys import LogKeys
from ledger.log import Log
from ledger.standalone.verify import Broken, check
from schemas.home import Home
from schemas.ids import AgencyCode
from store.keys import open_root
from tests.functional.cli.conftest import Desk, call, plainly
from tests.functional.test_canary import marks, written
from tests.unit.ledger import orders_made
from tests.unit.ledger.orders_made import every_deed, obligation, sealed_notice_of

COMMON = 'reference = "AVENANT-3"\nchannel = "letter"\ngiven_by = "gerance"\n'
ORDERS = {
    "restrict": 'kind = "restrict"\nscope = "table"\ntables = ["lot"]\nvalid_until = "2026-03-01"\n',
    "transfer": 'kind = "transfer"\ntables = ["contact"]\ncountry = "US"\nrecipient = "Routeur Exemple"\n'
    'basis = "46(2)(c)"\nsafeguards = "CCT-2026-3"\n',
    "disclose": 'kind = "disclose"\ntables = ["account"]\nground = "law"\nrecipient = "Tribunal judiciaire"\n'
    'authority = "Juge"\nevidence = "ORD-2026-14"\n',
    "authorise": 'kind = "authorise"\nname = "Imprimerie Exemple"\ncountry = "FR"\nservice = "impression"\n'
    'tables = ["document"]\n',
}


def log_of(desk: Desk, agency: str) -> Log:
    home = Home.at(desk.home)
    return Log.at(home, AgencyCode(agency), LogKeys(home, open_root(home)))


def order(desk: Desk, name: str, agency: str, at: str) -> str:
    path = desk.root / f"{name}.toml"
    path.write_text(ORDERS[name].split("\n")[0] + "\n" + COMMON + "\n".join(ORDERS[name].split("\n")[1:]))
    said = desk("instruct", "--agency", agency, "--file", path, "--at", at, "--json")
    assert said.code == 0, said.err
    return str(said.json[0]["instruction"])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A home with nights, orders of several kinds and an erasure."""
    desk = Desk(tmp_path_factory.mktemp("evidence"))
    with pytest.MonkeyPatch.context() as surroundings:
        plainly(surroundings)
        desk.open()
        for day in ("2026-01-05", "2026-01-06"):
            desk.place_day(day)
            desk("sync", "--inbox", desk.inbox, "--at", f"{day}T06:00")
        for name in ORDERS:
            order(desk, name, "A0001", "2026-01-07")
        assert desk("retention", "run", "--at", "2026-01-14").code == 0
    return desk


def packed(desk: Desk, agency: str, out: Path, at: str = "2026-01-15") -> bytes:
    said = desk("evidence", "--agency", agency, "--out", out, "--at", at, "--json")
    assert said.code == 0, said.err
    return out.read_bytes()


def members(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("agency", ["A0001", "A0003"])
def test_a_pack_holds_by_our_own_code_by_the_stand_alone_verifier_and_against_the_log_of_today(
    told: Desk, agency: str, tmp_path: Path
) -> None:
    raw = packed(told, agency, tmp_path / "p.zip")
    held = told("verify", tmp_path / "p.zip", "--json")
    assert (held.code, held.json["verified"], held.json["key_compared"]) == (0, True, True)
    assert held.json["size"] == held.json["log_size"] > 3
    alone = call("verify", tmp_path / "p.zip", "--json").json
    assert (alone["key_compared"], alone["log_size"]) == (False, None)
    key = members(raw)["log/key.txt"].decode()
    assert len(check(raw, key)) == len(check(raw)) - 1
    assert held.json["certificates"] == (agency == "A0003")
    assert packed(told, agency, tmp_path / "again.zip") == raw, "the same facts, the same bytes"


def test_the_verifier_in_the_pack_runs_alone_in_an_empty_environment_and_says_what_it_found(
    told: Desk, tmp_path: Path
) -> None:
    raw = packed(told, "A0003", tmp_path / "p.zip")
    (tmp_path / "v.py").write_bytes(members(raw)["verify.py"])
    (tmp_path / "bad.zip").write_bytes(raw[:-100])
    (tmp_path / "head").write_bytes(members(raw)["log/checkpoint"])
    key = members(raw)["log/key.txt"].decode().strip()

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-I", "-S", "v.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, encoding="utf-8", check=False)

    good = run("p.zip", "--key", key, "--since", "head")
    assert (good.returncode, good.stdout.splitlines()[0], good.stderr) == (0, "VÉRIFIÉ", "")
    assert "is trusted" in run("p.zip", "--lang", "en").stdout
    since, key_is = ["p.zip", "--since"], ["p.zip", "--key"]
    for arguments in (
        ["bad.zip"], ["nowhere.zip"], ["v.py"], [*key_is, f"{key[:-4]}AAA="], [*key_is, "head"], [*since, "v.py"],
        [*since, "p.zip"],
    ):  # fmt: skip
        said = run(*arguments)
        assert (said.returncode, said.stderr) == (1, ""), arguments
        assert said.stdout.startswith("NON VÉRIFIÉ : "), arguments
        assert said.stdout.count("\n") == 1


def test_a_pack_says_everything_that_was_instructed_received_and_decided(told: Desk, tmp_path: Path) -> None:
    summary = json.loads(members(packed(told, "A0001", tmp_path / "p.zip"))["summary.json"])
    assert [i["kind"] for i in summary["instructions"]] == ["synchronise", *ORDERS]
    assert {r["system"]: r["deliveries"] for r in summary["received"]} == {
        "gpi": 2, "login": 2, "sdgi": 2, "spilasuite": 2,
    }  # fmt: skip
    assert all(r["read"] for r in summary["received"])
    (restricted,), (sent,), (disclosed,) = (summary[n] for n in ("restrictions", "transfers", "disclosures"))
    assert (restricted["targets"], sent["country"], disclosed["ground"]) == (["lot"], "US", "law")
    assert summary["sub_processors"][0]["name"] == "Imprimerie Exemple"
    gone = json.loads(members(packed(told, "A0003", tmp_path / "q.zip"))["summary.json"])
    assert [e["late_files"] for e in gone["erasures"]] == [False]


def test_deliveries_that_were_refused_are_counted_by_their_reason_and_not_named(
    after_night: Desk, tmp_path: Path
) -> None:
    folder = after_night.inbox / "A0001" / "login"
    (folder / "DUPONT-Jeanne.xml").write_bytes(b"<x/>")
    after_night("sync", "--inbox", after_night.inbox, "--at", "2026-01-06T06:00")
    files = members(packed(after_night, "A0001", tmp_path / "p.zip"))
    refused = json.loads(files["summary.json"])["house"]["refused"]
    assert [(r["system"], r["count"]) for r in refused] == [("login", 1)]
    assert not any(b"DUPONT" in raw for raw in files.values())


def test_the_pack_of_one_agency_shows_nothing_of_another_and_no_value_of_a_person(told: Desk, tmp_path: Path) -> None:
    packs = {a: packed(told, a, tmp_path / f"{a}.zip") for a in ("A0001", "A0002", "A0003")}
    secrets = {form for a in packs for value in marks(a) for form in written(value) if form}
    assert len(secrets) > 500
    planted = packs["A0001"] + sorted(secrets)[0]
    assert any(s in planted for s in secrets), "the search finds what is there"
    for agency, raw in packs.items():
        assert not [s for s in secrets if s in raw]
        pdf = members(raw)["resume.pdf"]
        assert not [o for o in packs if o != agency and o.encode() in raw.replace(pdf, b"")]
    contents = {a: set(members(raw)["log/contents.jsonl"].splitlines()) for a, raw in packs.items()}
    assert not contents["A0001"] & contents["A0002"]


def test_a_sealed_notice_and_its_obligation_stay_closed_until_they_are_released(
    after_night: Desk, tmp_path: Path
) -> None:
    log = log_of(after_night, "A0001")
    at = orders_made.AT
    whose: dict[str, Any] = {"agency": AgencyCode("A0001")}
    owed = obligation(**whose, law="Loi sous le sceau", reference="SCEAU-1")
    notice = sealed_notice_of(owed.id, **whose, released_from=at + dt.timedelta(days=90), reference="SCEAU-2")
    for entry in (owed, notice):
        log.append(entry, at, key=f"instruction:{entry.id}")
    told = after_night("evidence", "--agency", "A0001", "--out", tmp_path / "p.zip", "--at", "2026-02-01")
    assert "2 contents are withheld" in told.out
    raw = (tmp_path / "p.zip").read_bytes()
    assert not [w for w in (b"sous le sceau", b"SCEAU", owed.id.encode(), notice.id.encode()) if w in raw]
    assert "2 contenus retenus par la loi" in "\n".join(check(raw))
    assert after_night("verify", tmp_path / "p.zip", "--json").json["hidden"] == 2
    assert members(raw)["log/salts.jsonl"].splitlines()[-2:] == [b"null", b"null"]
    released = members(packed(after_night, "A0001", tmp_path / "q.zip", at="2026-04-06"))
    assert b"sous le sceau" in released["log/contents.jsonl"]
    assert json.loads(released["summary.json"])["log"]["hidden"] == 0


def test_an_instant_that_has_not_come_opens_no_seal(after_night: Desk, tmp_path: Path) -> None:
    log = log_of(after_night, "A0001")
    whose: dict[str, Any] = {"agency": AgencyCode("A0001")}
    owed = obligation(**whose)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=400)
    log.append(owed, orders_made.AT)
    log.append(sealed_notice_of(owed.id, **whose, released_from=later.replace(microsecond=0)), orders_made.AT)
    packed(after_night, "A0001", tmp_path / "p.zip", at=f"{later + dt.timedelta(days=9):%Y-%m-%d}")
    assert call("verify", tmp_path / "p.zip", "--json").json["hidden"] == 2


def test_a_pack_of_before_is_extended_by_the_log_of_today_or_it_is_said_that_it_is_not(
    after_night: Desk, tmp_path: Path
) -> None:
    folder = after_night.home / "ledger" / "A0003"
    before = packed(after_night, "A0003", tmp_path / "before.zip", at="2026-01-06")
    shutil.copytree(folder, tmp_path / "earlier")
    assert after_night("retention", "run", "--at", "2026-01-14").code == 0
    after = packed(after_night, "A0003", tmp_path / "after.zip")
    assert after_night("verify", tmp_path / "before.zip", "--json").json["log_size"] > 3
    kept = members(before)["log/checkpoint"]
    assert any("--since" in line and "prolongé" in line for line in check(after, since=kept))
    with pytest.raises(Broken, match="prolonge"):
        check(before, since=members(after)["log/checkpoint"])
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "earlier", folder)
    said = after_night("verify", tmp_path / "after.zip", "--json")
    assert (said.code, said.json["verified"]) == (1, False)
    assert "taken out" in said.json["problem"]


def test_what_is_no_pack_is_said_to_be_none_and_what_cannot_be_made_too(told: Desk, tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(b"PK nothing of the kind")
    said = call("verify", tmp_path / "p.zip", "--json")
    assert (said.code, said.json["verified"]) == (1, False)
    assert told("evidence", "--agency", "Z9999", "--out", tmp_path / "z.zip").code == 2
    assert told("evidence", "--agency", "A0001", "--out", tmp_path / "z.pdf").code == 2
    assert not (tmp_path / "z.zip").exists()
    (certificate,) = (told.home / "certificates").glob("A0003-*.json")
    hidden = certificate.rename(tmp_path / certificate.name)
    said = told("evidence", "--agency", "A0003", "--out", tmp_path / "z.zip")
    hidden.rename(certificate)
    assert said.code == 2
    assert "certificate that the log names is missing" in said.err


@pytest.mark.usefixtures("french")
def test_everything_is_said_in_french_words(told: Desk, tmp_path: Path) -> None:
    said = told("evidence", "--agency", "A0001", "--out", tmp_path / "p.zip", "--at", "2026-01-15")
    assert "Dossier de preuves écrit" in said.out
    assert "est vérifié" in told("verify", tmp_path / "p.zip").out
    (tmp_path / "p.zip").write_bytes((tmp_path / "p.zip").read_bytes()[:-1])
    assert "le zip est abîmé" in told("verify", tmp_path / "p.zip").out


def test_deeds_of_every_kind_are_told(after_night: Desk, tmp_path: Path) -> None:
    log = log_of(after_night, "A0001")
    given = log.read().given[0]
    for deed in every_deed()[1:]:
        done = dataclasses.replace(deed, instruction=given.id) if isinstance(deed, Fulfilled) else deed
        log.append(done, orders_made.AT)
    summary = json.loads(members(packed(after_night, "A0001", tmp_path / "p.zip"))["summary.json"])
    assert (summary["handed"][0]["tables"], summary["fulfilled"][0]["does"]) == ({"lot": 2, "person": 3}, "erase")
    assert len(check((tmp_path / "p.zip").read_bytes())) > 5


def test_what_was_forgotten_is_in_no_pack_and_the_proofs_stay(after_night: Desk, tmp_path: Path) -> None:
    home = Home.at(after_night.home)
    log = Log.at(home, AgencyCode("A0001"), LogKeys(home, open_root(home)))
    receipts = [(line.number, line.entry) for line in log.read().lines if isinstance(line.entry, Receipt)]
    (number, receipt), *others = receipts
    log.forget([number])
    raw = packed(after_night, "A0001", tmp_path / "p.zip")
    assert len(check(raw)) > 3
    said = after_night("verify", tmp_path / "p.zip", "--json").json
    assert (said["verified"], said["hidden"]) == (True, 1)
    assert receipt.delivery.encode() not in b"".join(members(raw).values())
    assert all(r.delivery.encode() in members(raw)["log/contents.jsonl"] for _, r in others)
