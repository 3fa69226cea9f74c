"""Ports that stay a broker's own while it is down."""

import random
import socket
from pathlib import Path
from typing import Final

_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST: Final = 15000


def lasting_ports(count: int) -> list[int]:
    """Return loopback ports that nothing listens on, below those that the system hands to outgoing connections.

    A broker that was killed gets its port back: no connection of another program can have taken it meanwhile.
    """
    last = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32768
    found: list[int] = []
    for port in random.sample(range(_FIRST, max(last, _FIRST + 1000)), k=max(last - _FIRST, 1000)):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    return found


def is_free(port: int) -> bool:
    """Tell whether nothing has this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: the rest of an old connection is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
