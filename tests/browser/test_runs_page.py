"""The page Runs and schedules: what ran and why it failed, begun again; schedules added, run, paused, removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from browsing import RUN_MS, Land, Seen, choose, downloaded, is_narrow, settled
from playwright.sync_api import Locator, Page, expect

from earthfield_dashboard.runs import RunClient

Opened = Callable[..., Page]


def row(page: Page, run: str) -> Locator:
    """The row of a run in the list."""
    return page.locator(f".st-key-run-{run}")


def test_runs_are_listed_with_what_they_made_or_why_they_failed_and_begin_again(
    land: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    prefect = RunClient(land.prefect_url)
    good = prefect.start({"model": land.model}, deployment="index/index")
    bad = prefect.start({"model": "absent"}, deployment="index/index")
    page = opened(f"{land.url}/runs")
    expect(row(page, good).get_by_text("done")).to_be_visible(timeout=RUN_MS)
    expect(row(page, bad).get_by_text("failed")).to_be_visible(timeout=RUN_MS)
    expect(row(page, bad).get_by_text("no field of model 'absent'")).to_be_visible()

    row(page, good).get_by_role("button", name="Details").click()
    chosen = page.locator(".st-key-run-chosen")
    expect(chosen.get_by_text(f"Index: {land.model}")).to_be_visible()
    chosen.get_by_text("Report of index").click()
    expect(chosen.get_by_text('"cells"')).to_be_visible()
    download = downloaded(chosen, "Download the report")
    assert '"cells"' in download.read_text()

    settled(page)
    choose(page, "State", "Failed")
    expect(row(page, good)).to_have_count(0)
    row(page, bad).get_by_role("button", name="Try again").click()
    expect(chosen.get_by_text("begun 2 times")).to_be_visible(timeout=RUN_MS)
    expect(chosen.get_by_text("No field of model 'absent'").first).to_be_visible(timeout=RUN_MS)
    assert prefect.run(bad).tries == 2
    settled(page)
    assert is_narrow(page)
    page.screenshot(path=pictures / f"runs-{land.name}.png", full_page=True)

    phone = opened(f"{land.url}/runs", phone=True)
    expect(row(phone, good)).to_be_visible()
    settled(phone)
    assert is_narrow(phone)
    phone.screenshot(path=pictures / f"runs-{land.name}-phone.png", full_page=True)
    seen.check()


def test_a_run_that_goes_on_is_cancelled(simulated: Land, opened: Opened, seen: Seen) -> None:
    prefect = RunClient(simulated.prefect_url)
    request = {"catalog": simulated.catalog, "periods": ["2022-03..2023-10"], "model": simulated.model}
    run = prefect.start(request)
    page = opened(f"{simulated.url}/runs")
    expect(row(page, run).get_by_text("running")).to_be_visible(timeout=RUN_MS)
    row(page, run).get_by_role("button", name="Cancel").click()
    expect(row(page, run).get_by_role("button", name="Try again")).to_be_visible(timeout=RUN_MS)
    expect(row(page, run).get_by_text("cancelled")).to_be_visible()
    assert prefect.run(run).state == "CANCELLED"
    seen.check()


def test_a_schedule_is_added_run_paused_and_removed(simulated: Land, opened: Opened, seen: Seen) -> None:
    page = opened(f"{simulated.url}/runs")
    page.get_by_role("tab", name="Schedules").click()
    page.get_by_text("Add a schedule").click()
    page.get_by_role("button", name="Add the schedule").click()
    expect(page.get_by_text("Still missing: a name.")).to_be_visible()
    fill(page, "Name", "polder")
    page.get_by_role("button", name="Months").click()
    page.get_by_role("button", name="Years").click()
    fill(page, "The first period", "2023-12")
    fill(page, "Days that scenes may come late", str((date.today() - date(2023, 12, 15)).days))
    choose(page, "How often", "once a month")
    choose(page, "Model", simulated.model)
    page.get_by_role("button", name="Add the schedule").click()

    own = page.locator(".st-key-schedule-polder")
    expect(own.get_by_text("active")).to_be_visible()
    expect(own.get_by_text("Looks once a month")).to_be_visible()
    expect(own.get_by_text("Next: 20")).to_be_visible(timeout=RUN_MS)
    expect(own.get_by_text("Nothing new yet.")).to_be_visible()
    own.get_by_role("button", name="Run now").click()
    expect(own.get_by_text("1 map part made")).to_be_visible(timeout=RUN_MS)

    own.get_by_role("button", name="Pause").click()
    expect(own.get_by_text("It is paused")).to_be_visible()
    own.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Yes, remove it").click()
    expect(own).to_have_count(0)
    expect(page.get_by_text("There is no schedule yet.")).to_be_visible()
    seen.check()


def fill(page: Page, label: str, text: str) -> None:
    """Types into a field, and leaves it."""
    field = page.get_by_label(label, exact=False).and_(page.locator("input")).first
    field.fill(text)
    field.press("Tab")
    settled(page)
