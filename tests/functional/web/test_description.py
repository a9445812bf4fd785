"""The pages against their own description, with requests that nobody would think of: no fault, and nothing undescribed.

A few hundred of them here, 50,000 under `make soak`. They are made by Schemathesis from the OpenAPI document, sent to
the pages in this process, and answered by a real reception over its socket.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies as st
from hypothesis.errors import Unsatisfiable
from sqlalchemy import delete, select
from starlette.testclient import TestClient

from pipelines.reception import sessions
from pipelines.reception.tables import ACCOUNT, ATTEMPT
from portal.cli import run
from portal.web.app import app
from portal.web.description import described, filled
from portal.web.registry import PAGES
from portal.web.site import Site
from schemas.access import Grant, Role
from schemas.ids import AgencyCode
from tests.functional.web.conftest import BROWSER, NOW, ORIGIN, Door, token_of

FEW, MANY = 400, 50_000
_ANEW = 400  # requests after which everybody is signed in anew
LIKELY = {"agency": ["A0001", "A0002", "A0003"], "number": ["1", "2", "3", "999"], "name": ["style.css", "verify.js"]}


@dataclass
class Fuzz:
    """Sends, and counts what came back."""

    door: Door
    client: TestClient
    answers: Counter[int] = field(default_factory=Counter)
    wrong: dict[str, int] = field(default_factory=dict)
    cookies: list[dict[str, str]] = field(default_factory=list)
    token: str = ""

    def anew(self) -> None:
        """Everybody's session, at the instant at which the tests begin: what was sent may have ended them."""
        desk = self.door.service.counter.desk
        self.door.clock.at = NOW
        form = "k" * 43
        with desk.engine.begin() as db:
            db.execute(delete(ATTEMPT))
            those = db.execute(select(ACCOUNT.c.id).order_by(ACCOUNT.c.made_at, ACCOUNT.c.id)).scalars().all()
            begun = [sessions.begin(db, account, "password", NOW) for account in those]
        self.cookies = [{}, *({"__Host-session": s, "__Host-form": form} for s in begun)]
        self.client.cookies.clear()
        self.token = token_of(self.client.get("/sessions", headers=_cookie(self.cookies[1])).text)

    def send(self, case: Any, as_: int, honest: bool) -> None:
        if sum(self.answers.values()) % _ANEW == 0:
            self.anew()
        self.door.clock.pass_(seconds=4)  # 400 of them pass half an hour: less than a session lasts
        if honest and isinstance(case.body, dict):
            case.body["form"] = self.token
        try:
            sent = requests.Request(**case.as_transport_kwargs(base_url=ORIGIN)).prepare()
            headers: dict[str, Any] = {**sent.headers, **_cookie(self.cookies[as_ % len(self.cookies)])}
            headers |= BROWSER if honest else {}
            self.client.cookies.clear()
            answer = self.client.request(str(sent.method), str(sent.url), headers=headers, content=_body(sent.body))
        except (requests.RequestException, UnicodeError, ValueError):
            return  # cannot be said in HTTP
        self.answers[answer.status_code] += 1
        told = case.operation.definition.raw["responses"]
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if answer.status_code >= 500 or str(answer.status_code) not in told:
            self.wrong[f"{case.operation.label}: {answer.status_code}"] = as_
        elif kind and kind not in told[str(answer.status_code)].get("content", {kind: {}}):
            self.wrong[f"{case.operation.label}: {answer.status_code} as {kind}"] = as_


def _body(body: Any) -> bytes:
    return body if isinstance(body, bytes) else str(body or "").encode()


def _cookie(cookies: dict[str, str]) -> dict[str, str]:
    return {"cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())} if cookies else {}


def operations() -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(described(ORIGIN))
    return (found.ok() for found in schema.get_all_operations())  # type: ignore[union-attr]


def flood(fuzz: Fuzz, most: int) -> None:
    """Every operation in turns, until so many were sent."""
    those = list(operations())
    assert len(those) == len(list(PAGES))
    each = max(4, min(250, most // len(those)))
    for turn in itertools.count():
        for operation in those:
            _of(operation, fuzz, each, turn)
            if sum(fuzz.answers.values()) >= most:
                return


def _of(operation: Any, fuzz: Fuzz, count: int, turn: int) -> None:
    modes = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]

    @seed(turn)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.data(), st.integers(0, 11), st.sampled_from([True, True, True, False]))
    def sent(data: st.DataObject, as_: int, honest: bool) -> None:
        case = data.draw(modes[turn % 2])
        if isinstance(case.path_parameters, dict):
            for name, values in LIKELY.items():
                if honest and name in case.path_parameters:
                    case.path_parameters[name] = data.draw(st.sampled_from(values))
        fuzz.send(case, as_, honest)

    try:
        sent()
    except Unsatisfiable:  # nothing wrong can be said of an operation without parameters
        return


@pytest.fixture
def fuzz(door: Door) -> Iterator[Fuzz]:
    for n, (role, agency) in enumerate([(Role.OPERATOR, None), (Role.READER, "A0001"), (Role.AUDITOR, "A0002")]):
        code = None if agency is None else AgencyCode(agency)
        until = NOW.replace(year=2027) if role is Role.AUDITOR else None
        door.accounts.invite(f"fuzz{n}@agence.example", Grant(role, code, NOW.replace(day=1), until), NOW)
    with TestClient(app(door.socket, Site(ORIGIN)), base_url=ORIGIN, follow_redirects=False) as client:
        yield Fuzz(door, client)


def test_a_few_hundred_requests_find_no_fault_and_nothing_undescribed(fuzz: Fuzz) -> None:
    flood(fuzz, FEW)
    assert fuzz.wrong == {}
    assert {200, 303, 404} <= set(fuzz.answers), fuzz.answers


@pytest.mark.soak
def test_fifty_thousand_requests_find_no_fault_and_nothing_undescribed(fuzz: Fuzz) -> None:
    flood(fuzz, MANY)
    print(sum(fuzz.answers.values()), dict(sorted(fuzz.answers.items())))
    assert fuzz.wrong == {}
    assert sum(fuzz.answers.values()) >= MANY


def test_every_page_is_described_and_nothing_else_is() -> None:
    said = described()
    told = {f"{method.upper()} {path}" for path, methods in said["paths"].items() for method in methods}
    assert told == {page.name for page in PAGES}


def test_the_fields_of_a_form_are_those_that_its_page_looks_at() -> None:
    found = {page.name: filled(page) for page in PAGES if page.method == "POST"}
    assert found["POST /sign-in"] == ["code", "email", "password"]
    assert found["POST /language"] == ["back", "language"]


def test_the_command_writes_the_description(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(door.site.home.root), "door", "openapi", "--origin", ORIGIN]) == 0
    assert json.loads(capsys.readouterr().out) == described(ORIGIN)
    assert re.fullmatch(r"3\.1\.\d", described()["openapi"])
