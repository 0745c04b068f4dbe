"""Asking other hosts, and this machine again and again."""

from __future__ import annotations

import ssl
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from local_http import Answer, serving

from earthfield.health import count_runs
from earthfield.hosts import certificates
from earthfield_flows.parts import Ports, Wanted, is_polled, parts_of


def test_certificates_are_read_once_however_often_this_machine_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Mock(wraps=ssl.create_default_context)
    monkeypatch.setattr(ssl, "create_default_context", read)
    certificates.cache_clear()
    with serving(lambda asked: Answer(b"{}" if asked.path.startswith("/api/dep") else b"3")) as server:
        port = urlsplit(server.url).port
        assert port is not None
        (search,) = [one for one in parts_of(Wanted(Ports(search=port))) if one.name == "search"]
        for _ in range(3):
            assert search.is_well(None)
            assert not is_polled(f"{server.url}/api"), "nobody has asked for work"
            assert count_runs(f"{server.url}/api") == {"waiting": 3.0, "running": 3.0}
    assert read.call_count == 1
