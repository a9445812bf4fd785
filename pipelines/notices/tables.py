"""The outbox: what happened (`event`), who is to be told of it (`post`), and the letters in which they are (`letter`).

An event is written once for an agency (its key is unique), a post once for a person and an event, and a post is put
into a letter before the letter is sent: whoever is stopped in between sends the same letter again, under the same
number. Agencies are named by marks; codes, addresses and secrets are sealed (`pipelines.reception.vault`).
"""

from sqlalchemy import Column, Engine, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint

from pipelines.reception.tables import database
from schemas.home import Home

META = MetaData()

PREFERENCE = Table(
    "preference", META, Column("account", String, primary_key=True), Column("pace", String, nullable=False)
)

# A programme of an agency that is told at once, over HTTP. Set by operations.
WEBHOOK = Table(
    "webhook",
    META,
    Column("id", String, primary_key=True),
    Column("agency", LargeBinary, nullable=False),  # sealed
    Column("agency_mark", String, nullable=False, index=True),
    Column("url", LargeBinary, nullable=False),  # sealed
    Column("secret", LargeBinary, nullable=False),  # sealed
    Column("made_at", String, nullable=False),
)

# How far an agency's log was read.
READ = Table("log_read", META, Column("agency_mark", String, primary_key=True), Column("size", Integer, nullable=False))

EVENT = Table(
    "event",
    META,
    Column("id", Integer, primary_key=True),
    Column("agency", LargeBinary, nullable=False),  # sealed
    Column("agency_mark", String, nullable=False),
    Column("key", String, nullable=False),
    Column("code", String, nullable=False),
    Column("at", String, nullable=False),
    Column("facts", String, nullable=False),  # JSON: numbers, codes, systems
    UniqueConstraint("agency_mark", "key"),
)

LETTER = Table(
    "letter",
    META,
    Column("id", String, primary_key=True),
    Column("recipient", String, nullable=False),  # an account, or a webhook
    Column("made_at", String, nullable=False),
    Column("sent_at", String),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_at", String, nullable=False),
    Column("trouble", String),  # a kind, never a text of the other side's
)

POST = Table(
    "post",
    META,
    Column("recipient", String, primary_key=True),
    Column("event", Integer, primary_key=True),
    Column("due_at", String, nullable=False),
    Column("letter", String, index=True),
)


def open_outbox(home: Home) -> Engine:
    engine = database(home, "notices.db")
    META.create_all(engine)
    return engine
