"""The login: what it lets through, whom, and how often somebody may try."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from earthfield.errors import InvalidInput
from earthfield.settings import Settings
from earthfield_dashboard.login import Gate, Rules, login_routes, rules_of
from earthfield_dashboard.login.attempts import Attempts
from earthfield_dashboard.login.routes import place_in
from earthfield_dashboard.login.sessions import Sessions

PASSWORD = "correct horse battery"
PAGE = {"Accept": "text/html"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come from the test alone."""
    import os

    for name in [one for one in os.environ if one.startswith("EARTHFIELD_")]:
        monkeypatch.delenv(name)


def settings(**given: Any) -> Settings:
    return Settings(**{"dashboard_password": PASSWORD, **given})


def guarded(rules: Rules) -> Starlette:
    """An application with what Streamlit's has: pages, tiles, uploads, a websocket, and a health."""

    async def here(request: Request) -> Response:
        return PlainTextResponse(f"{request.method} {request.url.path}")

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"heard {text}")

    routes = [
        *login_routes(rules),
        WebSocketRoute("/_stcore/stream", echo),
        Route("/{path:path}", here, methods=["GET", "PUT", "POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Gate, rules=rules)])


def visitor(rules: Rules, base: str = "http://testserver", **more: Any) -> TestClient:
    return TestClient(guarded(rules), base_url=base, follow_redirects=False, **more)


@pytest.fixture
def client() -> Iterator[TestClient]:
    with visitor(rules_of(settings())) as made:
        yield made


def log_in(client: TestClient, password: str = PASSWORD, **more: Any) -> Any:
    return client.post("/login", data={"password": password}, **more)


def test_without_a_login_a_page_leads_to_the_form_and_comes_back(client: TestClient) -> None:
    answer = client.get("/explore?layer=3", headers=PAGE)
    assert answer.status_code == 303 and answer.headers["location"] == "/login?next=/explore%3Flayer%3D3"
    form = client.get(answer.headers["location"])
    assert (
        form.status_code == 200
        and 'type="password"' in form.text
        and "no-store" in form.headers["cache-control"]
    )
    done = client.post(answer.headers["location"], data={"password": PASSWORD})
    assert done.status_code == 303 and done.headers["location"] == "/explore?layer=3"
    assert client.get("/explore", headers=PAGE).text == "GET /explore"


@pytest.mark.parametrize(
    "path",
    [
        "/service/tiles/m/p/1/2/3.png",
        "/_stcore/upload_file/x",
        "/media/x.png",
        "/app/static/map.js",
        "/login/x",
    ],
)
def test_without_a_login_neither_tiles_nor_files_are_told(client: TestClient, path: str) -> None:
    for method in ("GET", "PUT"):
        answer = client.request(method, path)
        assert answer.status_code == 401 and answer.json()["error"] == "NotAllowed"
    log_in(client)
    assert client.get(path).status_code == 200


def test_the_health_is_open_to_programs_and_the_page_health_is_not(client: TestClient) -> None:
    assert client.get("/health").status_code == 200
    assert client.get("/_stcore/health").status_code == 200
    assert client.get("/health", headers=PAGE).status_code == 303


def test_a_websocket_without_a_login_is_refused_before_it_opens(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/_stcore/stream"):
        pass
    log_in(client)
    with client.websocket_connect("/_stcore/stream") as socket:
        socket.send_text("a")
        assert socket.receive_text() == "heard a"


def test_a_websocket_that_stays_open_is_not_heard_after_the_end_of_its_login() -> None:
    with visitor(rules_of(settings())) as client:
        log_in(client)
        with client.websocket_connect("/_stcore/stream") as socket:
            assert client.get("/logout").status_code == 303
            socket.send_text("a")
            with pytest.raises(WebSocketDisconnect) as told:
                socket.receive_text()
            assert told.value.code == 4401


def test_a_cookie_is_no_good_after_logging_out_even_where_somebody_kept_it(client: TestClient) -> None:
    log_in(client)
    kept = client.cookies["earthfield_session"]
    assert client.get("/logout").headers["location"] == "/login"
    assert "earthfield_session" not in client.cookies
    assert client.get("/x", headers={"Cookie": f"earthfield_session={kept}"}).status_code == 401


@pytest.mark.parametrize("given", ["", "correct horse batterz", PASSWORD + " ", "pässwörd"])
def test_another_password_opens_nothing(client: TestClient, given: str) -> None:
    answer = log_in(client, given)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers and 'role="alert"' in answer.text
    assert client.get("/x").status_code == 401


def test_the_cookie_cannot_be_read_by_scripts_nor_sent_from_elsewhere() -> None:
    with visitor(rules_of(settings())) as client:
        told = log_in(client).headers["set-cookie"].lower()
    assert "httponly" in told and "samesite=lax" in told and "path=/" in told and "secure" not in told
    with visitor(
        rules_of(settings(dashboard_url="https://maps.example.org")), "https://maps.example.org"
    ) as client:
        answer = log_in(client)
        told = answer.headers["set-cookie"].lower()
        assert told.startswith("__host-earthfield=") and "secure" in told and "domain" not in told
        assert answer.headers["strict-transport-security"]
        assert client.get("/x").status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_form_of_another_page_logs_nobody_in(client: TestClient, headers: dict[str, str]) -> None:
    assert log_in(client, headers=headers).status_code == 403
    assert client.get("/x").status_code == 401


def test_after_some_wrong_passwords_the_right_one_has_to_wait_too(client: TestClient) -> None:
    assert [log_in(client, "wrong wrong wrong").status_code for _ in range(5)] == [401] * 5
    answer = log_in(client)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
    assert "Too many attempts" in answer.text


def test_waiting_grows_with_each_failure_for_this_address_alone_and_ends() -> None:
    now = [0.0]
    attempts = Attempts(clock=lambda: now[0])
    waits = []
    for _ in range(12):
        attempts.failed("192.0.2.1")
        waits.append(attempts.wait_s("192.0.2.1"))
    assert waits[:4] == [0.0] * 4 and waits[4:8] == [10.0, 20.0, 40.0, 80.0] and waits[-1] == 900.0
    assert attempts.wait_s("192.0.2.2") == 0.0
    now[0] += 901
    assert attempts.wait_s("192.0.2.1") == 0.0
    for number in range(5):
        attempts.failed(f"2001:db8::{number}")
    assert attempts.wait_s("2001:db8::ffff") > 0 and attempts.wait_s("2001:db8:0:1::1") == 0.0
    attempts.succeeded("2001:db8::3")
    assert attempts.wait_s("2001:db8::1") == 0.0


def test_a_login_ends_by_itself_and_with_another_key() -> None:
    now = [1000.0]
    sessions = Sessions("k" * 64, hours=1, clock=lambda: now[0])
    cookie = sessions.begin("ann@example.org")
    assert sessions.read(cookie) is not None
    assert Sessions("j" * 64, hours=1, clock=lambda: now[0]).read(cookie) is None
    assert sessions.read(cookie[:-2]) is None and sessions.read("") is None
    now[0] += 3601
    assert sessions.read(cookie) is None


def test_changing_the_password_ends_logins_and_a_restart_with_the_secret_does_not() -> None:
    secret = "s" * 32
    cookie = rules_of(settings(dashboard_secret=secret)).sessions.begin("password")
    assert rules_of(settings(dashboard_secret=secret)).sessions.read(cookie) is not None
    other = settings(dashboard_secret=secret, dashboard_password="another one, longer")
    assert rules_of(other).sessions.read(cookie) is None
    assert rules_of(settings()).sessions.read(cookie) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"dashboard_password": "", "dashboard_host": "0.0.0.0"}, r"at 0\.0\.0\.0 .*EARTHFIELD_DASHBOARD_PASSWORD"),
        ({"dashboard_password": "", "dashboard_host": "::"}, "other machines"),
        ({"dashboard_password": "", "dashboard_url": "https://maps.example.org"}, "maps.example.org"),
        ({"dashboard_password": "short"}, "at least 10 characters"),
        ({"dashboard_secret": "short"}, "openssl rand"),
        ({"dashboard_url": "maps.example.org"}, "https://host"),
        ({"oidc_issuer": "http://login.example.org"}, "https://"),
        ({"oidc_issuer": "https://login.example.org", "oidc_client_id": "x"}, "_SECRET, .*_ALLOWED, .*_URL"),
    ],
)  # fmt: skip
def test_what_would_leave_it_open_or_weak_is_refused_with_a_sentence(
    given: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        rules_of(settings(**given))


def test_on_this_machine_no_login_is_asked_for_but_other_names_are_refused() -> None:
    rules = rules_of(settings(dashboard_password=""))
    assert rules.is_open
    with visitor(rules, "http://127.0.0.1:8800") as client:
        assert client.get("/x").status_code == 200
        assert client.get("/login").headers["location"] == "/"
        assert client.get("/x", headers={"Host": "evil.example:8800"}).status_code == 400


@pytest.mark.parametrize(
    "text", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "", "/a\r\nb", "x"]
)
def test_after_the_login_nobody_is_sent_to_another_host(text: str) -> None:
    assert place_in(text) == "/"


def test_secrets_show_in_no_text_of_the_settings() -> None:
    made = settings(dashboard_secret="s" * 40, oidc_client_secret="client-secret")
    for secret in (PASSWORD, "s" * 40, "client-secret"):
        assert secret not in repr(made) and secret not in str(made.model_dump())
