"""A look at the Kafka cluster behind the site log every few seconds, for the status, the page and the metrics."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from trunkline.api.board import Board
from trunkline.api.metrics import Metrics
from trunkline.config.loading import Site
from trunkline.model import times
from trunkline.model.errors import TrunklineError

if TYPE_CHECKING:
    from trunkline.log.kafka.health import Observer

LOOK_SECONDS: Final = 10.0


class ClusterWatch:
    """Keeps the board and the metrics up to date with what `trunkline.log.kafka.health` sees; does nothing for an embedded log."""

    def __init__(self, site: Site, board: Board, metrics: Metrics) -> None:
        self._site = site
        self._board = board
        self._metrics = metrics
        self._observer: Observer | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        if self._site.config.log.engine != "kafka":
            return
        try:
            while True:
                seen = await asyncio.to_thread(self._look)
                self._board.kafka = seen
                self._metrics.kafka(seen)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            if self._observer is not None:
                self._observer.close()

    def _look(self) -> dict[str, Any]:
        """Return what is told of the cluster. Positions of single partitions are left out: hundreds of numbers in every notice."""
        from trunkline.log.kafka.health import KafkaHealth, Observer  # noqa: PLC0415 - the client is loaded where Kafka is used

        try:
            if self._observer is None:
                self._observer = Observer(self._site.config.log, self._site.secrets)
            seen = self._observer.look()
        except TrunklineError as error:
            seen = KafkaHealth(times.now(), [], [], 0, [], [], [], [], [], [], [str(error)])
        told: dict[str, Any] = msgspec.to_builtins(seen, str_keys=True)
        for group in told["groups"]:
            del group["positions"]
        return told
