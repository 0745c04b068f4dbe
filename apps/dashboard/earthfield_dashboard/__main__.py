"""Runs the dashboard: `python -m earthfield_dashboard`, set by `EARTHFIELD_*`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from earthfield.settings import Settings

_OPTIONS = {
    "server.address": "127.0.0.1",
    "server.headless": "true",
    # The pages bring their own copies of the map scripts: no page asks another host for anything.
    "server.enableStaticServing": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "theme.base": "light",
    "theme.primaryColor": "#0b6b50",
    "theme.textColor": "#16241f",
    "theme.secondaryBackgroundColor": "#f1f5f3",
    "theme.baseRadius": "0.4rem",
}


def main() -> None:
    """Becomes the Streamlit server, so that the process id stays."""
    options = [part for name, value in _OPTIONS.items() for part in (f"--{name}", value)]
    app = Path(__file__).with_name("app.py")
    port = str(Settings().dashboard_port)
    command = [sys.executable, "-m", "streamlit", "run", str(app), "--server.port", port, *options]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
