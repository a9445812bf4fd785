"""How property tests run here: without a deadline, since a busy machine is no fault of the code."""

from hypothesis import settings

settings.register_profile("depositaire", deadline=None)
settings.load_profile("depositaire")
