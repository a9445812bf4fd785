"""PostgreSQL (15 and newer): shared tables, the agency leading every key, each agency's own login."""
