"""Logins that hold: a signed cookie each, ended by time, by logging out, or by another secret."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer

_SALT = "earthfield dashboard login"
_MOST_ENDED = 10_000


@dataclass(frozen=True)
class Session:
    """A login."""

    id: str
    """Which."""
    who: str
    """Address of the person, or `password`."""
    until: float
    """When it ends by itself, seconds since 1970."""


class Sessions:
    """Makes cookies and reads them; those that were ended early are remembered until they would end anyway."""

    def __init__(self, key: str, *, hours: float, clock: Callable[[], float] = time.time) -> None:
        """Args: what cookies are signed with; how long a login holds; what tells the time, seconds since 1970."""
        self._signer = URLSafeSerializer(key, salt=_SALT)
        self._hours, self._clock = hours, clock
        self._ended: OrderedDict[str, float] = OrderedDict()

    @property
    def seconds(self) -> int:
        """How long a login holds."""
        return int(self._hours * 3600)

    def begin(self, who: str) -> str:
        """Gives a new cookie."""
        return str(self._signer.dumps([secrets.token_hex(16), who, self._clock() + self.seconds]))

    def read(self, cookie: str) -> Session | None:
        """Gives the login of a cookie; None where it is not ours, over, or ended."""
        try:
            number, who, until = self._signer.loads(cookie)
        except (BadData, ValueError, TypeError):
            return None
        session = Session(str(number), str(who), float(until))
        return session if self.holds(session) else None

    def holds(self, session: Session) -> bool:
        """Tells whether a login still holds."""
        return self._clock() < session.until and session.id not in self._ended

    def end(self, session: Session) -> None:
        """Ends a login before its time."""
        now = self._clock()
        self._ended[session.id] = session.until
        for known in [one for one, until in self._ended.items() if until < now]:
            del self._ended[known]
        while len(self._ended) > _MOST_ENDED:
            self._ended.popitem(last=False)
