"""A gateway from start to orderly stop: sources in, edge journal, site log out."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from trunkline import __version__
from trunkline.config.secrets import SecretStore
from trunkline.config.site import GatewayConfig, LogConfig
from trunkline.config.tags import SourceConfig
from trunkline.gateway.admin import AdminServer, StatusCollector
from trunkline.gateway.buffer import BufferKeeper
from trunkline.gateway.confirmed import Confirmed
from trunkline.gateway.damage import DamageWatch
from trunkline.gateway.edge import EdgeWriter, edge_counts
from trunkline.gateway.forwarder import Forwarder
from trunkline.gateway.reporter import Reporter
from trunkline.gateway.runner import SourceRunner
from trunkline.ledger.status import BufferStatus, GatewayStatus, LinkStatus
from trunkline.log.codec.forms import forms_of
from trunkline.log.opening import layout_of, open_edge_journal, open_site_log
from trunkline.log.port import Log
from trunkline.model import times
from trunkline.model.errors import RetryLater
from trunkline.sources.port import SourceContext, plugin

log = structlog.get_logger("trunkline.gateway")

_TEND_SECONDS: Final = 5.0
#: Sources start this far apart, so that a gateway of two hundred does not storm its network.
_STAGGER_SECONDS: Final = 0.02
_DRAIN_SECONDS: Final = 10.0


class Gateway:
    """Everything one gateway process runs.

    Args:
        config: the gateway's section of the site file.
        sources: its sources, checked by their plugins.
        log_config: how the site log is reached and laid out.
        data_dir: the site's data directory.
        secrets: resolves secret references.
    """

    def __init__(
        self, config: GatewayConfig, sources: Sequence[SourceConfig], log_config: LogConfig, data_dir: Path, secrets: SecretStore
    ) -> None:
        self._config = config
        layout = layout_of(log_config)
        self._journal = open_edge_journal(log_config, data_dir, config.id)

        def site() -> Log:
            return open_site_log(log_config, data_dir, secrets)

        self.damage = DamageWatch(self._journal)
        self.forwarder = Forwarder(self._journal, site, layout, forms=forms_of(log_config.form, {config.id: sources}))
        self.writer = EdgeWriter(self._journal, layout, config.buffer, wrote=self.forwarder.wake)
        confirmed = Confirmed(self._journal, layout)
        self.keeper = BufferKeeper(self._journal, self.forwarder, layout, config.buffer, confirmed)
        self.reporter = Reporter(site, layout, self.status, confirmed.learn)
        self.admin = AdminServer(config.admin_port, self.health, StatusCollector(self.status, self.forwarder.deliveries))
        self.runners: list[SourceRunner] = []
        for section in sources:
            if section.enabled:
                directory = data_dir / "edge" / config.id / "sources" / section.id
                directory.mkdir(parents=True, exist_ok=True)
                context = SourceContext(config.id, directory, times.now, secrets.resolve, partial(self.writer.checkpoint, section.id))
                source = plugin(section.type).create(section, context)
                self.runners.append(SourceRunner(section, source, self.writer, layout))

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then stop sources, write what waits, forward for a while, and report once more."""
        self.writer.start()
        self.forwarder.start()
        self.reporter.start()
        self.admin.start()
        log.info("gateway is running", gateway=self._config.id, sources=len(self.runners), admin_port=self.admin.port)
        tasks = [asyncio.create_task(self._tend(), name="buffer"), asyncio.create_task(self._watch_damage(), name="damage")]
        try:
            for runner in self.runners:
                tasks.append(asyncio.create_task(runner.run(), name=f"source:{runner.id}"))
                await asyncio.sleep(_STAGGER_SECONDS)
            await stop.wait()
        finally:
            for task in reversed(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._shut_down)

    async def _tend(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.keeper.tend, times.now())
            except RetryLater as error:
                log.warning("the edge buffer cannot be tended now", error=str(error))
            await asyncio.sleep(_TEND_SECONDS)

    async def _watch_damage(self) -> None:
        while True:
            with contextlib.suppress(RetryLater):
                event = await asyncio.to_thread(self.damage.look, times.now())
                if event is not None:
                    await self.writer.submit((), [event])
                    await asyncio.to_thread(self.damage.tell)
            await asyncio.sleep(_TEND_SECONDS)

    def _shut_down(self) -> None:
        if self.writer.error is None:
            self.writer.stop()
        else:
            self.writer.abandon()
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self.forwarder.link_up and self.keeper.waiting() and time.monotonic() < deadline:
            self.forwarder.wake.set()
            self.forwarder.pause(0.05)
        self.forwarder.stop()
        self.reporter.stop()
        with contextlib.suppress(OSError):
            self.admin.stop()
        self._journal.close()
        log.info("gateway has stopped", gateway=self._config.id)

    def status(self) -> GatewayStatus:
        """Return the present status with all counts."""
        return GatewayStatus(
            gateway=self._config.id,
            origin=self._journal.id,
            at_us=times.now(),
            version=__version__,
            sources=[runner.status() for runner in self.runners],
            buffer=BufferStatus(self.keeper.waiting(), self.keeper.size(), self.keeper.oldest_waiting(), self._config.buffer.max_bytes),
            link=self._link(),
            counts=edge_counts(self._journal.tallies()),
        )

    def _link(self) -> LinkStatus:
        forwarder = self.forwarder
        took = [round(seconds * 1000, 1) for seconds in forwarder.deliveries.quantiles().values()]
        return LinkStatus("up" if forwarder.link_up else "down", forwarder.link_since, forwarder.link_error, took)

    def health(self) -> dict[str, Any]:
        """Return the /health document: healthy, degraded (something is away, nothing is lost) or unhealthy (nothing can be stored)."""
        status = self.status()
        away = [source.id for source in status.sources if source.state != "connected"]
        failed = sum(
            one.failed for topic in self.forwarder.topics for lane in self.forwarder.lanes_of(topic).values() for one in lane.poison
        )
        problems = [f"source {name} is away" for name in away]
        if status.link.state != "up":
            problems.append("the site log is away; readings wait at the edge")
        if failed:
            problems.append(f"{failed} records were refused by the site log: see 'trunkline outbox list'")
        if self.damage.lost:
            problems.append(f"{len(self.damage.lost)} ranges of records were lost to damage: see 'trunkline outbox list'")
        if self.reporter.impostor:
            problems.append(f"another gateway uses the id {self._config.id!r}")
        if self.writer.error:
            problems.append(f"the edge journal cannot be written: {self.writer.error}")
        state = "unhealthy" if self.writer.error else "degraded" if problems else "healthy"
        last = max((source.last_reading_us for source in status.sources if source.last_reading_us), default=None)
        return {
            "status": state,
            "gateway": self._config.id,
            "problems": problems,
            "last_reading_at": times.to_iso(last) if last else None,
            "readings_per_sec": round(sum(source.readings_per_s for source in status.sources), 1),
            "waiting_records": status.buffer.waiting,
            "waiting_failed": failed,
            "oldest_waiting_s": (status.at_us - status.buffer.oldest_waiting_us) / times.SECOND if status.buffer.oldest_waiting_us else 0,
            "log_connection": "ok" if status.link.state == "up" else status.link.error,
        }
