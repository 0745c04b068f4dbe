"""Every page has an address, and is reached by mouse, finger and keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from browsing import Land, Seen, settled
from playwright.sync_api import Page, expect

from earthfield_dashboard.pages import PAGES

Opened = Callable[..., Page]


@pytest.mark.parametrize("path", [one.path for one in PAGES])
def test_a_page_opens_by_its_address_on_a_phone(
    path: str, served: Callable[[Land], Land], simulated_land: Land, opened: Opened, seen: Seen
) -> None:
    page = opened(f"{served(simulated_land).url}/{path}", phone=True)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settled(page)
    expect(page.get_by_text("Page not found")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing has to be scrolled sideways"
    seen.check()


def tabbed(page: Page) -> Iterator[str]:
    """Names of what the tab key leads to, one after another."""
    for _ in range(12):
        page.keyboard.press("Tab")
        yield page.evaluate("document.activeElement.innerText").split("\n")[-1].strip()
    raise AssertionError("the tab key does not lead there")


def test_pages_are_reached_by_keyboard_on_a_desk_and_by_finger_on_a_phone(
    served: Callable[[Land], Land], simulated_land: Land, opened: Opened, seen: Seen
) -> None:
    address = served(simulated_land).url
    desk = opened(f"{address}/?run=")
    for one in PAGES:
        expect(desk.get_by_role("link", name=one.title)).to_be_visible()
    for name in tabbed(desk):
        if name == "Similar":
            break
    desk.keyboard.press("Enter")
    expect(desk).to_have_url(re.compile("/similar"))
    expect(desk.get_by_role("heading", level=1, name="Similar")).to_be_visible()

    phone = opened(address, phone=True)
    expect(phone.get_by_role("heading", level=1)).to_be_visible()
    expect(phone.get_by_role("link", name="Explore")).to_have_count(0)
    phone.get_by_role("button", name="Area").first.tap()
    phone.get_by_role("link", name="Explore").tap()
    expect(phone.get_by_role("heading", level=1, name="Explore")).to_be_visible()
    seen.check()
