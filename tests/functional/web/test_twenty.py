"""Twenty agencies (four, but in the long runs), every role at each: what each may ask of each, by question and by page
and verb, from the two lists.

The reception is in this process, without its socket (`test_matrix.py` has it): some ten thousand questions in half
a minute. No body that somebody of one agency is sent names another agency.
"""

import datetime as dt
import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from pipelines.host.wire import encode
from pipelines.reception import sessions
from pipelines.reception.counter import Counter
from pipelines.reception.passkeys import Site as Place
from pipelines.reception.questions import ANSWERS
from portal.web.app import app
from portal.web.registry import Page
from portal.web.site import Site
from schemas.access import TABLE, Grant, Needs, NotThere, Question, Role
from schemas.errors import Malformed, Refused, Say
from schemas.ids import AgencyCode
from store.keys import open_root
from tests.functional.conftest import Installation
from tests.functional.web.conftest import BROWSER, ORIGIN, token_of
from tests.functional.web.test_matrix import ABSENT, AGENCY_PAGES, VERBS, allowed, path_of

AT = dt.datetime(2026, 1, 6, 11, tzinfo=dt.UTC)
AGENCIES = tuple(AgencyCode(f"A{n:04}") for n in range(101, 121))
ROLES = (Role.READER, Role.SIGNATORY, Role.AUDITOR)
FORM = "k" * 43
# What the fields of a question are filled with. A question with a field of another name has its value here.
NUMBERS = {"before", "number", "size", "first", "second", "limit", "page"}


def mark(agency: str) -> str:
    """What only this agency's answers may hold."""
    return f"CABINET MARQUE {agency[1:]}"


