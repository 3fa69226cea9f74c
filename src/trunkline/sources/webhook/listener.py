"""The HTTP side: an ASGI application, and the server that runs it in the gateway's loop."""

import asyncio
import contextlib
import hmac
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.sources.webhook.config import WebhookConfig
from trunkline.sources.webhook.inbox import Delivery, Inbox, digest
from trunkline.sources.webhook.posts import PostDecoder, Refusal

_log = logging.getLogger(__name__)

_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]
_MAX_KEY: Final = 256


class Application:
    """Takes requests and answers each once it is stored, or says why it is not."""

    def __init__(self, config: WebhookConfig, token: str, inbox: Inbox, now: Callable[[], int]) -> None:
        """Prepare; an empty `token` lets everyone in."""
        self._config = config
        self._token = token.encode()
        self._inbox = inbox
        self._now = now
        self._decoder = PostDecoder(config)
        self.refused = 0

    async def __call__(self, scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
        """Serve one request (ASGI 3)."""
        try:
            status, headers, answer = 200, {}, await self._take(scope, receive)
        except Refusal as refusal:
            status, headers, answer = refusal.status, refusal.headers, {"error": str(refusal)}
            self._count(refusal)
        fields = {"content-type": "application/json", **headers}
        await send(
            {"type": "http.response.start", "status": status, "headers": [(name.encode(), text.encode()) for name, text in fields.items()]}
        )
        await send({"type": "http.response.body", "body": msgspec.json.encode(answer)})

    async def _take(self, scope: dict[str, Any], receive: _Receive) -> dict[str, Any]:
        headers = {name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]}
        self._authenticate(headers.get("authorization", ""))
        if scope["method"] != "POST":
            raise Refusal(405, "only POST is understood here", allow="POST")
        endpoint, content_type = scope["path"], headers.get("content-type", "")
        self._decoder.check(endpoint, content_type)
        key = headers.get("idempotency-key", "")
        if len(key) > _MAX_KEY:
            raise Refusal(400, f"the Idempotency-Key has more than {_MAX_KEY} characters: take a UUID")
        body = await self._body(headers.get("content-length", ""), receive)
        readings = self._decoder.decode(endpoint, content_type, body, self._now)
        first = await self._inbox.store(Delivery(readings, key and digest(key.encode()), digest(body)))
        return {"stored": len(readings) if first else 0, "repeated": not first}

    def _authenticate(self, given: str) -> None:
        scheme, _, token = given.partition(" ")
        if self._token and not (scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token)):
            raise Refusal(401, "send the header 'Authorization: Bearer …' with this source's token", www_authenticate="Bearer")

    async def _body(self, announced: str, receive: _Receive) -> bytes:
        most = self._config.max_body_bytes
        too_large = Refusal(413, f"more than {most} bytes: send fewer documents at once, or raise 'max_body_bytes'")
        if announced.isdecimal() and int(announced) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._config.timeout):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "the request ended before its body")
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            raise Refusal(408, f"the body took longer than {self._config.timeout:g} s", connection="close") from None
        return bytes(body)

    def _count(self, refusal: Refusal) -> None:
        self.refused += 1
        if self.refused & (self.refused - 1) == 0:  # the 1st, 2nd, 4th, 8th…: a broken sender must not flood the log
            _log.warning("source %s: request %d refused with %d: %s", self._config.id, self.refused, refusal.status, refusal)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the gateway."""
        yield


class Listener:
    """The server, from binding its port to giving it back."""

    def __init__(self, config: WebhookConfig, application: Application, directory: Path, key_password: str) -> None:
        """Prepare. Raises SourceMisconfigured if certificate or key cannot be used."""
        self._config = config
        tls = config.tls
        options = uvicorn.Config(
            application,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
            timeout_keep_alive=30,
            ssl_certfile=directory / tls.cert_file if tls else None,
            ssl_keyfile=str(directory / tls.key_file) if tls else None,
            # an empty password, not None: None would ask on the terminal
            ssl_keyfile_password=key_password,
        )
        try:
            options.load()
        except OSError as error:  # SSLError is one
            where = f"tls.cert_file {tls.cert_file!r} with key_file {tls.key_file!r}" if tls else "tls"
            raise SourceMisconfigured(f"{where}: {error.strerror or error}") from error
        self._server = _Server(options)
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Bind the port and serve. Raises SourceUnavailable when it cannot be had."""
        host, port = self._config.host, self._config.port
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            family, kind, protocol, _, address = found[0]
            bound = socket.socket(family, kind, protocol)
            try:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                bound.bind(address)
                bound.listen()  # from here on requests are taken, and wait for the server
            except OSError:
                bound.close()
                raise
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise SourceUnavailable(f"cannot listen on {host}:{port}: {why}: end what listens there, or mend 'host' and 'port'") from error
        self._running = asyncio.create_task(self._server.serve(sockets=[bound]), name=f"webhook:{self._config.id}")

    async def close(self) -> None:
        """Give the port back; requests under way are answered first."""
        running, self._running = self._running, None
        if running is not None:
            self._server.should_exit = True
            await asyncio.wait((running,))
