"""One question of the web pages after another. Nothing rests on the pages' word but where the visitor's machine is:

1. The session is looked up here, by the token that came with the question; so is whoever it is of, and their roles now.
2. The one table (`schemas.access`) says whether one of those roles may ask this of that agency at this instant.
3. Who may not is told what they would be told if there were nothing: `NotThere`, always in the same words.
4. Every question goes into the log of what was asked, with what came of it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pipelines.host.wire import Asked
from pipelines.reception import passwords, sessions
from pipelines.reception.desk import Desk, Visit
from pipelines.reception.oidc import settings
from pipelines.reception.packs import Meaning
from pipelines.reception.passkeys import Site
from pipelines.reception.questions import ANSWERS
from pipelines.reception.rate import Rate
from pipelines.reception.sweeping import Swept, sweep
from pipelines.reception.tables import stamp
from schemas.access import TABLE, Needs, NotThere, Question, SignedOut, TooOften, permitted
from schemas.errors import Malformed, NotVerified, Refused, Say, TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode, agency_code
from store.keys import Root

_ENVELOPE = ("question", "session", "address", "fields")
_DAILY = timedelta(days=1)
_LONGEST = 200  # of a token, an address
_OUTCOMES: Mapping[type[Say], str] = {
    Malformed: "malformed", NotVerified: "not verified", TooOften: "too often", TryAgain: "later",
}  # fmt: skip


class Counter:
    """One home's. `clock`: the instant at which what is allowed is asked."""

    def __init__(
        self, home: Home, root: Root, site: Site, clock: Callable[[], datetime], meaning: Meaning = str
    ) -> None:
        self.desk, self._clock = Desk.of(home, root, site, clock, meaning), clock
        self.rate = Rate()
        self._swept: datetime | None = None
        self.journal = self.desk.journal
        self.sweep()
        passwords.matches("", None)  # so that the first try of somebody unknown takes no longer than the next

    def sweep(self) -> Swept:
        """Forget what is not to be kept any longer, once a day at most."""
        now = self._clock()
        if self._swept is not None and now - self._swept < _DAILY:
            return Swept(0, 0, 0)
        self._swept = now
        return sweep(self.desk, self.journal, now)

    def answer(self, raw: bytes) -> Any:
        """`{"ok": …}`, with `limits` where an auditor asked of an agency: every page says them.

        Raises what it says no with: one of the house's four, of which SignedOut and NotThere are two kinds.
        """
        asked, at = Asked.read(raw, _ENVELOPE), self._clock()
        question = _question(asked.text("question"))
        token, address = asked.text("session")[:_LONGEST], asked.text("address")[:_LONGEST]
        visit = Visit(self.desk, question or Question.ASSET, at, self.desk.vault.mark("address", address), token)
        outcome = "fault"
        try:
            if question is None:
                raise _nothing()
            answer = self._answered(visit, asked.fields["fields"])
            outcome = "answered"
        except (SignedOut, NotThere):
            outcome = "refused"
            raise
        except (Refused, Malformed, NotVerified, TryAgain) as no:
            outcome = next((word for kind, word in _OUTCOMES.items() if isinstance(no, kind)), "refused")
            raise
        finally:
            self.journal.note(at, visit.who, question, visit.agency, outcome, visit.about)
        return {"ok": answer, "limits": _limits(visit)} if visit.agency is not None else {"ok": answer}

    def _answered(self, visit: Visit, fields: Any) -> Any:
        rule, answer = TABLE.get(visit.question), ANSWERS.get(visit.question)
        if rule is None or answer is None or not isinstance(fields, dict):
            raise _nothing()
        if rule.needs is not Needs.NOTHING:
            self._recognise(visit)
            # Before anything else is looked at: what is asked of somebody else's agency fails in one way only.
            agency = _agency(fields) if rule.needs is Needs.AGENCY else None
            visit.grants = permitted(visit.question, agency, visit.grants, visit.at)
            if not visit.grants or (agency is not None and not self.desk.logs.knows(agency)):
                raise _nothing()
            visit.agency = agency
        if set(fields) != set(answer.fields):
            raise Malformed("a question has other fields than its own")
        return answer.function(visit, Asked(fields))

    def _recognise(self, visit: Visit) -> None:
        with self.desk.engine.begin() as db:
            visit.session = sessions.find(db, visit.token, visit.at)
            if visit.session is None:
                raise SignedOut("nobody is signed in", "Sign in.")
            visit.who = visit.session.account
            self.rate.count(visit.who, visit.at)
            visit.grants = self.desk.accounts.grants(db, visit.session.account)
        if visit.session.through is not None:  # an agency's own sign-in vouches for nobody elsewhere
            visit.grants = settings.own(visit.grants, self.desk.vault, visit.session.through)


def _limits(visit: Visit) -> Any:
    said = visit.limits
    if said is None:
        return None
    until = None if said.until is None else stamp(said.until)
    return {"until": until, "categories": None if said.categories is None else sorted(said.categories)}


def _question(text: str) -> Question | None:
    try:
        return Question(text)
    except ValueError:
        return None


def _agency(fields: Mapping[str, Any]) -> AgencyCode:
    try:
        return agency_code(fields["agency"])
    except (KeyError, TypeError, Malformed):
        raise _nothing() from None


def _nothing() -> NotThere:
    return NotThere("there is no such page")
