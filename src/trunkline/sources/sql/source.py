"""The SQL source."""

import asyncio

from trunkline.model.errors import RetryLater, SourceMisconfigured, SourceUnavailable
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourceContext, WriteCommand
from trunkline.sources.sql.config import SqlConfig
from trunkline.sources.sql.databases import Database, Postgres, Sqlite
from trunkline.sources.sql.reader import RowReader, Taken
from trunkline.sources.threads import Worker


class SqlSource:
    """Runs a query again and again; how far it came is stored by the gateway together with the readings."""

    def __init__(self, config: SqlConfig, context: SourceContext) -> None:
        """Prepare a source; nothing is opened."""
        self._config = config
        self._context = context
        self._worker: Worker[Taken] = Worker()
        self._database: Database | None = None
        self._reader: RowReader | None = None
        self._due = 0.0

    @property
    def undecodable(self) -> int:
        """Rows, or cells of them, that made no sense since `connect`."""
        return self._reader.undecodable if self._reader else 0

    async def connect(self) -> None:
        """Go on where the last durable batch ended. Raises SourceUnavailable or SourceMisconfigured."""
        await self.close()
        self._database = Sqlite(self._config) if self._config.file else Postgres(self._config, self._context.resolve_secret)
        reader = RowReader(self._config, self._database, self._context.now, self._context.checkpoint())
        try:
            await self._worker.run(reader.check)
        except (RetryLater, SourceMisconfigured):
            await self.close()
            raise
        self._reader = reader
        self._due = asyncio.get_running_loop().time()

    async def read(self) -> ReadBatch:
        """Run the query until it gives rows. Raises SourceUnavailable, SourceMisconfigured."""
        loop = asyncio.get_running_loop()
        while True:
            if self._reader is None:
                raise SourceUnavailable(f"SQL source {self._config.id} is not connected")
            await asyncio.sleep(max(0.0, self._due - loop.time()))
            taken = await self._worker.run(self._reader.take)
            self._due = loop.time() + (0.0 if taken.more else self._config.poll_seconds)
            if taken.rows:
                return ReadBatch(taken.readings, taken.events, late=True, checkpoint=taken.checkpoint, nack=self._nack)

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Databases are only read. Raises SourceMisconfigured."""
        raise SourceMisconfigured(f"tag {command.tag} of source {self._config.id} cannot be written: an SQL source only reads")

    async def browse(self, at: str) -> list[BrowseNode]:
        """There is nothing to browse. Raises NotImplementedError."""
        raise NotImplementedError(f"SQL source {self._config.id} cannot be browsed ({at!r})")

    async def close(self) -> None:
        """End a query that is running and let go of the connection."""
        self._reader = None
        database, self._database = self._database, None
        if database is not None:
            if self._worker.busy:
                await asyncio.to_thread(database.stop)
            await self._worker.settle()
            await asyncio.to_thread(database.close)

    async def _nack(self, _why: str) -> None:
        """Have everything behind the last durable batch read again, by a new connection."""
        await self.close()
