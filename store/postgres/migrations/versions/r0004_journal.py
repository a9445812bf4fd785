"""The newest entry of a flow is found without reading the whole journal."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("CREATE INDEX journal_flow ON house.journal (agency, system, id)")
