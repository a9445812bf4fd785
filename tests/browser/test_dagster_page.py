"""What a person reads on Dagster's page the morning after a night in which one delivery was refused."""

import re
from itertools import pairwise

import pytest
from playwright.sync_api import Page

from schemas.ids import AGENCY_SYSTEMS, System
from schemas.records import CANONICAL, RECORDS, exported_fields
from tests.browser.conftest import HERE, Browsing
from tests.functional.test_canary import marks, written

CATALOGUE = "/assets"
AGENCIES = "/assets/sync/gpi?view=partitions"
EVENTS = "/assets/sync/gpi?view=events&partition=A0002"
TABLE = "/assets/table/person"
CHECKS = "/assets/table/person?view=checks"
AUTOMATION = "/automation"

# Whether each is switched on at a first start.
CLOCKWORK = {
    "closing_windows": True, "daily_contract_windows": True, "nightly_clearing": True,
    "hourly_events": True,
    "new_deliveries": False, "weekly_reconciliation": False, "nightly_spilasuite": False, "nightly_sdgi": False,
    "nightly_gpi": False, "nightly_login": False, "nightly_portal": False,
}  # fmt: skip


def lines(page: Page) -> list[str]:
    """The page, as it is read from top to bottom."""
    return [stripped for line in page.inner_text("body").splitlines() if (stripped := line.strip())]


def test_the_catalogue_lists_every_sync_and_every_table(browsing: Browsing) -> None:
    wanted = {f"sync / {s}" for s in System} | {f"table / {record.name}" for record in CANONICAL}

    def listed(page: Page) -> set[str]:
        return {line for line in lines(page) if line.startswith(("sync / ", "table / "))}

    assert browsing.reading(browsing.open(CATALOGUE), listed, wanted) == wanted


def test_agencies_are_green_red_or_grey_one_by_one(browsing: Browsing) -> None:
    page = browsing.open(AGENCIES)
    wanted = {"A0001": "green", "A0002": "red", "A0003": "grey"}
    assert browsing.reading(page, colours, wanted) == wanted
    said = {"Materialized (1)": ["A0001"], "Failed (1)": ["A0002"], "Missing (1)": ["A0003"]}
    for status, agencies in said.items():
        others = [page.get_by_text(other, exact=True) for other in said if other != status]
        for other in others:
            other.click()
        assert browsing.reading(page, codes, agencies) == agencies, status
        for other in others:
            other.click()


def codes(page: Page) -> list[str]:
    return sorted({line for line in lines(page) if re.fullmatch("A000[0-9]", line)})


def colours(page: Page) -> dict[str, str]:
    """Each agency of the list, and the colour of the dot beside it."""
    return {code: colour(page, code) for code in codes(page)}


def colour(page: Page, code: str) -> str:
    beside = "xpath=ancestor::div[following-sibling::div][1]/following-sibling::div"
    dot = page.get_by_text(code, exact=True).first.locator(beside)
    red, green, blue = map(int, re.findall("[0-9]+", dot.evaluate("e => getComputedStyle(e).backgroundColor"))[:3])
    if max(red, green, blue) - min(red, green, blue) < 40:
        return "grey"
    return {red: "red", green: "green", blue: "blue"}[max(red, green, blue)]


def test_the_reason_of_a_red_agency_stands_in_its_events(browsing: Browsing) -> None:
    page = browsing.open(EVENTS)
    wanted = ["refused", "{", '"gpi.trailer_missing": 1', "}"]

    def reason(page: Page) -> list[str]:
        told = lines(page)
        at = told.index("refused") if "refused" in told else len(told)
        return told[at : at + len(wanted)]

    assert browsing.reading(page, reason, wanted) == wanted


def test_every_column_of_a_table_shows_its_scope_and_category(browsing: Browsing) -> None:
    record = RECORDS["person"]
    wanted = {
        f.name: {
            f"gdpr/scope: {record.scope}",
            f"gdpr/category: {f.category}",
            f"gdpr/personal: {'yes' if f.personal else 'no'}",
            f"protection: {f.protection}",
        }
        for f in exported_fields(record)
    }

    def columns(page: Page) -> dict[str, set[str]]:
        schema = page.get_by_role("table").filter(has_text="Column name").locator("tbody tr")
        rows = (row.splitlines() for row in schema.all_inner_texts())
        tags = ("gdpr/", "protection: ")
        return {row[0]: {line for line in row if line.startswith(tags)} for row in rows}

    assert browsing.reading(browsing.open(TABLE), columns, wanted) == wanted


def test_the_checks_of_a_table_are_listed_with_their_results(browsing: Browsing) -> None:
    page = browsing.open(CHECKS)
    wanted = {f"invariants_{system}": "Succeeded" for system in AGENCY_SYSTEMS}

    def results(page: Page) -> dict[str, str]:
        # The check that is open at the right is headed by its name alone.
        return {a: b for a, b in pairwise(lines(page)) if a.startswith("invariants_") and b not in (a, "Execute")}

    assert browsing.reading(page, results, wanted) == wanted
    assert "This is a blocking asset check." in lines(page)


def test_schedules_and_sensors_are_listed_with_their_switches(browsing: Browsing) -> None:
    def switches(page: Page) -> dict[str, bool]:
        listed = {line for line in lines(page) if re.fullmatch("[a-z]+(_[a-z]+)+", line)}
        row = "xpath=ancestor::*[count(.//input[@type='checkbox']) = 2][1]//input"
        return {n: page.get_by_text(n, exact=True).first.locator(row).last.is_checked() for n in listed}

    assert browsing.reading(browsing.open(AUTOMATION), switches, CLOCKWORK) == CLOCKWORK


@pytest.fixture
def everything(browsing: Browsing) -> Browsing:
    """Every page of this file was opened and has told what it is about."""
    for path, told in {
        CATALOGUE: "sync / gpi", AGENCIES: "A0002", EVENTS: "Metadata", TABLE: "last_name", CHECKS: "invariants_gpi",
        AUTOMATION: "nightly_gpi",
    }.items():  # fmt: skip
        browsing.open(path).get_by_text(told, exact=True).first.wait_for()
    return browsing


def test_no_page_asks_another_machine_for_anything(everything: Browsing) -> None:
    assert everything.hosts == {HERE}


def test_no_value_of_a_person_reaches_the_browser(everything: Browsing) -> None:
    values = set().union(*(marks(whose) for whose in ("A0001", "A0002", "A0003", "_portal")))
    assert len(values) > 500
    sent = b"\n".join(everything.received)
    assert b"A0002" in sent, "what the browser was sent holds what the page shows"
    assert b"gdpr/category" in sent
    assert [value for value in sorted(values) if any(form in sent for form in written(value))] == []
