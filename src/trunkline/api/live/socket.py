"""The WebSocket `/api/v1/live`: who it is, what is wanted, and frames at the client's pace."""

import asyncio
from typing import Annotated, Final, Literal

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from trunkline.api.live.hub import Client, Hub, TooManyTags
from trunkline.api.metrics import Metrics
from trunkline.security.door import Door
from trunkline.security.errors import NotAuthenticated

UNAUTHENTICATED: Final = 4401
BAD_MESSAGE: Final = 1003
#: How long a client without a cookie has for sending its token.
AUTHENTICATION_SECONDS: Final = 10.0
#: How often an open connection's session is looked at: one that was ended ends the connection too (GD-3).
RECHECK_SECONDS: Final = 15.0

_Name = Annotated[str, msgspec.Meta(max_length=256)]


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends."""

    op: Literal["auth", "subscribe", "unsubscribe", "under"]
    tags: list[_Name] = []
    path: _Name | None = None
    every_ms: Annotated[int, msgspec.Meta(ge=50, le=60_000)] | None = None
    token: Annotated[str, msgspec.Meta(max_length=128)] | None = None


_decoder = msgspec.json.Decoder(Ask)


class Connection:
    """One client from its first byte to its last."""

    def __init__(self, socket: WebSocket, hub: Hub, door: Door, metrics: Metrics) -> None:
        self._socket = socket
        self._hub = hub
        self._door = door
        self._metrics = metrics
        self._session: str | None = None
        self._token: str | None = None

    async def serve(self, cookie: str | None) -> None:
        """Talk to the client until it goes, its session ends, or it breaks the rules."""
        # accepted before it is refused: only then can a browser tell a refusal from a server that is down
        await self._socket.accept()
        try:
            await self._authenticate(cookie)
        except NotAuthenticated as error:
            await self._close(UNAUTHENTICATED, str(error))
            return
        except (TimeoutError, WebSocketDisconnect):
            await self._close(UNAUTHENTICATED, "log in first, or send a token within ten seconds")
            return
        client = self._hub.join()
        self._metrics.clients.inc()
        try:
            await self._talk(client)
        finally:
            self._hub.leave(client)
            self._metrics.clients.dec()

    async def _authenticate(self, cookie: str | None) -> None:
        if cookie:
            self._session = cookie
        else:
            try:
                ask = _decoder.decode(await asyncio.wait_for(self._receive(), AUTHENTICATION_SECONDS))
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise NotAuthenticated("the first message must carry a token") from None
            if ask.op != "auth" or not ask.token:
                raise NotAuthenticated("the first message must carry a token")
            self._token = ask.token
        self._check()

    def _check(self) -> None:
        if self._session is not None:
            self._door.by_session(self._session, prolong=False)
        elif self._token is not None:
            self._door.by_token(self._token)

    async def _talk(self, client: Client) -> None:
        tasks = [asyncio.create_task(work) for work in (self._listen(client), self._send(client), self._recheck())]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            error = task.exception()
            if isinstance(error, NotAuthenticated):
                await self._close(UNAUTHENTICATED, str(error))
            elif error is not None and not isinstance(error, WebSocketDisconnect | RuntimeError):
                raise error

    async def _listen(self, client: Client) -> None:
        while True:
            text = await self._receive()
            try:
                self._act(client, _decoder.decode(text))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                client.notice("error", _error("BAD_MESSAGE", f"the message cannot be understood: {error}"))
            except TooManyTags as error:
                client.notice("error", _error("TOO_MANY_TAGS", str(error)))

    def _act(self, client: Client, ask: Ask) -> None:
        if ask.every_ms is not None:
            client.every = ask.every_ms / 1000
        match ask.op:
            case "subscribe":
                self._hub.subscribe(client, ask.tags)
            case "unsubscribe":
                self._hub.unsubscribe(client, ask.tags)
                if ask.path is not None:
                    self._hub.unfollow(client, ask.path)
            case "under":
                self._hub.follow(client, ask.path or "")
            case "auth":
                client.notice("error", _error("ALREADY_SIGNED_IN", "this connection is signed in already"))

    async def _send(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        due = 0.0
        while True:
            await client.wake.wait()
            await asyncio.sleep(max(0.0, due - loop.time()))
            for frame, values in client.take():
                await self._socket.send_text(frame.decode())
                self._metrics.frames.inc()
                self._metrics.values.inc(values)
            due = loop.time() + client.every

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            self._check()

    async def _receive(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        text = message.get("text")
        return text if text is not None else message.get("bytes") or b""

    async def _close(self, code: int, reason: str) -> None:
        try:
            await self._socket.close(code, reason)
        except RuntimeError:
            return  # the client went first


def _error(code: str, detail: str) -> bytes:
    return msgspec.json.encode({"type": "error", "code": code, "detail": detail})
