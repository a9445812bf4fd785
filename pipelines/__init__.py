"""The clockwork: plain Python that carries a delivery down the corridor; only `pipelines.defs` knows Dagster."""
