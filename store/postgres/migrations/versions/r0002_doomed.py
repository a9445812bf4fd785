"""The clerk may see whether an agency has keys that are to be destroyed, not which ones; and how far the store is."""

from alembic import context, op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    clerk = f"{context.config.attributes['prefix']}_clerk"
    op.execute(f"GRANT SELECT (agency) ON shelf.doomed_key TO {clerk}")
    op.execute(f"GRANT SELECT ON dep.revision TO {clerk}")
    op.execute(f"CREATE POLICY clerk ON shelf.doomed_key FOR SELECT TO {clerk} USING (true)")
