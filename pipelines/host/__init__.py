"""The home's own machine serves keys and logs to machines that only synchronise (docs/decisions/0014-host.md)."""