class Direct:
    """The reception without a socket between."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def ask(self, question: Question, session: str, address: str, **fields: Any) -> Any:
        return self.told(question, session, address, **fields)["ok"]

    def told(self, question: Question, session: str, address: str, **fields: Any) -> Mapping[str, Any]:
        asked = {"question": str(question), "session": session, "address": address, "fields": fields}
        answer: dict[str, Any] = json.loads(encode(self.counter.answer(json.dumps(asked).encode())))
        return answer


@dataclass
class Twenty:
    agencies: tuple[AgencyCode, ...]
    reception: Direct
    client: TestClient
    people: dict[tuple[Role, str | None], str]

    def ask(self, who: tuple[Role, str | None], question: Question, agency: str) -> Any:
        fields = {name: _value(name, agency) for name in ANSWERS[question].fields}
        return self.reception.ask(question, self.people[who], "127.0.0.1", **fields)

    def request(self, who: tuple[Role, str | None], verb: str, path: str) -> tuple[int, bytes, dict[str, str]]:
        self.client.cookies.clear()
        cookie = f"__Host-session={self.people[who]}; __Host-form={FORM}"
        headers = {"cookie": cookie, "accept-language": "fr", **BROWSER}
        data = {"form": self.token} if verb in ("POST", "PUT", "PATCH") else None
        answer = self.client.request(verb, path, headers=headers, data=data)
        told = {k: v for k, v in answer.headers.items() if k not in ("date", "set-cookie")}
        return answer.status_code, answer.content, told

    @property
    def token(self) -> str:
        found = self.__dict__.setdefault("_token", "")
        if not found:
            who = next(iter(self.people))
            headers = {"cookie": f"__Host-session={self.people[who]}; __Host-form={FORM}"}
            found = self.__dict__["_token"] = token_of(self.client.get("/sessions", headers=headers).text)
        return str(found)


def _value(name: str, agency: str) -> Any:
    if name == "agency":
        return agency
    return [1] if name == "numbers" else 1 if name in NUMBERS else ""


def _register(path: Path, agencies: Iterable[AgencyCode]) -> Path:
    head = (
        "code_agence;raison_sociale;siret;date_debut;date_fin;motif_fin;restriction;restriction_portee;systemes;"
        "contact_dpo"
    )
    rows = [
        f"{code};{mark(code)};99{n:07}00013;2023-07-20;;;;;sdgi,gpi;dpo@agence-{code.lower()}.test"
        for n, code in enumerate(agencies)
    ]
    path.write_text("\n".join([head, *rows, ""]))
    return path


@pytest.fixture(scope="module", params=[4, pytest.param(20, marks=pytest.mark.soak)])
def twenty(request: pytest.FixtureRequest) -> Iterator[Twenty]:
    agencies = AGENCIES[: request.param]
    folder = Path(tempfile.mkdtemp(prefix="dep-twenty-"))
    site = Installation(folder)
    site.load_register(_register(folder / "AGENCES_20260105.csv", agencies))
    for code in agencies:
        site.instruct(code)
    counter = Counter(site.home, open_root(site.home), Place(ORIGIN, "localhost"), lambda: AT)
    counter.rate.most = 10**9
    desk, people = counter.desk, dict[tuple[Role, str | None], str]()
    everybody: list[tuple[Role, AgencyCode | None]] = [*itertools.product(ROLES, agencies), (Role.OPERATOR, None)]
    for role, agency in everybody:
        until = AT + dt.timedelta(days=30) if role is Role.AUDITOR else None
        email = f"{role}.{(agency or 'house').lower()}@agence.example"
        desk.accounts.invite(email, Grant(role, agency, AT, until), AT)
        with desk.engine.begin() as db:
            account = desk.accounts.find(db, email)
            assert account is not None
            people[role, agency] = sessions.begin(db, account, "password", AT)
    direct = Direct(counter)
    with TestClient(app(direct, Site(ORIGIN)), base_url=ORIGIN, follow_redirects=False) as client:
        yield Twenty(agencies, direct, client, people)
    desk.engine.dispose()
    shutil.rmtree(folder, ignore_errors=True)


def said(ask: Callable[[], Any]) -> str:
    """An answer as text, or the no, in the words that the visitor is told."""
    try:
        return json.dumps(ask(), ensure_ascii=False)
    except NotThere as no:
        return f"NotThere {no.what} {no.hint}"


def test_every_question_of_every_agency_by_everybody(twenty: Twenty) -> None:
    """Served where the table says so, and otherwise not there, in the words for what there is not."""
    asked = leaks = 0
    for question in (q for q, rule in TABLE.items() if rule.needs is Needs.AGENCY):
        absent = said(partial(twenty.ask, (Role.OPERATOR, None), question, ABSENT))
        assert absent.startswith("NotThere"), question
        for (role, own), agency in itertools.product(twenty.people, twenty.agencies):
            try:
                answer = said(partial(twenty.ask, (role, own), question, agency))
            except Say:  # it was let in, and something of what it filled in is not to be had
                answer = ""
            asked += 1
            if own in (None, agency) and role in TABLE[question].roles:
                assert answer != absent or question in _MAY_BE_ABSENT, (question, role, own, agency)
            else:
                assert answer == absent, (question, role, own, agency)
            leaks += any(mark(other) in answer for other in twenty.agencies if other != agency)
    assert leaks == 0
    questions = sum(rule.needs is Needs.AGENCY for rule in TABLE.values())
    assert asked == questions * len(twenty.people) * len(twenty.agencies)


# Questions whose own sample values name nothing that an agency of this file has.
_MAY_BE_ABSENT: frozenset[Question] = frozenset(
    q for q in TABLE if q not in {Question.HOME, Question.LOG_TIMELINE, Question.LOG_SHOWN, Question.LOG_CHECKPOINT}
)


def test_every_page_and_verb_of_every_agency_by_every_role_of_another(twenty: Twenty) -> None:
    """The same bytes as of an agency that there is not. Of each role the person of the agency before asks."""
    tried = 0
    for role, page, verb in itertools.product(ROLES, AGENCY_PAGES, VERBS):
        absent = twenty.request((role, twenty.agencies[0]), verb, path_of(page, ABSENT))
        assert absent[0] == 404, (page.name, verb)
        for n, agency in enumerate(twenty.agencies):
            foreign = twenty.request((role, twenty.agencies[n - 1]), verb, path_of(page, agency))
            assert foreign == absent, (page.name, verb, role, agency)
            tried += 1
    assert tried == len(ROLES) * len(AGENCY_PAGES) * len(VERBS) * len(twenty.agencies)


def test_every_role_is_served_its_own_agencys_pages_and_reads_of_no_other(twenty: Twenty) -> None:
    for (role, own), page in itertools.product(twenty.people, _read()):
        status, body, _ = twenty.request((role, own), "GET", path_of(page, own or twenty.agencies[-1]))
        if allowed(page, role) and not page.asks & _MAY_BE_ABSENT:
            assert status == 200, (page.name, role, own)
        named = {other for other in twenty.agencies if mark(other).encode() in body}
        assert named <= {own or twenty.agencies[-1]}, (page.name, role, own)


def _read() -> list[Page]:
    return [page for page in AGENCY_PAGES if page.method == "GET"]


def test_the_matrix_would_see_a_reception_that_does_not_look_whose_agency_it_is(
    twenty: Twenty, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(question: Question, agency: object, grants: Iterable[Grant], at: object) -> tuple[Grant, ...]:
        return tuple(grants)

    monkeypatch.setattr("pipelines.reception.counter.permitted", careless)
    seen = said(lambda: twenty.ask((Role.READER, twenty.agencies[0]), Question.HOME, twenty.agencies[1]))
    assert mark(twenty.agencies[1]) in seen
    with pytest.raises((Refused, Malformed)):
        twenty.reception.ask(Question.HOME, "nobody's", "127.0.0.1", agency=twenty.agencies[1])
