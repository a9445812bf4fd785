"""What is known of the next delivery of a flow; and a way to note one that changed nothing without the agency's login.

The notes go through the clerk, for many agencies at once. Each must show what the seal of its flow is the digest of:
only who has the keys of the agency can make that, and whoever reads the flow cannot.
"""

from alembic import context, op

revision = "0003"
down_revision = "0002"

_BOOKS = ("delivery", "flow", "capability", "granted")
_ROW = ("system", "name", "day", "sha256", "layout", "code_version", "instructions", "run", "at", "report")


def upgrade() -> None:
    p = context.config.attributes["prefix"]
    op.execute("""
        ALTER TABLE shelf.flow ADD COLUMN generation bigint NOT NULL DEFAULT 0, ADD COLUMN proof bytea,
            ADD COLUMN until text COLLATE "C", ADD COLUMN excess text COLLATE "C";
        ALTER TABLE shelf.flow ALTER COLUMN generation SET STATISTICS 0, ALTER COLUMN proof SET STATISTICS 0,
            ALTER COLUMN until SET STATISTICS 0, ALTER COLUMN excess SET STATISTICS 0""")
    op.execute(f"GRANT SELECT (generation, until, excess) ON shelf.flow TO {p}_eye")
    for name in _BOOKS:
        op.execute(
            f"CREATE POLICY noting ON shelf.{name} TO {p}_owner USING (agency = current_setting('dep.noting', true))"
        )
    _guard(p)
    _doors(p)


def _guard(p: str) -> None:
    """The owner too needs a capability, unless it is ending a shelf."""
    op.execute(f"""
        CREATE OR REPLACE FUNCTION dep.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF (current_user <> '{p}_owner' OR coalesce(current_setting('dep.ending', true), '') = '')
                AND NOT EXISTS (SELECT 1 FROM shelf.granted)
            THEN
                RAISE EXCEPTION 'no capability' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NULL;
        END $$""")


def _doors(p: str) -> None:
    stands = (
        "EXISTS (SELECT 1 FROM shelf.flow f WHERE f.agency = note->>'agency' AND f.system = note->>'system' "
        "AND f.proof = sha256(decode(note->>'proof', 'hex'))"
    )
    values = ", ".join(f"note->>'{name}'" for name in _ROW)
    op.execute(f"""
        CREATE FUNCTION dep.note_unchanged(notes jsonb) RETURNS TABLE (n integer, number bigint) LANGUAGE plpgsql
        SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE note jsonb; seen record; BEGIN
            FOR note, n IN SELECT value, (ordinality - 1)::integer FROM jsonb_array_elements(notes) WITH ORDINALITY LOOP
                PERFORM set_config('dep.noting', note->>'agency', true);
                CONTINUE WHEN NOT {stands} AND f.generation = (note->>'generation')::bigint FOR UPDATE);
                SELECT c.size, c.root INTO seen FROM shelf.capability c
                    WHERE c.agency = note->>'agency' ORDER BY c.size DESC LIMIT 1;
                CONTINUE WHEN FOUND AND (seen.size > (note->>'size')::bigint
                    OR (seen.size = (note->>'size')::bigint AND seen.root <> note->>'root'));
                INSERT INTO shelf.capability (agency, digest, act, ground, size, root, minted_at)
                    VALUES (note->>'agency', note->>'digest', note->>'act', note->>'ground', (note->>'size')::bigint,
                        note->>'root', note->>'minted_at') ON CONFLICT DO NOTHING;
                INSERT INTO shelf.granted (agency, digest) VALUES (note->>'agency', note->>'digest');
                SELECT coalesce(max(d.id), 0) + 1 INTO number FROM shelf.delivery d WHERE d.agency = note->>'agency';
                INSERT INTO shelf.delivery (agency, id, receipted, capability, {", ".join(_ROW)})
                    VALUES (note->>'agency', number, 0, note->>'digest', {values});
                UPDATE shelf.flow f SET cursor = note->>'cursor'
                    WHERE f.agency = note->>'agency' AND f.system = note->>'system';
                DELETE FROM shelf.granted g WHERE g.agency = note->>'agency';
                RETURN NEXT;
            END LOOP;
            PERFORM set_config('dep.noting', '', true);
        END $$""")
    op.execute(f"""
        CREATE FUNCTION dep.note_receipts(notes jsonb) RETURNS void LANGUAGE plpgsql
        SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE note jsonb; BEGIN
            FOR note IN SELECT value FROM jsonb_array_elements(notes) LOOP
                PERFORM set_config('dep.noting', note->>'agency', true);
                UPDATE shelf.delivery d SET receipted = 1 WHERE d.agency = note->>'agency'
                    AND d.system = note->>'system' AND d.id = (note->>'number')::bigint AND {stands});
            END LOOP;
            PERFORM set_config('dep.noting', '', true);
        END $$""")
    for name in ("note_unchanged(jsonb)", "note_receipts(jsonb)"):
        op.execute(f"REVOKE ALL ON FUNCTION dep.{name} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION dep.{name} TO {p}_clerk")
