"""The login: who may see the dashboard, its tiles, its uploads and its websocket."""

from earthfield_dashboard.login.gate import Gate
from earthfield_dashboard.login.routes import login_routes
from earthfield_dashboard.login.rules import Rules, rules_of

__all__ = ["Gate", "Rules", "login_routes", "rules_of"]
