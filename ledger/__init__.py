"""The memory: what was asked and what was done. Counts, codes, digests and instants; never personal data."""
