"""The clock: what runs when, for whom, and what may be remembered of it. Nothing else imports Dagster."""
