"""The one list of pages. A page says which questions it asks; one that asks what the table does not have is not served.

    @PAGES.get("/a/{agency}/log", Question.LOG_TIMELINE)
    def timeline(visit: Here, agency: str) -> Response: ...

The questions of a page are all that it can ask: `Visit.ask` refuses any other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from schemas.access import TABLE, Needs, Question

Method = Literal["GET", "POST"]
Show = TypeVar("Show", bound=Callable[..., Any])


class Unlisted(Exception):
    """A page without an entry in the table: a fault of the code, found when it starts."""


@dataclass(frozen=True, slots=True)
class Page:
    """`script`: asked by a script, answered in JSON also when the answer is no."""

    method: Method
    path: str
    asks: frozenset[Question]
    show: Callable[..., Any]
    script: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def needs(self) -> Needs:
        """What the most demanding of its questions needs."""
        order = list(Needs)
        return max((TABLE[q].needs for q in self.asks), key=order.index)


class Pages:
    def __init__(self) -> None:
        self._pages: dict[str, Page] = {}

    def get(self, path: str, *asks: Question, script: bool = False) -> Callable[[Show], Show]:
        return self._listed("GET", path, asks, script)

    def post(self, path: str, *asks: Question, script: bool = False) -> Callable[[Show], Show]:
        return self._listed("POST", path, asks, script)

    def _listed(self, method: Method, path: str, asks: tuple[Question, ...], script: bool) -> Callable[[Show], Show]:
        if not asks or any(q not in TABLE for q in asks):
            raise Unlisted(f"{method} {path} asks nothing that the table of questions has")
        if any(TABLE[q].needs is Needs.AGENCY for q in asks) != path.startswith("/a/{agency}"):
            raise Unlisted(f"{method} {path}: the pages of an agency, and no others, are below /a/{{agency}}")

        def listed(show: Show) -> Show:
            page = Page(method, path, frozenset(asks), show, script)
            if page.name in self._pages:
                raise Unlisted(f"{page.name} is there twice")
            self._pages[page.name] = page
            return show

        return listed

    def named(self, name: str) -> Page:
        return self._pages[name]

    def __iter__(self) -> Iterator[Page]:
        return iter(self._pages.values())


PAGES = Pages()
