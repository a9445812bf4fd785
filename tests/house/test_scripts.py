"""The scripts of the pages are few, short and plain: what a reviewer reads in one sitting."""

import re
from pathlib import Path

SCRIPTS = sorted((Path(__file__).parents[2] / "portal/web/static").glob("*.js"))
# Whatever writes to an object under a name that was sent could write to what all objects share (ASVS 5.0 15.3.6).
WRITTEN_BY_NAME = re.compile(
    r"[\w)\]]\[(?!\s*\d+\s*\])[^\]]*\]\s*=(?![=>])|__proto__|Object\.(assign|fromEntries|setPrototypeOf)|\.prototype\b"
)
# Whatever makes code of a text.
MADE_OF_TEXT = re.compile(
    r"\beval\(|new Function|\.innerHTML|\.outerHTML|insertAdjacentHTML|document\.write|setTimeout\(\s*[\"'`]"
)


def test_no_script_writes_under_a_name_that_was_sent() -> None:
    assert len(SCRIPTS) >= 6
    assert [path.name for path in SCRIPTS if WRITTEN_BY_NAME.search(path.read_text(encoding="utf-8"))] == []
    for would in ("kept[name] = value", "of[said.key]= 1", "Object.assign(a, JSON.parse(b))", 'a["__proto__"]'):
        assert WRITTEN_BY_NAME.search(would)
    for may in ("list[0] = 1", "a[b] === c", "const [x, y] = z", "(of[name] == 1)"):
        assert not WRITTEN_BY_NAME.search(may), may


def test_no_script_makes_code_or_markup_of_a_text() -> None:
    assert [path.name for path in SCRIPTS if MADE_OF_TEXT.search(path.read_text(encoding="utf-8"))] == []


def test_each_is_short() -> None:
    assert {path.name: n for path in SCRIPTS if (n := len(path.read_text(encoding="utf-8").splitlines())) > 300} == {}
