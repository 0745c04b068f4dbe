"""The login in a browser: nothing is seen of the dashboard before it, all after it, nothing when it is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from browsing import Land, Seen, is_narrow, keep, pages_of
from playwright.sync_api import Page, expect

PASSWORD = "correct horse battery"
SOCKET = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Land]:
    """The pages alone, with a password; every other part is down."""
    root = tmp_path_factory.mktemp("guarded")
    nothing = Land("guarded", root, "", "starter", (), (0.0, 0.0, 0.0, 0.0))
    with pages_of(
        nothing, parts=("dashboard",), settings={"EARTHFIELD_DASHBOARD_PASSWORD": PASSWORD}
    ) as land:
        yield land


def log_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_people_log_in_see_the_page_they_wanted_and_log_out(
    guarded: Land, opened: Callable[..., Page], seen: Seen, pictures: Path, phone: bool
) -> None:
    page = opened(f"{guarded.url}/health", phone=phone)
    name = "-phone" if phone else ""
    expect(page.get_by_label("Password")).to_be_focused()
    page.screenshot(path=pictures / f"login{name}.png")
    log_in(page)
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    # Every other part is down here, and the page says what to do about it.
    expect(page.get_by_text("parts are down")).to_be_visible()
    expect(page.get_by_text("What to do:").first).to_be_visible()
    expect(page.get_by_text("earthfield up").first).to_be_visible()
    assert is_narrow(page)
    keep(page, pictures, f"health-down{name}")
    if phone:
        page.get_by_test_id("stPopover").get_by_role("button").click()
    page.get_by_role("link", name="Log out").locator("visible=true").click()
    expect(page.get_by_label("Password")).to_be_visible()
    page.goto(f"{guarded.url}/health")
    expect(page.get_by_label("Password")).to_be_visible()
    seen.check()


def test_a_wrong_password_is_told_and_opens_nothing(guarded: Land, opened: Callable[..., Page]) -> None:
    page = opened(f"{guarded.url}/")
    log_in(page, "not this one, surely")
    expect(page.get_by_role("alert")).to_contain_text("not the password")
    expect(page.get_by_label("Password")).to_be_focused()


def test_before_the_login_neither_tiles_nor_files_nor_the_websocket_answer(guarded: Land) -> None:
    with httpx.Client(base_url=guarded.url, timeout=60, trust_env=False) as stranger:
        for path in (
            "/service/tiles/starter/2022/1/1/1.png",
            "/app/static/earthfield/map.js",
            "/_stcore/host-config",
            "/",
        ):
            assert stranger.get(path).status_code == 401, path
        assert stranger.get("/_stcore/stream", headers=SOCKET).status_code == 403
        told = stranger.get("/health")
        assert told.status_code == 503 and set(told.json()) == {"status", "at"}
        assert stranger.post("/login", data={"password": PASSWORD}).status_code == 303
        # The search service is down, which is another thing than not being let in.
        assert stranger.get("/service/tiles/starter/2022/1/1/1.png").status_code == 503
        assert len(stranger.get("/health").json()["parts"]) == 5
