"""Runs the dashboard: `python -m earthfield_dashboard`, set by `EARTHFIELD_*`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from earthfield.settings import Settings
from earthfield_dashboard.server import app

_OPTIONS: dict[str, Any] = {
    "server.headless": True,
    # The pages bring their own copies of the map scripts: no page asks another host for anything.
    "server.enableStaticServing": True,
    "server.fileWatcherType": "none",
    # A whole collection after each redraw holds everything up for 0.2 s; Python collects by itself.
    "runner.postScriptGC": False,
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "theme.base": "light",
    "theme.primaryColor": "#0b6b50",
    "theme.textColor": "#16241f",
    "theme.secondaryBackgroundColor": "#f1f5f3",
    "theme.baseRadius": "0.4rem",
}


def main() -> None:
    """Serves the pages until it is ended.

    Raises:
        InvalidInput: other machines could reach it and no login is asked for, or the login is set up wrongly.
    """
    settings = Settings()
    where = {
        "server.address": settings.dashboard_host,
        "server.port": settings.dashboard_port,
        # Where it listens on every address, Streamlit would ask another host for its own unless it is told.
        "browser.serverAddress": urlsplit(settings.dashboard_url).hostname or "localhost",
    }
    app().run(config={**_OPTIONS, **where})


if __name__ == "__main__":
    import sys

    from earthfield.cli import exit_code_of
    from earthfield.log import set_up

    set_up(verbose=True)
    sys.exit(exit_code_of(main))
