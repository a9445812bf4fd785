"""Writes the parts of docs/ that are derived: the table of reason codes in docs/operations.md (`make docs`)."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- reasons: begin (from portal/cli/reasons.toml) -->", "<!-- reasons: end -->"
GROUPS = (
    ("Before any file is opened", ("agency.", "delivery.")),
    ("SDGI", ("sdgi.",)),
    ("GPI", ("gpi.",)),
    ("LOGIN", ("login.",)),
    ("SpiLaSuite", ("spilasuite.", "source.")),
    ("Portal and register", ("portal.", "agencies.")),
    ("Lines put aside", ("row.",)),
    ("The database of the records", ("database.",)),
    ("Faults of this software", ("quality.", "internal.")),
)


def reasons() -> str:
    """The table, group by group. A code that belongs to no group is an error: somebody must decide where it goes."""
    known = tomllib.loads((ROOT / "portal" / "cli" / "reasons.toml").read_text())
    lines: list[str] = []
    told = set()
    for title, prefixes in GROUPS:
        head = "| Code | What it means, what to do | Ce que cela veut dire, que demander |"
        lines += [f"**{title}**", "", head, "| --- | --- | --- |"]
        for code, text in known.items():
            if code.startswith(prefixes):
                told.add(code)
                english = f"{capital(text['en'])}. {text['en_do']}"
                french = f"{capital(text['fr'])}. {text['fr_do']}"
                lines.append(f"| `{code}` | {english} | {french} |".replace("\n", " "))
        lines.append("")
    if told != set(known):
        raise ValueError(f"reasons in no group: {sorted(set(known) - told)}")
    return "\n".join(lines)


def capital(text: str) -> str:
    return text[0].upper() + text[1:]


def rewritten(page: str) -> str:
    return page[: page.index(BEGIN) + len(BEGIN)] + "\n\n" + reasons() + "\n" + page[page.index(END) :]


def main() -> int:
    page = PAGE.read_text()
    PAGE.write_text(rewritten(page))
    print("docs/operations.md: " + ("unchanged" if rewritten(page) == page else "written again"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
