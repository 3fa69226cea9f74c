"""One POST to a configured address: no redirects, no proxy, a limit to the answer and to the whole exchange."""

import email.utils
import http.client
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from trunkline.config.channels import check_url
from trunkline.model import times
from trunkline.model.errors import Misconfigured, Rejected
from trunkline.sinks.notify.port import NotNow

_MAX_ANSWER: Final = 64 * 1024
_SHOWN: Final = 200
#: Asks to come again later (RFC 6585, RFC 9110, RFC 8470), though they are in the range of refusals.
LATER: Final = frozenset({408, 425, 429})
#: However long a receiver asks us to wait, it is tried again after this many seconds.
_LONGEST_WAIT: Final = 3600.0


class Poster:
    """Posts to one address.

    Args:
        url: the address, secrets resolved. It may be a secret itself: only its host is ever shown.
        what: the channel, for error texts.
        timeout: seconds for one whole exchange.
        ca: PEM file with the authority of the receiver's certificate; None for those of the system.

    Raises:
        Misconfigured: nothing may be sent to such an address, or the file cannot be used.
    """

    def __init__(self, url: str, what: str, timeout: float, ca: Path | None = None) -> None:
        try:
            self._url: SplitResult = urlsplit(check_url(url.strip()))
        except ValueError as error:
            raise Misconfigured(f"{what}: 'url': {error}") from None
        self._what = what
        self._timeout = timeout
        self._tls = tls_context(ca, what) if self._url.scheme == "https" else None

    def post(self, body: bytes, headers: Mapping[str, str], now: int) -> str:
        """Post JSON and return the receiver's answer, shortened. Raises NotNow, Rejected."""
        try:
            status, after, answer = self._exchange(body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise NotNow(f"{self._what}: {self._url.hostname} is away: {_reason(error)}") from None
        shown = answer[:_SHOWN].decode(errors="replace").strip()
        said = f"HTTP {status}" + (f": {shown}" if shown else "")
        if 200 <= status < 300:
            return said
        if status in LATER or status >= 500:
            raise NotNow(f"{self._what}: {self._url.hostname} asks to come later: {said}", wait_seconds(after, now))
        if 300 <= status < 400:
            raise Rejected(f"{self._url.hostname} sends elsewhere (HTTP {status}), and redirects are not followed: give the final address")
        raise Rejected(f"{self._url.hostname} refuses it: {said}")

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None, bytes]:
        host, port = self._url.hostname or "", self._url.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
            if self._tls is not None
            else http.client.HTTPConnection(host, port, timeout=self._timeout)
        )
        # the socket's own limit is for one read; a receiver that trickles would hold the channel up for ever
        limit = threading.Timer(self._timeout, lambda: _hang_up(connection))
        limit.daemon = True
        limit.start()
        try:
            path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
            connection.request("POST", path, body, {"Content-Type": "application/json", "User-Agent": "trunkline", **headers})
            response = connection.getresponse()
            answer = response.read(_MAX_ANSWER)
        finally:
            limit.cancel()
            connection.close()
        return response.status, response.getheader("Retry-After"), answer


def tls_context(ca: Path | None, what: str) -> ssl.SSLContext:
    """Return what checks a receiver's certificate and name. Raises Misconfigured: the file cannot be used."""
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise Misconfigured(f"{what}: 'ca': {ca} cannot be used: {error.strerror or error}") from None


def wait_seconds(text: str | None, now: int) -> float | None:
    """Return the seconds that a Retry-After header means (RFC 9110, 10.2.3): a number of them, or a date; None without sense."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return min(float(text), _LONGEST_WAIT)
    try:
        moment = times.from_datetime(email.utils.parsedate_to_datetime(text))
    except ValueError:
        return None
    return min(max(0.0, (moment - now) / times.SECOND), _LONGEST_WAIT)


def _hang_up(connection: http.client.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(2)


def _reason(error: Exception) -> str:
    """Return why, without what a receiver could have put into it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS fails: {error.reason or 'no reason given'}"
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return "the answer is no HTTP, or was cut off"
