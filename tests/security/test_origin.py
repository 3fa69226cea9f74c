"""Host and Origin rules: what DNS rebinding and foreign pages would send."""

import socket

import pytest

from trunkline.security.origin import OriginRules


@pytest.mark.parametrize(
    ("listen", "host", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:8400", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "LOCALHOST:1", True),
        ("127.0.0.1", "[::1]:8400", True),
        ("127.0.0.1", "scada.example:8400", True),
        ("127.0.0.1", "evil.example:8400", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "192.0.2.1:8400", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", None, False),
        ("127.0.0.1", "localhost@evil.example", False),
        ("127.0.0.1", "localhost:port", False),
        ("127.0.0.1", "[::1", False),
        ("0.0.0.0", "192.0.2.1:8400", True),
        ("0.0.0.0", "evil.example", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("plant.internal", "plant.internal:8400", True),
        ("plant.internal", "plant.internal.evil.example", False),
    ],
)
def test_hosts(listen: str, host: str | None, allowed: bool) -> None:
    assert OriginRules(listen, ["scada.example"]).host_allowed(host) is allowed


def test_this_machines_name_counts_beyond_loopback_only() -> None:
    assert OriginRules("0.0.0.0").host_allowed(f"{socket.gethostname()}:8400")


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "localhost:8400", True),
        ("http://localhost:8400", "localhost:8400", True),
        ("https://scada.example", "scada.example:443", True),
        ("http://localhost:9999", "localhost:8400", False),
        ("http://evil.example", "localhost:8400", False),
        ("http://evil.example", "evil.example", False),
        ("null", "localhost:8400", False),
        ("file://", "localhost:8400", False),
        ("http://[", "localhost:8400", False),
        ("http://localhost:8400", None, False),
    ],
)
def test_origins(origin: str | None, host: str | None, allowed: bool) -> None:
    assert OriginRules("127.0.0.1", ["scada.example"]).origin_allowed(origin, host) is allowed
