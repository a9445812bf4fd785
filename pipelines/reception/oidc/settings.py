"""How each agency's own sign-in is reached, and whom of its people it lets in.

What is set is sealed whole, the client's secret with it. A person is known by issuer and subject, through a keyed
digest; an e-mail address is neither asked for nor looked at.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from pipelines.reception import tables
from pipelines.reception.tables import BINDING, FLOW, PROVIDER, SESSION, stamp
from pipelines.reception.vault import Vault
from schemas.access import Grant, Role
from schemas.errors import Malformed
from schemas.home import Home
from schemas.ids import AgencyCode
from store.keys import Root

BY = "provider"  # how somebody came in, in the list of their sessions
# An agency's sign-in is for the agency's own people. An auditor looks at the agency, and is not to be let in by it.
OWN = (Role.READER, Role.SIGNATORY)
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Settings:
    """`acr`: the value with which the sign-in says that it saw two factors, where it has one."""

    agency: AgencyCode
    issuer: str
    client_id: str
    secret: str
    require_mfa: bool = True
    acr: str | None = None

    def __post_init__(self) -> None:
        for text in (self.client_id, self.secret, *([] if self.acr is None else [self.acr])):
            if not 0 < len(text) <= _LONGEST or not text.isascii() or not text.isprintable():
                raise Malformed("a setting of the sign-in is empty, too long or not plain", "Copy it anew.")


def entrance(vault: Vault, agency: AgencyCode) -> str:
    """What names an agency's sign-in in addresses. Nobody without our key can make it from the agency's code, or tell
    from it whose it is."""
    return vault.mark("entrance", agency)


def keep(engine: Engine, vault: Vault, how: Settings, at: datetime) -> None:
    """From now on the agency's. Another issuer has other people: nobody comes in any more by the one before."""
    mark = vault.mark("agency", how.agency)
    with engine.begin() as db:
        before = find(db, vault, mark)
        if before is not None and before.issuer != how.issuer:
            _drop_people(db, mark, at)
        db.execute(delete(PROVIDER).where(PROVIDER.c.agency_mark == mark))
        sealed = vault.seal(json.dumps(asdict(how)), "provider", mark)
        named = {"agency_mark": mark, "entrance": entrance(vault, how.agency)}
        db.execute(insert(PROVIDER).values(**named, sealed=sealed, set_at=stamp(at)))


def find(db: Connection, vault: Vault, mark: str) -> Settings | None:
    """Of the agency that has this mark."""
    row = db.execute(select(PROVIDER).where(PROVIDER.c.agency_mark == mark)).one_or_none()
    return None if row is None else _opened(vault, row)


def behind(db: Connection, vault: Vault, entrance: str) -> Settings | None:
    """Of the agency that has this entrance."""
    row = db.execute(select(PROVIDER).where(PROVIDER.c.entrance == entrance)).one_or_none()
    return None if row is None else _opened(vault, row)


def every(engine: Engine, vault: Vault) -> list[Settings]:
    with engine.connect() as db:
        found = [_opened(vault, row) for row in db.execute(select(PROVIDER))]
    return sorted(found, key=lambda how: how.agency)


def remove(engine: Engine, vault: Vault, agency: AgencyCode, at: datetime) -> int:
    """The agency has no sign-in of its own any more; whoever came in through it is out at once. Returns how many of
    its people were bound to it."""
    mark = vault.mark("agency", agency)
    with engine.begin() as db:
        db.execute(delete(PROVIDER).where(PROVIDER.c.agency_mark == mark))
        return _drop_people(db, mark, at)


def forget(home: Home, root: Root, agency: AgencyCode) -> int:
    """Everything of an agency that is being erased: settings, bindings, ways begun, and the sessions that came by it.
    Again is the same as once. Returns how many rows that was."""
    if not (home.reception / "accounts.db").exists():
        return 0
    engine, mark = tables.accounts(home), Vault.of(home, root).mark("agency", agency)
    try:
        with engine.begin() as db:
            those = [delete(t).where(t.c.agency_mark == mark) for t in (PROVIDER, BINDING, FLOW)]
            return sum(db.execute(one).rowcount for one in (*those, delete(SESSION).where(SESSION.c.by == by(mark))))
    finally:
        engine.dispose()


# -- people ------------------------------------------------------------------------------------------------------------


def by(mark: str) -> str:
    """How a session says that it was begun through this agency's sign-in."""
    return f"{BY} {mark}"


def own(grants: Iterable[Grant], vault: Vault, mark: str) -> tuple[Grant, ...]:
    """Those roles that an agency's sign-in vouches for: of its own people at that agency. Whoever runs it can say that
    anybody is there, and so can open nothing else."""
    those = (g for g in grants if g.role in OWN and g.agency is not None)
    return tuple(g for g in those if g.agency is not None and vault.mark("agency", g.agency) == mark)


def offered(db: Connection, vault: Vault, grants: Sequence[Grant], at: datetime) -> Settings | None:
    """The sign-in that an invitation may lead to: of the one agency that all of somebody's roles are of. Somebody who
    has others too would not come to those by it."""
    live = [g for g in grants if g.until is None or at < g.until]
    agencies = {g.agency for g in live}
    agency = agencies.pop() if len(agencies) == 1 else None
    if agency is None or any(g.role not in OWN for g in live):
        return None
    return find(db, vault, vault.mark("agency", agency))


def subject_mark(vault: Vault, issuer: str, subject: str) -> str:
    return vault.mark("subject", json.dumps([issuer, subject]))


def bound(db: Connection, mark: str, subject: str) -> str | None:
    """The account of a subject of an agency's sign-in."""
    mine = (BINDING.c.agency_mark == mark, BINDING.c.subject_mark == subject)
    return db.execute(select(BINDING.c.account).where(*mine)).scalar_one_or_none()


def bind(db: Connection, account: str, mark: str, subject: str, at: datetime) -> None:
    db.execute(delete(BINDING).where(BINDING.c.account == account))
    db.execute(
        insert(BINDING).values(account=account, agency_mark=mark, subject_mark=subject, made_at=stamp(at))
    )  # fmt: skip


def _drop_people(db: Connection, mark: str, at: datetime) -> int:
    db.execute(delete(FLOW).where(FLOW.c.agency_mark == mark))
    live = (SESSION.c.by == by(mark), SESSION.c.ended_at.is_(None))
    db.execute(update(SESSION).where(*live).values(ended_at=stamp(at)))
    return db.execute(delete(BINDING).where(BINDING.c.agency_mark == mark)).rowcount


def _opened(vault: Vault, row: Row[tuple[object, ...]]) -> Settings:
    mark = str(row._mapping["agency_mark"])
    said = json.loads(vault.open(row._mapping["sealed"], "provider", mark))
    return Settings(**said | {"agency": AgencyCode(said["agency"])})
