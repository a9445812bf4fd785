"""anchor, and what `verify` says of a timestamp."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.cli import options
from portal.cli.screen import console, emit, line, progress, shown
from portal.cli.setting import Setting
from portal.cli.translations import spoken
from portal.cli.words import say
from schemas.errors import Malformed

if TYPE_CHECKING:
    from ledger.anchors import Authority
    from ledger.deeds import Anchored
    from pipelines.anchoring import Post

NOT_DONE = 1

Told = list[tuple[str, "Anchored"]]


def anchor(
    setting: Setting,
    agency: options.Agencies = None,
    tsa: Annotated[str | None, typer.Option("--tsa", metavar="URL", help=say("option.tsa"))] = None,
    trust: Annotated[Path | None, typer.Option("--trust", metavar="FILE", help=say("option.trust"))] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help=say("option.authority"))] = None,
    policy: Annotated[str | None, typer.Option("--policy", metavar="OID", help=say("option.policy"))] = None,
    query: Annotated[Path | None, typer.Option("--query", metavar="FILE", help=say("option.query"))] = None,
    response: Annotated[Path | None, typer.Option("--response", metavar="FILE", help=say("option.response"))] = None,
) -> int:
    from pipelines.anchoring import Post, authority

    if sum(way is not None for way in (tsa, query, response)) != 1:
        raise Malformed("say who is asked", "Give --tsa URL; or --query FILE, then --response FILE, by hand.")
    if query is not None:
        return _ask(setting, Post(setting.home, setting.passphrase), agency, query)
    if trust is None:
        raise Malformed("say whose word on time is believed", "Give the authority's root certificate with --trust.")
    by = authority(trust, name, tsa, policy)
    post = Post(setting.home, setting.passphrase)
    if response is not None:
        return _told(setting, [post.take(response, by, setting.at)])
    return _stamp(setting, post, agency, tsa or "", by)


def _stamp(setting: Setting, post: "Post", agency: list[str] | None, url: str, by: "Authority") -> int:
    agencies = post.agencies(agency)
    done: Told = []
    problems = 0
    with progress(setting, say("anchor.title"), lambda: len(agencies)) as step:
        for outcome in post.anchor(agencies, url, by, setting.at, step):
            done += [(outcome.agency, each) for each in outcome.anchored]
            if outcome.problem is not None:
                problems += 1
                what, hint = spoken(outcome.problem.what), spoken(outcome.problem.hint)
                told = say("anchor.problem", agency=outcome.agency, what=what)
                console(stderr=True).print(shown(f"{told} {hint}".strip()), style="red")
    return _told(setting, done) or (NOT_DONE if problems else 0)


def _told(setting: Setting, done: Told) -> int:
    from ledger.anchors import as_json

    if setting.as_json:
        emit([as_json(agency, each) for agency, each in done])
        return 0
    for agency, each in done:
        at = f"{each.stamped_at:%Y-%m-%d %H:%M:%S} UTC"
        line(say("anchor.done", agency=agency, size=each.size, at=at, authority=each.authority), style="green")
    if not done:
        line(say("anchor.nothing"))
    return 0


def _ask(setting: Setting, post: "Post", agency: list[str] | None, to: Path) -> int:
    if agency is None or len(agency) != 1:
        raise Malformed("a question is about one log", "Give --agency once.")
    (code,) = post.agencies(agency)
    size = post.query(code, to)
    if setting.as_json:
        emit({"agency": code, "size": size, "query": None if size is None else str(to)})
    elif size is None:
        line(say("anchor.nothing"))
    else:
        line(say("anchor.asked", agency=code, size=size, file=to))
    return 0


def proven(setting: Setting, file: Path, trust: Path) -> int:
    """What `verify FILE.tsr --trust FILE.pem` says. Raises NotVerified."""
    from pipelines.anchoring import Post

    found = Post(setting.home, setting.passphrase).verify(file, trust)
    if setting.as_json:
        emit({"verified": True} | found.as_json())
        return 0
    at = f"{found.stamped_at:%Y-%m-%d %H:%M:%S} UTC"
    line(say("stamp.holds", agency=found.agency, at=at, authority=found.authority), style="green")
    line("  ✓ " + say("stamp.signature"))
    line("  ✓ " + say("since.extends", kept=found.size, now=found.now))
    line("  ✓ " + say("stamp.named"))
    line("  ✓ " + say("since.whole"))
    return 0
