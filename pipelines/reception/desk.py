"""What the answers work with: the installation's things, and one visit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from pipelines.host.wire import Asked
from pipelines.instructing import Desk as InstructionDesk
from pipelines.premises import Local
from pipelines.reception import tables
from pipelines.reception.accounts import Accounts
from pipelines.reception.journal import Journal
from pipelines.reception.logs import Logs
from pipelines.reception.oidc.metadata import Providers
from pipelines.reception.packs import Meaning, Packs
from pipelines.reception.passkeys import Site
from pipelines.reception.sessions import Session
from pipelines.reception.vault import Vault
from pipelines.reception.waiting import Waiting
from pipelines.signing import SigningDesk
from schemas.access import Grant, Limits, NotThere, Question, Role, limits
from schemas.home import Home
from schemas.ids import AgencyCode
from store.keys import Root


@dataclass(frozen=True, slots=True)
class Desk:
    """One home's, for as long as the reception is open."""

    home: Home
    root: Root
    site: Site
    vault: Vault
    engine: Engine
    accounts: Accounts
    premises: Local
    logs: Logs
    journal: Journal
    packs: Packs
    instructions: InstructionDesk
    signing: SigningDesk
    waiting: Waiting
    providers: Providers

    @classmethod
    def of(cls, home: Home, root: Root, site: Site, clock: Callable[[], datetime], meaning: Meaning) -> "Desk":
        vault, engine, premises = Vault.of(home, root), tables.accounts(home), Local(home, root)
        journal = Journal(tables.access(home), vault)
        packs = Packs(home, root, engine, vault, clock, meaning)
        instructions = InstructionDesk(home, root=root)
        return cls(
            home, root, site, vault, engine, Accounts(engine, vault), premises, Logs(home, root), journal, packs,
            instructions, SigningDesk(instructions), Waiting(), Providers(),
        )  # fmt: skip


@dataclass(slots=True)
class Visit:
    """One question: who asks (None: nobody who is signed in), under which of their roles, of which agency, when.

    `address`: a mark of the machine that asks. An answer that knows better sets `who` (an account) and `about` (numbers
    or ids of ours) for the log of what was asked.
    """

    desk: Desk
    question: Question
    at: datetime
    address: str
    token: str
    session: Session | None = None
    grants: tuple[Grant, ...] = ()
    agency: AgencyCode | None = None
    who: str | None = None
    about: str | None = None

    @property
    def account(self) -> str:
        """Raises NotThere for a question of nobody, which the table lets through only where no account is needed."""
        if self.session is None:
            raise NotThere("there is no such page")
        return self.session.account

    @property
    def acts(self) -> bool:
        """Whether one of the roles that count here is a signatory's."""
        return any(g.role is Role.SIGNATORY for g in self.grants)

    @property
    def named(self) -> AgencyCode:
        """The agency of a question that is about one."""
        if self.agency is None:
            raise NotThere("there is no such page")
        return self.agency

    @property
    def limits(self) -> Limits | None:
        """How far an auditor sees; None for everybody else."""
        return limits(self.grants)

    def within(self, category: str) -> bool:
        """Whether columns of a category may be shown."""
        said = self.limits
        return said is None or said.within(category)


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answers a question, and which fields it has; `agency` is read before, where the question is about one."""

    function: Callable[[Visit, Asked], Any]
    fields: tuple[str, ...] = ()


Answers = Mapping[Question, Answer]
