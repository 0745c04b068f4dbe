"""Logging in by OpenID Connect, with a provider that listens on this machine."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from earthfield.settings import Settings
from earthfield_dashboard.login import Gate, login_routes, rules_of

pytest.importorskip("authlib", reason="the extra `oidc` is not installed")

CLIENT, SECRET = "earthfield-dashboard", "client-secret"
BASE = "http://127.0.0.1:8800"


class Provider:
    """Lets whoever comes in as the person that a test says."""

    def __init__(self) -> None:
        from joserfc.jwk import ECKey

        self.key = ECKey.generate_key("P-256", {"use": "sig", "kid": "one"})
        self.claims: dict[str, Any] = {}
        self.asked: dict[str, list[str]] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, nonce: str) -> str:
        from joserfc import jwt

        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "sub": "17", "iat": now, "exp": now + 60, "nonce": nonce}
        return jwt.encode({"alg": "ES256", "kid": "one"}, claims | self.claims, self.key)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/.well-known/openid-configuration":
                    self.tell(
                        {
                            "issuer": provider.url,
                            "authorization_endpoint": f"{provider.url}/authorize",
                            "token_endpoint": f"{provider.url}/token",
                            "jwks_uri": f"{provider.url}/keys",
                            "id_token_signing_alg_values_supported": ["ES256"],
                        }
                    )
                else:
                    self.tell({"keys": [provider.key.as_dict(private=False)]})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                provider.asked = parse_qs(body)
                nonce = provider.asked["code"][0]
                self.tell({"access_token": "x", "token_type": "Bearer", "id_token": provider.token(nonce)})

            def tell(self, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        return Answers


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def client(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    for name in [one for one in os.environ if one.startswith("EARTHFIELD_")]:
        monkeypatch.delenv(name)
    provider.claims = {"email": "Ann@example.org", "email_verified": True}
    rules = rules_of(
        Settings(
            dashboard_url=BASE, oidc_issuer=provider.url, oidc_client_id=CLIENT, oidc_client_secret=SECRET,
            oidc_allowed="ann@example.org, @fields.example",
        )  # type: ignore[arg-type]
    )  # fmt: skip

    async def here(request: Request) -> Response:
        return PlainTextResponse(request.state.session.who)

    layers = [Middleware(Gate, rules=rules), Middleware(SessionMiddleware, secret_key="x")]
    app = Starlette(routes=[*login_routes(rules), Route("/explore", here)], middleware=layers)
    with TestClient(app, base_url=BASE, follow_redirects=False) as made:
        yield made


def back_from(client: TestClient, provider: Provider, **changed: str) -> Any:
    """Goes to the provider and comes back with what it gives."""
    answer = client.get("/login/provider?next=/explore")
    assert answer.status_code == 302, answer.text
    sent = urlsplit(answer.headers["location"])
    asked = {name: one[0] for name, one in parse_qs(sent.query).items()}
    assert f"{sent.scheme}://{sent.netloc}" == provider.url
    assert asked["redirect_uri"] == f"{BASE}/login/back" and asked["code_challenge_method"] == "S256"
    # The code is the nonce: this provider need not remember it.
    return client.get("/login/back", params={"code": asked["nonce"], "state": asked["state"], **changed})


def test_who_may_come_in_does_and_goes_where_they_wanted(client: TestClient, provider: Provider) -> None:
    assert "Log in with 127.0.0.1" in client.get("/login").text
    assert 'type="password"' not in client.get("/login").text
    answer = back_from(client, provider)
    assert answer.status_code == 303 and answer.headers["location"] == "/explore"
    assert client.get("/explore").text == "Ann@example.org"
    assert provider.asked["code_verifier"] and provider.asked["redirect_uri"] == [f"{BASE}/login/back"]


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "bob@example.org"},
        {"email": "ann@example.org", "email_verified": False},
        {"email": "ann@example.org", "email_verified": "false"},
        {"email": ""},
        {"email": "ann@example.org@evil.example"},
        {"email": "x@not-fields.example"},
        {"aud": "somebody-else"},
        {"iss": "https://elsewhere.example"},
        {"nonce": "of another login"},
        {"exp": 1_000_000},
    ],
)
def test_others_do_not_come_in_and_are_told(
    client: TestClient, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.claims |= claims
    answer = back_from(client, provider)
    assert answer.status_code == 403 and 'role="alert"' in answer.text
    assert client.get("/explore").status_code == 401


def test_a_whole_domain_may_come_in(client: TestClient, provider: Provider) -> None:
    provider.claims |= {"email": "anyone@fields.example"}
    assert back_from(client, provider).status_code == 303


def test_an_answer_that_nobody_asked_for_is_refused(client: TestClient, provider: Provider) -> None:
    assert back_from(client, provider, state="made-up").status_code == 403
    assert client.get("/login/back?code=x&state=y").status_code == 403
    assert client.get("/login/back?error=access_denied").status_code == 403
    assert client.get("/explore").status_code == 401


def test_a_password_opens_nothing_where_none_is_set(client: TestClient) -> None:
    assert client.post("/login", data={"password": ""}).status_code == 200
    assert client.get("/explore").status_code == 401
