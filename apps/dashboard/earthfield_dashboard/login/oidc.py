"""The way in by an OpenID Connect provider: Authlib's, with the dashboard's own login at its end.

Streamlit's own `st.login` lets everybody in whom the provider knows, guards the pages' scripts only, and leaves
tiles, uploads and the websocket open; so it is not used.
"""

from __future__ import annotations

from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response

from earthfield.errors import InvalidInput
from earthfield_dashboard.login.rules import Provider

_NEXT = "earthfield_next"
_TIMEOUT_S = 15.0


class NotAdmitted(Exception):
    """Somebody did not come in; the message tells them why."""


class Way:
    """To a provider and back."""

    def __init__(self, provider: Provider) -> None:
        """Nothing is asked before the first login.

        Raises:
            InvalidInput: Authlib is not installed.
        """
        try:
            from authlib.integrations.starlette_client import OAuth
        except ModuleNotFoundError as error:
            raise InvalidInput(
                "logging in by OpenID Connect needs one more package: pip install 'earthfield[oidc]'"
            ) from error
        self._provider = provider
        self._client: Any = OAuth().register(
            "earthfield",
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            server_metadata_url=f"{provider.issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid email profile",
                "code_challenge_method": "S256",
                "timeout": _TIMEOUT_S,
            },
        )

    async def begin(self, request: Request, there: str) -> Response:
        """Sends somebody to the provider; `there` is where they want to go afterwards.

        Raises:
            NotAdmitted: it does not answer.
        """
        request.session[_NEXT] = there
        try:
            answer: Response = await self._client.authorize_redirect(request, self._provider.back)
        except (httpx.HTTPError, ValueError, KeyError, RuntimeError) as error:
            raise NotAdmitted("The login provider does not answer. Please try again later.") from error
        return answer

    async def end(self, request: Request) -> tuple[str, str]:
        """Takes somebody back from the provider; gives who it is and where they wanted to go.

        Raises:
            NotAdmitted: the provider refused, its answer is not good, or this person may not come in.
        """
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError

        try:
            metadata = await self._client.load_server_metadata()
            wanted = {
                "iss": {"essential": True, "values": [metadata["issuer"]]},
                "aud": {"essential": True, "values": [self._provider.client_id]},
            }
            token = await self._client.authorize_access_token(request, claims_options=wanted)
            told = token.get("userinfo") or {}
        except (AuthlibBaseError, JoseError, httpx.HTTPError, ValueError, KeyError, RuntimeError) as error:
            raise NotAdmitted("That login did not work. Please start it again here.") from error
        email = str(told.get("email") or "")
        # Providers that only know addresses that are sure leave this out.
        is_verified = str(told.get("email_verified", True)).lower() == "true"
        if not told.get("sub") or not self._provider.admits(email, is_verified=is_verified):
            raise NotAdmitted(f"{email or 'This account'} may not use this dashboard. Ask whoever runs it.")
        return email or str(told["sub"]), str(request.session.pop(_NEXT, "/"))
