"""Which requests may come from a browser: Host and Origin rules against DNS rebinding and foreign pages.

A page of another site can make a browser send requests here, even with its own name resolved to this machine. It cannot choose the Host
header freely, and it cannot hide its Origin: both are checked.
"""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from trunkline.config.addresses import is_loopback

_ANY: Final = {"0.0.0.0", "::", ""}  # noqa: S104 - compared with, not listened on


class OriginRules:
    """The names under which this server may be asked.

    Loopback names always; the address listened on; names given in addition, of a proxy for example. A server that listens beyond
    loopback also answers to this machine's name and to plain addresses: a name that an attacker controls is never one of them.
    """

    def __init__(self, host: str, names: Iterable[str] = ()) -> None:
        self._open = not is_loopback(host)
        self._names = {name.casefold() for name in names}
        if self._open:
            self._names.add(socket.gethostname().casefold())
        if host not in _ANY:
            self._names.add(host.casefold())

    def host_allowed(self, header: str | None) -> bool:
        """Return whether a Host header names this server; the port does not matter."""
        name = _name(header)
        if name is None:
            return False
        if name in self._names or is_loopback(name):
            return True
        return self._open and _is_address(name)

    def origin_allowed(self, origin: str | None, host: str | None) -> bool:
        """Return whether an Origin header, where there is one, is the page that this server itself gave out."""
        if origin is None:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if parts.scheme not in {"http", "https"} or not self.host_allowed(host):
            return False
        return _without_default_port(parts.netloc, parts.scheme) == _without_default_port(host or "", parts.scheme)


def _name(header: str | None) -> str | None:
    if not header or any(character in header for character in "/@?# \t"):
        return None
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname.casefold().rstrip(".") if parts.hostname else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _without_default_port(netloc: str, scheme: str) -> str:
    return netloc.casefold().removesuffix(":443" if scheme == "https" else ":80")
