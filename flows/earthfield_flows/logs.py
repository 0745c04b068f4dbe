"""The log of Prefect's own processes as JSON, where EARTHFIELD_LOG asks for that."""

from __future__ import annotations

import os

from earthfield.log import is_json

LOGGERS = "earthfield,earthfield_ingest,earthfield_train,earthfield_infer,earthfield_search,earthfield_flows"
"""Whose words a run's log on the server holds too."""


def settings_of_log() -> dict[str, str]:
    """Gives what Prefect's processes are told by their environment; nothing where lines of text will do.

    Raises:
        InvalidInput: EARTHFIELD_LOG says neither text nor json.
    """
    if not is_json():
        return {}
    return {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json",
        "PREFECT_LOGGING_FORMATTERS_JSON_CLASS": "earthfield.log.JsonLines",
        "PREFECT_LOGGING_COLORS": "false",
    }


def settings_of_runs() -> dict[str, str]:
    """Gives what runs are told beside that, unless the environment says otherwise: their logs hold our words."""
    wanted = {"PREFECT_LOGGING_EXTRA_LOGGERS": LOGGERS, "PREFECT_LOGGING_ROOT_LEVEL": "INFO"}
    return {**settings_of_log(), **{name: value for name, value in wanted.items() if name not in os.environ}}
