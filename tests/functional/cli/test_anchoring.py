"""anchor, and verify of a timestamp: a true answer is kept and can be checked, whatever else an authority does is told
and leaves nothing."""

import datetime as dt
import hashlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import anchors, timestamp
from ledger.timestamp import Stamp
from pipelines import anchoring
from tests.functional.cli.conftest import Desk, call
from tests.tsa import POLICY, Authority, serving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "tsa")


@pytest.fixture
def opened(desk: Desk) -> Desk:
    desk.open()
    return desk


def folder(desk: Desk, agency: str = "A0001") -> Path:
    return desk.home / "ledger" / agency / "anchors"


def files(desk: Desk) -> list[str]:
    return sorted(p.name for p in (desk.home / "ledger").glob("*/anchors/*"))


def sizes(desk: Desk) -> dict[str, int]:
    return {p.parent.name: int(p.read_text().split("\n")[1]) for p in (desk.home / "ledger").glob("*/checkpoint")}


def anchor(desk: Desk, authority: Authority, *more: str | Path) -> Any:
    with serving(authority.answer) as (url, _):
        return desk("anchor", "--tsa", url, "--trust", authority.trust, *more)


def test_every_log_is_anchored_once_a_night(opened: Desk, authority: Authority) -> None:
    before = sizes(opened)
    said = anchor(opened, authority, "--name", "autorite-exemple", "--policy", POLICY, "--json")
    assert (said.code, said.err) == (0, "")
    assert {a["agency"]: a["size"] for a in said.json} == before
    for told in said.json:
        assert sorted(told) == ["agency", "authority", "response_sha256", "size", "stamped_at"]
        raw = (folder(opened, told["agency"]) / f"{told['size']}.tsr").read_bytes()
        assert told["response_sha256"] == hashlib.sha256(raw).hexdigest()
        assert told["authority"] == "autorite-exemple"
        at = dt.datetime.fromisoformat(told["stamped_at"])
        assert abs(at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    assert sizes(opened) == {agency: size + 1 for agency, size in before.items()}
    with serving(authority.answer) as (url, asked):
        again = opened("anchor", "--tsa", url, "--trust", authority.trust, "--json")
    assert (again.code, again.json, asked) == (0, [], [])


def test_only_a_digest_leaves_the_house(opened: Desk, authority: Authority) -> None:
    with serving(authority.answer) as (url, asked):
        assert opened("anchor", "--agency", "A0001", "--tsa", url, "--trust", authority.trust).code == 0
    (question,) = asked
    (checkpoint,) = folder(opened).glob("*.checkpoint")
    assert hashlib.sha256(checkpoint.read_bytes()).digest() in question
    assert len(question) < 100
    assert b"A0001" not in question


def test_people_read_what_was_done(opened: Desk, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    said = anchor(opened, authority, "--agency", "A0001")
    assert said.code == 0
    assert said.out.startswith("A0001: 1 entries stamped on ")
    assert "by 127.0.0.1" in said.out
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert anchor(opened, authority, "--agency", "A0001").out == "Rien de nouveau à horodater.\n"


def test_a_timestamp_is_verified_against_the_log_and_by_openssl_alone(opened: Desk, authority: Authority) -> None:
    anchor(opened, authority, "--agency", "A0001", "--name", "autorite-exemple")
    (response,) = folder(opened).glob("*.tsr")
    said = opened("verify", response, "--trust", authority.trust, "--json")
    assert (said.code, said.json["verified"], said.json["agency"]) == (0, True, "A0001")
    assert (said.json["size"], said.json["log_size"], said.json["authority"]) == (1, 2, "autorite-exemple")
    told = opened("verify", shutil.copy(response, opened.root / "copy.tsr"), "--trust", authority.trust)
    assert (told.code, told.out.count("✓")) == (0, 4)
    checkpoint = response.with_suffix(".checkpoint")
    alone = subprocess.run(
        ["openssl", "ts", "-verify", "-data", checkpoint, "-in", response, "-CAfile", authority.trust],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Verification: OK" in alone.stdout


def test_what_was_changed_since_is_found_by_verify(opened: Desk, authority: Authority, tmp_path: Path) -> None:
    anchor(opened, authority, "--agency", "A0001")
    (response,) = folder(opened).glob("*.tsr")
    checkpoint, contents = response.with_suffix(".checkpoint"), folder(opened).parent / "contents"
    told = {
        response: "signature of the timestamp does not hold",
        checkpoint: "over no checkpoint that is kept here",
        contents: "leaf 0 does not commit",
    }
    for path, problem in told.items():
        raw = path.read_bytes()
        path.write_bytes(raw[:-9] + bytes((raw[-9] ^ 1,)) + raw[-8:] if path != contents else b"{" + raw)
        said = opened("verify", response, "--trust", authority.trust, "--json")
        assert (said.code, said.json["verified"]) == (1, False)
        assert problem in said.json["problem"]
        path.write_bytes(raw)
    other = Authority(tmp_path / "other")
    assert "no chain leads" in opened("verify", response, "--trust", other.trust).out
    assert opened("verify", response, "--trust", authority.trust).code == 0


def test_a_timestamp_that_the_log_does_not_name_is_told(opened: Desk, authority: Authority) -> None:
    with serving(authority.answer) as (url, asked):
        opened("anchor", "--agency", "A0001", "--tsa", url, "--trust", authority.trust)
    second = opened.root / "second.tsr"
    second.write_bytes(authority.answer(asked[0]))
    said = opened("verify", second, "--trust", authority.trust)
    assert (said.code, "the log does not name this timestamp" in said.out) == (1, True)


def test_an_instant_that_the_log_states_otherwise_is_told(
    opened: Desk, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As someone could write it who has the keys of the log."""

    def dated_back(*claim: Any) -> Stamp:
        return replace(timestamp.verify(*claim), stamped_at=dt.datetime(2026, 1, 5, tzinfo=dt.UTC))

    with monkeypatch.context() as patched:
        patched.setattr(anchors, "verify", dated_back)
        anchor(opened, authority, "--agency", "A0001")
    (response,) = folder(opened).glob("*.tsr")
    said = opened("verify", response, "--trust", authority.trust)
    assert (said.code, "the log states another instant than the timestamp" in said.out) == (1, True)


Answer = Callable[[Authority, bytes], bytes]
REFUSED: dict[str, tuple[Answer, str]] = {
    "the answer to an earlier question": (
        lambda a, q: a.answer(q[:-4] + bytes((q[-4] ^ 1,)) + q[-3:]), "its nonce is another",
    ),
    "garbage": (lambda a, q: b"<html></html>", "not a timestamp response of RFC 3161"),
    "half an answer": (lambda a, q: a.answer(q)[:300], "not a timestamp response of RFC 3161"),
    "nothing": (lambda a, q: b"", "not a timestamp response of RFC 3161"),
    "too much": (lambda a, q: bytes(2**21), "longer than 1 MiB. Check --tsa"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_an_answer_that_does_not_hold_is_told_and_leaves_nothing(opened: Desk, authority: Authority, what: str) -> None:
    answer, problem = REFUSED[what]
    before = sizes(opened)
    with serving(lambda q: answer(authority, q)) as (url, asked):
        said = opened("anchor", "--agency", "A0001", "--tsa", url, "--trust", authority.trust, "--json")
    assert (said.code, said.json, len(asked)) == (1, [], 1)
    assert said.err.startswith("A0001: not stamped: ")
    assert problem in said.err
    assert (files(opened), sizes(opened)) == ([], before)


WRONG = {"expired": ({"days": (-30, -1)}, "not valid at the instant"), "refuses": ({"digests": "sha512"}, "status 2")}


@pytest.mark.parametrize("what", WRONG)
def test_an_authority_that_is_not_fit_is_told_and_leaves_nothing(opened: Desk, tmp_path: Path, what: str) -> None:
    unfit: dict[str, Any] = WRONG[what][0]  # type: ignore[assignment]
    said = anchor(opened, Authority(tmp_path / "tsa", **unfit), "--agency", "A0001")
    assert (said.code, WRONG[what][1] in said.err, files(opened)) == (1, True, [])


def test_an_authority_that_is_not_trusted_is_told_for_every_log(
    opened: Desk, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    with serving(other.answer) as (url, asked):
        said = opened("anchor", "--tsa", url, "--trust", authority.trust)
    assert (said.code, len(asked), files(opened)) == (1, len(sizes(opened)), [])
    assert said.err.count("no chain leads") == len(sizes(opened))


SILENT: dict[str, tuple[dict[str, Any], str]] = {
    "busy": ({"status": 503}, "answers with the HTTP status 503"),
    "moved": ({"status": 302}, "answers with the HTTP status 302"),
    "cut": ({"announced": 10**6}, "does not answer"),
    "silent": ({"silence": 1.5}, "does not answer"),
}


@pytest.mark.parametrize("how", SILENT)
def test_an_authority_that_does_not_answer_is_to_be_asked_again(
    opened: Desk, authority: Authority, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchoring, "SILENCE_SECONDS", 0.5)
    with serving(authority.answer, **SILENT[how][0]) as (url, asked):
        said = opened("anchor", "--tsa", url, "--trust", authority.trust)
    assert (said.code, len(asked), files(opened)) == (2, 1, [])
    assert SILENT[how][1] in said.err
    assert "what was done stays done" in said.err
    gone = opened("anchor", "--tsa", url, "--trust", authority.trust)
    assert (gone.code, "does not answer" in gone.err) == (2, True)


def test_an_answer_that_comes_drop_by_drop_has_its_time_too(
    opened: Desk, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchoring, "WHOLE_ANSWER_SECONDS", 0.0)
    assert "does not answer" in anchor(opened, authority).err


def test_one_log_that_does_not_hold_does_not_keep_the_others_from_it(opened: Desk, authority: Authority) -> None:
    contents = folder(opened, "A0002").parent / "contents"
    contents.write_bytes(contents.read_bytes().replace(b"gerance", b"Gerance"))
    said = anchor(opened, authority, "--json")
    assert said.code == 1
    assert said.err.startswith("A0002: not stamped: leaf 0 does not commit")
    assert {a["agency"] for a in said.json} == set(sizes(opened)) - {"A0002"}


def test_a_question_goes_to_the_authority_by_hand(opened: Desk, authority: Authority) -> None:
    question, response = opened.root / "A0001.tsq", opened.root / "A0001.tsr"
    asked = opened("anchor", "--agency", "A0001", "--query", question, "--json")
    assert (asked.code, asked.json) == (0, {"agency": "A0001", "size": 1, "query": str(question)})
    response.write_bytes(authority.answer(question.read_bytes()))
    taking = ("anchor", "--response", response, "--trust", authority.trust, "--name", "autorite-exemple", "--json")
    taken = opened(*taking)
    assert taken.code == 0, taken.err
    assert (taken.json[0]["agency"], taken.json[0]["size"]) == ("A0001", 1)
    assert opened(*taking).json == taken.json
    assert opened("verify", response, "--trust", authority.trust).code == 0
    assert opened("anchor", "--agency", "A0001", "--query", question, "--json").json["size"] is None
    response.write_bytes(b"garbage")
    assert opened(*taking).code == 2


CALLS: list[tuple[tuple[str, ...], str]] = [
    ((), "say who is asked"),
    (("--tsa", "http://127.0.0.1:9/", "--query", "q"), "say who is asked"),
    (("--tsa", "http://127.0.0.1:9/"), "say whose word on time is believed"),
    (("--tsa", "ftp://tsa.example/", "--trust", "TRUST"), "not an address of an authority"),
    (("--tsa", "file:///etc/hostname", "--trust", "TRUST"), "not an address of an authority"),
    (("--tsa", "http://[", "--trust", "TRUST"), "not an address of an authority"),
    (("--tsa", "http://127.0.0.1:9/", "--trust", "nowhere.pem"), "trust file cannot be read"),
    (("--response", "nowhere.tsr", "--trust", "TRUST", "--name", "a"), "the answer cannot be read"),
    (("--response", "nowhere.tsr", "--trust", "TRUST"), "the authority has no name"),
    (("--query", "q"), "Give --agency once"),
    (("--agency", "Z9999", "--query", "q"), "there is no log of agency Z9999 here"),
]


def test_a_call_that_is_not_one_says_what_is_missing(opened: Desk, authority: Authority) -> None:
    for arguments, told in CALLS:
        given = [authority.trust if a == "TRUST" else a for a in arguments]
        said = opened("anchor", *given)
        assert (said.code, told in said.err) == (2, True), (arguments, said.err)
    assert "say whose word on time is believed" in opened("verify", "a.tsr").err
    assert "say what" in opened("verify", "--trust", authority.trust).err
    assert call("verify", "a.tsr", "--trust", authority.trust).code == 2
    assert files(opened) == []
