"""The words: what this house holds, in which scope, for how long. Pure: no I/O, no database, no orchestrator."""
