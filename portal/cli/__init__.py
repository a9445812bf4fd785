"""`depositaire …`: the command line. Thin: it reads options, calls `pipelines`, and says what came of it.

Exit codes: 0 every delivery accepted or replayed; 2 usage, or nothing could be done (no home, a malformed file);
3 something was refused; 4 nothing was refused but for want of an instruction; 1 a certificate does not hold, an erasure
is not complete.
"""

import os
import sys
from collections.abc import Sequence

from portal.cli.words import say
from schemas.errors import Say, place_of

USAGE = 2


def main() -> None:
    """The entry point of the package."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """One call; returns its exit code. What goes wrong is told in our words: the text of an error may hold a value."""
    import typer

    from portal.cli.app import app

    try:
        code = app(list(arguments), prog_name="depositaire", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.TyperException as no:
        return _misused(no)
    except Say as no:
        return _said_no(no)
    except BrokenPipeError:
        # Whoever was reading has gone (`| head`): what Python would write at exit has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _failed(say("error.stopped"), 130)
    except OSError as no:
        return _failed(say("error.disk", what=no.strerror or type(no).__name__), USAGE)
    except Exception as error:  # noqa: BLE001 - the last line: a traceback would show what was being read
        from store.hindrance import in_the_way

        if (away := in_the_way(error)) is not None:
            return _said_no(away)
        return _failed(say("error.internal", place=place_of(error)), 1)


def _said_no(no: Say) -> int:
    from portal.cli.translations import spoken

    return _failed(". ".join(filter(None, (spoken(no.what), spoken(no.hint)))), USAGE)


def _failed(text: str, code: int) -> int:
    print(f"{say('error')}{text.rstrip('.')}.", file=sys.stderr)
    return code


def _misused(no: Exception) -> int:
    """What is wrong with the call, by the name of the option: never its value, which may be a secret."""
    kind, ctx = type(no).__name__, getattr(no, "ctx", None)
    if kind == "NoArgsIsHelpError":
        print(no.message if hasattr(no, "message") else "")
        return USAGE
    parameter = getattr(no, "param", None)
    what = getattr(no, "option_name", None) or (parameter.get_error_hint() if parameter is not None else "")
    keys = {"MissingParameter": "missing", "NoSuchOption": "option", "BadOptionUsage": "value", "BadParameter": "value"}
    key = keys.get(kind, "command" if "No such command" in str(no) else "usage")
    path = ctx.command_path if ctx is not None else "depositaire"
    return _failed(f"{say(f'error.{key}', what=what)}. {say('error.help', command=path)}", USAGE)
