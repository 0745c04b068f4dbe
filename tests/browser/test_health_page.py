"""The page Health over a whole stack: everything works, in words and for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from browsing import Land, Seen, is_narrow, keep
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_where_all_parts_answer_the_page_says_so(
    simulated: Land, opened: Callable[..., Page], seen: Seen, pictures: Path, phone: bool
) -> None:
    page = opened(f"{simulated.url}/health", phone=phone)
    expect(page.get_by_text("Everything works.")).to_be_visible()
    for words in ("Answers questions, over 1 index", "Keeps runs and schedules", "Asked for work", "GB free"):
        expect(page.get_by_text(words)).to_be_visible()
    expect(page.get_by_text("What to do:")).to_have_count(0)
    assert is_narrow(page)
    page.get_by_role("button", name="Ask again").click()
    expect(page.get_by_text("Everything works.")).to_be_visible()
    keep(page, pictures, f"health{'-phone' if phone else ''}")
    seen.check()


def test_programs_are_told_the_same(simulated: Land) -> None:
    told = httpx.get(f"{simulated.url}/health", timeout=60)
    assert told.status_code == 200 and told.json()["status"] == "ok"
    states = {one["name"]: one["state"] for one in told.json()["parts"]}
    assert set(states) == {"search", "prefect", "worker", "encoder", "disk"}
    assert set(states.values()) <= {"ok", "off"}
