"""What the login asks for, read from the settings, and the refusal to be open to other machines without one."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from earthfield.errors import InvalidInput
from earthfield.hosts import HERE, is_loopback
from earthfield.settings import Settings
from earthfield_dashboard.login.attempts import Attempts
from earthfield_dashboard.login.sessions import Sessions

_LEAST_PASSWORD = 10
_LEAST_SECRET = 32


@dataclass(frozen=True)
class Provider:
    """An OpenID Connect provider."""

    issuer: str
    """Its address; what it can do stands at `/.well-known/openid-configuration` below it."""
    client_id: str
    """Id of the dashboard there."""
    client_secret: str
    """Its secret."""
    allowed: tuple[str, ...]
    """Addresses, `@domains` or `*`, in small letters."""
    back: str
    """Where the provider sends people back to, on the dashboard."""

    def admits(self, email: str, *, is_verified: bool) -> bool:
        """Tells whether somebody whom the provider knows may come in; an address in doubt only where all may."""
        address = email.lower() if is_verified else ""
        domain = f"@{address.rpartition('@')[2]}" if "@" in address else None
        return "*" in self.allowed or (bool(address) and (address in self.allowed or domain in self.allowed))


@dataclass(frozen=True)
class Rules:
    """Who may come in, and how."""

    password: str
    """What is asked for; empty where a password opens nothing."""
    provider: Provider | None
    """Who else may let people in."""
    sessions: Sessions
    """Who is in."""
    attempts: Attempts
    """Who tries how often."""
    is_encrypted: bool
    """Whether people come by https, so that the cookie never travels otherwise."""
    hosts: tuple[str, ...]
    """Names under which the dashboard may be addressed; any where empty."""

    @property
    def is_open(self) -> bool:
        """Whether nobody needs to log in."""
        return not self.password and self.provider is None

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers take one with this prefix by https only, for this host only."""
        return "__Host-earthfield" if self.is_encrypted else "earthfield_session"

    def is_password(self, text: str) -> bool:
        """Compares in constant time."""
        given, kept = (hashlib.sha256(one.encode()).digest() for one in (text, self.password))
        return hmac.compare_digest(given, kept) and bool(self.password)


def rules_of(settings: Settings) -> Rules:
    """Gives the rules that settings ask for.

    Raises:
        InvalidInput: other machines could reach the dashboard and nothing is asked for, or what is asked for is
            weak or incomplete.
    """
    password = settings.dashboard_password.get_secret_value()
    public = urlsplit(settings.dashboard_url)
    provider = _provider(settings)
    is_here = is_loopback(settings.dashboard_host) and is_loopback(public.hostname or "localhost")
    if settings.dashboard_url and (public.scheme not in ("http", "https") or not public.hostname):
        raise InvalidInput(f"EARTHFIELD_DASHBOARD_URL is {settings.dashboard_url!r}: give https://host")
    if password and len(password) < _LEAST_PASSWORD:
        raise InvalidInput(
            f"EARTHFIELD_DASHBOARD_PASSWORD is too short: give at least {_LEAST_PASSWORD} characters"
        )
    if not password and provider is None and not is_here:
        where = public.hostname or settings.dashboard_host
        raise InvalidInput(
            f"at {where} other machines could reach the dashboard, and it asks for no login: set "
            "EARTHFIELD_DASHBOARD_PASSWORD or EARTHFIELD_OIDC_ISSUER (docs/operate.md), or keep it on 127.0.0.1"
        )
    is_open = not password and provider is None
    # A web page must not reach an open dashboard of this machine under a name of its own (DNS rebinding).
    hosts = (*HERE, settings.dashboard_host) if is_open else ()
    sessions = Sessions(_signing_key(settings, password), hours=settings.dashboard_hours)
    return Rules(password, provider, sessions, Attempts(), public.scheme == "https", hosts)


def _provider(settings: Settings) -> Provider | None:
    if not settings.oidc_issuer:
        return None
    issuer, secret = urlsplit(settings.oidc_issuer), settings.oidc_client_secret.get_secret_value()
    if issuer.scheme != "https" and not (issuer.scheme == "http" and is_loopback(issuer.hostname or "")):
        raise InvalidInput("EARTHFIELD_OIDC_ISSUER must be an https:// address")
    allowed = tuple(one.strip().lower() for one in settings.oidc_allowed.split(",") if one.strip())
    asked = {
        "EARTHFIELD_OIDC_CLIENT_ID": settings.oidc_client_id,
        "EARTHFIELD_OIDC_CLIENT_SECRET": secret,
        "EARTHFIELD_OIDC_ALLOWED": allowed,
        "EARTHFIELD_DASHBOARD_URL": settings.dashboard_url,
    }
    if missing := [name for name, value in asked.items() if not value]:
        raise InvalidInput(
            f"logging in with {issuer.hostname} needs {', '.join(missing)} too: see docs/operate.md"
        )
    back = f"{settings.dashboard_url.rstrip('/')}/login/back"
    return Provider(settings.oidc_issuer.rstrip("/"), settings.oidc_client_id, secret, allowed, back)


def _signing_key(settings: Settings, password: str) -> str:
    """Mixes the secret with the password: whoever changes either ends every login."""
    secret = settings.dashboard_secret.get_secret_value()
    if secret and len(secret) < _LEAST_SECRET:
        raise InvalidInput(
            f"EARTHFIELD_DASHBOARD_SECRET is too short: `openssl rand -hex 32` makes one of {_LEAST_SECRET} or more"
        )
    key = (secret or secrets.token_hex(32)).encode()
    return hmac.new(key, password.encode(), hashlib.sha256).hexdigest()
