"""The portal's own accounts when an agency's window closes (agencies.md, "FIN_CONTRAT").

Its attachments go; an account that had at least one attachment and keeps none goes; every other account stays.
"""

from sqlalchemy import Connection, delete, select

from schemas.capability import Capability, Standing
from schemas.home import Home
from schemas.ids import AgencyCode
from schemas.records import RECORDS
from store import engine
from store.agency import OpenShelf
from store.among import among
from store.keep import finish_erasures
from store.keys import Keyring, Root
from store.tables import DOOMED_KEY, LINE, ROWS


def forget_agency(home: Home, root: Root, agency: AgencyCode, own: Capability) -> dict[str, int]:
    """Detach an agency from every account, under the portal's own capability to erase. Again and again is the same as
    once."""
    if not engine.of(home).holds(None):
        return {"portal_attachment": 0, "portal_account": 0}
    with Keyring.open(home, root, own) as keyring, OpenShelf.open(home, keyring, Standing(own)) as shelf:
        accounts = ROWS["portal_account"]
        attachments = shelf.db.execute(select(ROWS["portal_attachment"])).all()
        opened = shelf.opened(RECORDS["portal_attachment"], attachments)
        named, holders = opened["agency_code"].to_pylist(), opened["account_id"].to_pylist()
        doomed = [r.source_key for r, a in zip(attachments, named, strict=True) if a == agency]
        keeping = {h for h, a in zip(holders, named, strict=True) if a != agency}
        losing = {h for h, a in zip(holders, named, strict=True) if a == agency} - keeping
        gone = shelf.db.execute(
            select(accounts.c.source_key, accounts.c.kid).where(among(accounts.c.source_key, losing))
        ).all()
        if doomed or gone:
            with shelf.writing() as db:
                _delete(db, "portal_attachment", doomed)
                _delete(db, "portal_account", [r.source_key for r in gone])
                if gone:
                    engine.put(db, DOOMED_KEY, [{"kid": r.kid} for r in gone if r.kid])
            engine.on(shelf.db).scrub(shelf.db)
        finish_erasures(shelf)
        return {"portal_attachment": len(doomed), "portal_account": len(gone)}


def _delete(db: Connection, name: str, keys: list[str]) -> None:
    t = ROWS[name]
    owners = list(db.scalars(select(t.c.owner).where(among(t.c.source_key, keys))))
    db.execute(delete(t).where(among(t.c.source_key, keys)))
    db.execute(delete(LINE).where(among(LINE.c.id, owners)))
