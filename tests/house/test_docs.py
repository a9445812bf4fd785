"""Documents that are derived say what they are derived from."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_of_reasons_in_the_operations_guide_is_the_one_of_the_command_line() -> None:
    spec = importlib.util.spec_from_file_location("docs_script", ROOT / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = (ROOT / "docs" / "operations.md").read_text()
    assert script.rewritten(page) == page, "run `make docs`"
