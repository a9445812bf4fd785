"""How fast it is, beside what, on made-up portfolios. `python -m benchmarks --help`."""
