"""The file source."""

import asyncio

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.sources.file.config import FileConfig
from trunkline.sources.file.reader import FileReader
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourceContext, WriteCommand
from trunkline.sources.threads import Worker


class FileSource:
    """Reads files while they grow; how far is stored by the gateway together with the readings.

    Files are read in a thread, because network shares may hang. What the thread has read is never thrown away: a read that is cancelled
    leaves it for the next one.
    """

    def __init__(self, config: FileConfig, context: SourceContext) -> None:
        """Prepare a source; nothing is opened."""
        self._config = config
        self._context = context
        self._reader: FileReader | None = None
        self._worker: Worker[None] = Worker()

    @property
    def undecodable(self) -> int:
        """Lines, or cells of them, that made no sense since `connect`."""
        return self._reader.undecodable if self._reader else 0

    async def connect(self) -> None:
        """Go on where the last durable batch ended. Raises SourceUnavailable or SourceMisconfigured."""
        await self.close()
        self._reader = FileReader(self._config, self._context.now, self._context.checkpoint())
        try:
            await self._worker.run(self._reader.look)
        except SourceUnavailable:
            await self.close()
            raise

    async def read(self) -> ReadBatch:
        """Wait for lines and return up to a batch of them. Raises SourceUnavailable when the folder is away."""
        while True:
            if self._reader is None:
                raise SourceUnavailable(f"file source {self._config.id} is not connected")
            await self._worker.run(self._reader.fill)
            taken = self._reader.take()
            if taken.checkpoint:
                return ReadBatch(taken.readings, taken.events, late=True, checkpoint=taken.checkpoint, nack=self._nack)
            await asyncio.sleep(self._config.poll_seconds)

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Files are only read. Raises SourceMisconfigured."""
        raise SourceMisconfigured(f"tag {command.tag} of source {self._config.id} cannot be written: a file source only reads")

    async def browse(self, at: str) -> list[BrowseNode]:
        """There is nothing to browse. Raises NotImplementedError."""
        raise NotImplementedError(f"file source {self._config.id} cannot be browsed ({at!r})")

    async def close(self) -> None:
        """Let go of every file."""
        reader, self._reader = self._reader, None
        await self._worker.settle()
        if reader is not None:
            reader.close()

    async def _nack(self, _why: str) -> None:
        """Have everything behind the last durable batch read again, by a new connection."""
        await self.close()
