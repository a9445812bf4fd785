"""What the benchmark of the web door asks for is there."""

import re

from benchmarks.door import pages
from portal.web.app import app
from portal.web.description import Nobody
from portal.web.registry import PAGES
from portal.web.site import Site


def test_every_address_is_a_page() -> None:
    app(Nobody(), Site("https://localhost"))  # lists the pages
    numbered = [page.path.replace("{number}", "[0-9]+") for page in PAGES if page.method == "GET"]
    listed = [re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in numbered]
    asked = {name: path(3).partition("?")[0] for name, path in pages(100).items()}
    assert len(asked) > 12
    assert [name for name, path in asked.items() if not any(each.fullmatch(path) for each in listed)] == []
