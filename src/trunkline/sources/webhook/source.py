"""The webhook source."""

import asyncio
from collections.abc import Callable

from trunkline.model.errors import Misconfigured, SourceMisconfigured, SourceUnavailable
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourceContext, WriteCommand
from trunkline.sources.webhook.config import WebhookConfig
from trunkline.sources.webhook.inbox import Delivery, Inbox
from trunkline.sources.webhook.listener import Application, Listener

#: Readings of about this many are handed over at once: enough for one durable write.
_READINGS_AT_ONCE = 5_000


class WebhookSource:
    """Listens; a request is answered with 200 once the gateway has stored its readings."""

    def __init__(self, config: WebhookConfig, context: SourceContext) -> None:
        """Prepare a source; nothing is opened."""
        self._config = config
        self._context = context
        self._inbox: Inbox | None = None
        self._listener: Listener | None = None

    async def connect(self) -> None:
        """Listen. Raises SourceUnavailable when the port cannot be had, SourceMisconfigured for secrets and certificates."""
        await self.close()
        config, resolve = self._config, self._context.resolve_secret
        inbox = Inbox(config, self._context.checkpoint())
        token = _secret(config.token, resolve)
        application = Application(config, token, inbox, self._context.now)
        key_password = _secret(config.tls.key_password, resolve) if config.tls else ""
        listener = Listener(config, application, self._context.directory, key_password)
        await listener.open()
        self._inbox, self._listener = inbox, listener

    async def read(self) -> ReadBatch:
        """Wait for requests and return what they brought. Raises SourceUnavailable before `connect`."""
        inbox = self._inbox
        if inbox is None:
            raise SourceUnavailable(f"webhook source {self._config.id} does not listen")
        deliveries = await inbox.take(_READINGS_AT_ONCE)
        return _batch(inbox, deliveries)

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """There is nobody to write to. Raises SourceMisconfigured."""
        raise SourceMisconfigured(f"tag {command.tag} of source {self._config.id} cannot be written: a webhook source only listens")

    async def browse(self, at: str) -> list[BrowseNode]:
        """There is nothing to browse. Raises NotImplementedError."""
        raise NotImplementedError(f"webhook source {self._config.id} cannot be browsed ({at!r})")

    async def close(self) -> None:
        """Stop listening; what waits is answered with 503."""
        inbox, self._inbox = self._inbox, None
        listener, self._listener = self._listener, None
        if inbox is not None:
            inbox.close()
        if listener is not None:
            await asyncio.shield(listener.close())


def _batch(inbox: Inbox, deliveries: list[Delivery]) -> ReadBatch:
    async def ack() -> None:
        inbox.settle(deliveries)

    async def nack(why: str) -> None:
        inbox.settle(deliveries, why)

    readings = [reading for delivery in deliveries for reading in delivery.readings]
    keyed = any(delivery.key for delivery in deliveries)
    return ReadBatch(readings, ack=ack, nack=nack, checkpoint=inbox.checkpoint if keyed else None)


def _secret(reference: str | None, resolve: Callable[[str], str]) -> str:
    if reference is None:
        return ""
    try:
        value = resolve(reference)
    except (Misconfigured, LookupError, ValueError, OSError) as error:
        why = str(error) if isinstance(error, Misconfigured) else type(error).__name__
        raise SourceMisconfigured(f"secret {reference} cannot be resolved ({why}): store it, or mend the name") from error
    if not value:  # an empty token would let everyone in
        raise SourceMisconfigured(f"secret {reference} is empty: store a value")
    return value
