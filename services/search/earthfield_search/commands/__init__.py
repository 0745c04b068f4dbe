"""`earthfield index`, `search`, `cluster`, `change`, .. and `serve search`: one module a command."""
