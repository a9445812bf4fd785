"""The door: what people and other programs call. The work is done by `pipelines`; here are words and screens."""
