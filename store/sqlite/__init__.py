"""SQLite: the embedded default. One file an agency, one for the house."""
