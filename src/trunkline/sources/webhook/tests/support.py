"""Shared by the tests of this folder: a listening source, a gateway in small that stores, and a client."""

import asyncio
import datetime as dt
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from trunkline.model import times
from trunkline.model.reading import Reading
from trunkline.sources.port import ReadBatch, SourceContext
from trunkline.sources.webhook.config import WebhookConfig
from trunkline.sources.webhook.source import WebhookSource

SECRETS = {"${secret:right}": "the-right-token", "${secret:key}": "of-the-key", "${secret:empty}": ""}
TAG = {"path": "P.A.N", "kind": "integer", "value": "$.n"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Gateway:
    """A source as a gateway runs it. `store` is what becomes of each batch."""

    def __init__(self, directory: Path, now: Callable[[], int] = times.now, **options: Any) -> None:
        section = {"id": "hooks", "port": free_port(), "timeout": 10, "tags": [TAG], **options}
        self.config = WebhookConfig.model_validate(section)
        self.checkpoint: str | None = None
        self.readings: list[Reading] = []
        context = SourceContext("gateway-1", directory, now, SECRETS.__getitem__, lambda: self.checkpoint)
        self.source = WebhookSource(self.config, context)
        scheme = "https" if self.config.tls else "http"
        self.url = f"{scheme}://{self.config.host}:{self.config.port}"

    async def keep(self, batch: ReadBatch) -> None:
        self.readings += batch.readings
        self.checkpoint = batch.checkpoint or self.checkpoint
        await batch.ack()

    async def serve(self) -> None:
        while True:
            await self.keep(await self.source.read())


@asynccontextmanager
async def listening(gateway: Gateway, *, stores: bool = True, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a source that listens; with `stores` everything that comes is kept."""
    await gateway.source.connect()
    serving = asyncio.create_task(gateway.serve()) if stores else None
    try:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=20, **options) as client:
            yield client
    finally:
        if serving is not None:
            serving.cancel()
            await asyncio.wait((serving,))
        await gateway.source.close()


def certificate(folder: Path, password: str) -> None:
    """Write a self-signed certificate for 127.0.0.1, server.pem, with its encrypted key, server.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(password.encode())
    (folder / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
