"""OpenLineage 2-0-2: what was done, as events for everyone's tools of lineage (docs/specs/openlineage.md)."""
