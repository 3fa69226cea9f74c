"""What the conformance suite needs to drive the webhook source: a client that posts what it measures over real HTTP."""

import asyncio
import contextlib
import socket
from typing import Any

import httpx

from trunkline.model import times
from trunkline.model.reading import Value

_PATH = "PLANT01.AREA01.UNIT_01"
_KINDS = {f"{_PATH}.FLOW": "double", f"{_PATH}.COUNT": "integer", f"{_PATH}.RUNNING": "boolean", f"{_PATH}.MODE": "text"}
_REFERENCE, _TOKEN = "${secret:hook}", "canary-of-the-webhook"


class Harness:
    """See `trunkline.sources.testing.rig`. The source is the server: no device can be unplugged from it."""

    reads_back = False
    can_unplug = False

    def __init__(self) -> None:
        self.secrets = {_REFERENCE: _TOKEN}
        self._posts: set[asyncio.Task[None]] = set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])

    async def start(self) -> None:
        self._client = httpx.AsyncClient(headers={"authorization": f"Bearer {_TOKEN}"}, timeout=10)

    async def stop(self) -> None:
        for post in self._posts:
            post.cancel()
        await asyncio.gather(*self._posts, return_exceptions=True)
        await self._client.aclose()

    def config(self) -> dict[str, Any]:
        tags = [{"path": path, "kind": kind, "timestamp": "$.time"} for path, kind in _KINDS.items()]
        return {"id": "hooks", "type": "webhook", "port": self._port, "token": _REFERENCE, "tag_name": "$.tag", "tags": tags}

    def tags(self) -> dict[str, str]:
        return dict(_KINDS)

    async def set(self, path: str, value: Value) -> None:
        # the answer comes when the gateway has stored it: not waited for here
        post = asyncio.create_task(self._post({"tag": path, "value": value, "time": times.to_iso(times.now())}))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)
        await asyncio.sleep(0.05)

    async def _post(self, document: dict[str, Any]) -> None:
        with contextlib.suppress(httpx.HTTPError):
            await self._client.post(f"http://127.0.0.1:{self._port}/", json=document)

    async def unplug(self) -> None:
        raise NotImplementedError

    async def plug(self) -> None:
        return

    async def freeze(self) -> None:
        raise NotImplementedError

    async def thaw(self) -> None:
        return

    async def garbage(self) -> None:
        raise NotImplementedError
