"""The one error tree of Earthfield, cut by what the caller can do about it."""

from __future__ import annotations

from typing import ClassVar


class EarthfieldError(Exception):
    """Base of every error that Earthfield raises on purpose.

    The message says what happened, where, and what to do now, in one sentence.
    """

    exit_code: ClassVar[int] = 1
    """Exit status of the `earthfield` command."""
    http_status: ClassVar[int] = 500
    """Status of the HTTP answer."""


class InvalidInput(EarthfieldError, ValueError):
    """The request is wrong; the caller must change it."""

    exit_code = 2
    http_status = 422


class NotFound(EarthfieldError, LookupError):
    """What was asked for does not exist."""

    exit_code = 3
    http_status = 404


class NotAllowed(EarthfieldError):
    """The caller's key is missing, unknown, or not meant for this; another key may do."""

    exit_code = 2
    http_status = 403


class Conflict(EarthfieldError):
    """The request contradicts what is already there."""

    exit_code = 2
    http_status = 409


class BrokenArtefact(EarthfieldError):
    """A file breaks its schema; stop and repair or remove it."""

    exit_code = 1
    http_status = 500


class Unavailable(EarthfieldError):
    """A peer, disk or network is not there now; try again later."""

    exit_code = 4
    http_status = 503


class Internal(EarthfieldError):
    """Our own mistake."""

    exit_code = 1
    http_status = 500
