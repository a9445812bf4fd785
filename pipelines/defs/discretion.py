"""What Dagster must not repeat. Importing this module is what makes it so, before anything of ours can fail.

An exception may quote the record that it failed on, and Dagster writes the text of every exception, with its stack
and its cause, into the run's events, the index and the log of the process (measured: two rows each). So:

1. errors of user code are redacted: the event says that there was one and gives it an id;
2. the original, which Dagster hands to a logger of its own, goes nowhere: what an operator needs (kind and place of the
   error) is told by texts and reason codes that are ours and hold no value (`pipelines.defs.telling`);
3. a failure that we raise ourselves is raised `from None`, so that it carries no other error.
"""

import logging
import os
import warnings

from dagster import BetaWarning

os.environ["DAGSTER_REDACT_USER_CODE_ERRORS"] = "1"
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"

_redacted = logging.getLogger("dagster.redacted_errors")
# A filter, since Dagster's own settings of logging put back what is merely switched off.
_redacted.addFilter(lambda _: False)
_redacted.addHandler(logging.NullHandler())
_redacted.propagate = False


# Dagster's version is pinned exactly: what it still calls beta cannot change under us.
warnings.filterwarnings("ignore", category=BetaWarning)
