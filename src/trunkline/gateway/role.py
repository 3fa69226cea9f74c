"""A gateway from start to orderly stop: sources in, edge journal, site log out."""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
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
from trunkline.gateway.clockwatch import LOOK_SECONDS, ClockWatch
from trunkline.gateway.confirmed import Confirmed
from trunkline.gateway.counts import EdgeCounts
from trunkline.gateway.damage import DamageWatch
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.forecast import buffer_problems
from trunkline.gateway.forwarder import Forwarder
from trunkline.gateway.isolation.proxy import IsolatedSource
from trunkline.gateway.pacing import Pace
from trunkline.gateway.reporter import Reporter
from trunkline.gateway.room import Room
from trunkline.gateway.runner import SourceRunner
from trunkline.gateway.turns import Turns
from trunkline.gateway.unmade import Unmade
from trunkline.ledger.status import GatewayStatus, LinkStatus
from trunkline.log.codec.forms import forms_of
from trunkline.log.opening import edge_key, layout_of, open_edge_journal, open_site_log
from trunkline.log.port import Log
from trunkline.log.uplink import Uplink
from trunkline.model import times
from trunkline.model.errors import RetryLater, TrunklineError
from trunkline.model.events import Event
from trunkline.sources.port import Source, SourceContext, plugin

log = structlog.get_logger("trunkline.gateway")

_TEND_SECONDS: Final = 5.0
_DRAIN_SECONDS: Final = 10.0


class Gateway:
    """Everything one gateway process runs.

    Args:
        config: the gateway's section of the site file.
        sources: its sources, checked by their plugins.
        log_config: how the site log is reached and laid out.
        data_dir: the site's data directory.
        secrets: resolves secret references.
        open_site: opens the site log; by default as `log_config` says.
        make: makes the source of a section that runs in this process; by default its plugin does.
    """

    def __init__(
        self,
        config: GatewayConfig,
        sources: Sequence[SourceConfig],
        log_config: LogConfig,
        data_dir: Path,
        secrets: SecretStore,
        open_site: Callable[[], Log] | None = None,
        make: Callable[[SourceConfig, SourceContext], Source] | None = None,
    ) -> None:
        self._config = config
        layout = layout_of(log_config)
        self._journal = open_edge_journal(log_config, data_dir, config.id, edge_key(config, secrets))

        # two threads reach the site log, each with a handle and a meter of its own; the ceiling is for both
        self._uplinks = [Uplink(config.link.compression), Uplink(config.link.compression)]
        site, site_of_reporter = (open_site or partial(open_site_log, log_config, data_dir, secrets, uplink=one) for one in self._uplinks)
        pace = Pace(config.link, lambda: sum(one.sent_bytes for one in self._uplinks))

        self._counts = EdgeCounts(self._journal.tallies)
        self.damage = DamageWatch(self._journal)
        forms = forms_of(log_config.form, {config.id: sources})
        self.forwarder = Forwarder(self._journal, site, layout, forms=forms, pace=pace, uplink=self._uplinks[0])
        self.room = Room(self._journal, layout, config.buffer)
        self.writer = EdgeWriter(self._journal, layout, config.buffer, wrote=self.forwarder.wake, room=self.room)
        confirmed = Confirmed(self._journal, layout)
        self.keeper = BufferKeeper(self._journal, self.forwarder, layout, config.buffer, confirmed, self.room)
        self.reporter = Reporter(site_of_reporter, layout, self.status, confirmed.learn, pace=pace.reported)
        self.admin = AdminServer(config.admin_port, self.health, StatusCollector(self.status, self.forwarder.deliveries))
        self.runners: list[SourceRunner] = []
        self.isolated: list[IsolatedSource] = []
        starting = asyncio.Semaphore(os.cpu_count() or 1)
        turns = Turns(config.id)
        for section in sources:
            if section.enabled:
                directory = data_dir / "edge" / config.id / "sources" / section.id
                directory.mkdir(parents=True, exist_ok=True)
                context = SourceContext(config.id, directory, times.now, secrets.resolve, partial(self.writer.checkpoint, section.id))
                if section.isolate != "none":
                    self.isolated.append(IsolatedSource(section, context, starting))
                    source: Source = self.isolated[-1]
                else:
                    source = (make or _made)(section, context)
                self.runners.append(SourceRunner(section, source, self.writer, layout, turn=turns.turn))
        # last: the seconds in which tens of thousands of tags were made ready are no standstill
        self.clock = ClockWatch(times.now, lambda: self.writer.next_position)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then stop sources, write what waits, forward for a while, and report once more."""
        self.writer.start()
        self.forwarder.start()
        self.reporter.start()
        self.admin.start()
        log.info("gateway is running", gateway=self._config.id, sources=len(self.runners), admin_port=self.admin.port)
        chores = {"buffer": self._tend(), "damage": self._watch_damage(), "clock": self._watch_clock()}
        tasks = [asyncio.create_task(chore, name=name) for name, chore in chores.items()]
        try:
            tasks += [asyncio.create_task(runner.run(), name=f"source:{runner.id}") for runner in self.runners]
            await stop.wait()
        finally:
            for task in reversed(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(source.end() for source in self.isolated))
            await asyncio.to_thread(self._shut_down)

    async def _tend(self) -> None:
        short = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hurry() -> None:
            loop.call_soon_threadsafe(short.set)

        self.room.on_short = hurry
        while True:
            try:
                await asyncio.to_thread(self.keeper.tend, times.now())
            except RetryLater as error:
                log.warning("the edge buffer cannot be tended now", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(short.wait(), _TEND_SECONDS)
            short.clear()

    async def _watch_damage(self) -> None:
        while True:
            with contextlib.suppress(RetryLater):
                event = await asyncio.to_thread(self.damage.look, times.now())
                if event is not None:
                    await self.writer.submit((), [event])
                    await asyncio.to_thread(self.damage.tell)
            await asyncio.sleep(_TEND_SECONDS)

    async def _watch_clock(self) -> None:
        telling: asyncio.Task[None] | None = None
        while True:
            events = await self.clock.look()
            for runner in self.runners:
                runner.conditioner.clock_doubted = self.clock.doubted
            if events:
                # not waited for: a full disk must not keep the clock from being watched
                telling = asyncio.create_task(self._tell(events, telling))
            await asyncio.sleep(LOOK_SECONDS)

    async def _tell(self, events: Sequence[Event], before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await before
        await self.writer.submit((), events)

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
        self._counts.expire()
        self.reporter.stop()
        with contextlib.suppress(OSError):
            self.admin.stop()
        self._journal.close()
        log.info("gateway has stopped", gateway=self._config.id)

    def status(self) -> GatewayStatus:
        """Return the present status with all counts, or the last ones where counting anew would cost too much."""
        counts, counted_us = self._counts.lately()
        return GatewayStatus(
            gateway=self._config.id,
            origin=self._journal.id,
            at_us=times.now(),
            version=__version__,
            sources=[runner.status() for runner in self.runners],
            buffer=self.keeper.status(),
            link=self._link(),
            counts=counts,
            counted_us=counted_us,
        )

    def _link(self) -> LinkStatus:
        link, pace = self.forwarder.link, self.forwarder.pace
        down, down_today = link.down_seconds()
        readings, size = link.traffic()
        return LinkStatus(
            state="up" if self.forwarder.link_up else "down",
            since_us=link.since,
            error=link.error,
            append_ms=[round(seconds * 1000, 1) for seconds in self.forwarder.deliveries.quantiles().values()],
            outages=link.outages,
            down_s=round(down, 1),
            down_24h_s=round(down_today, 1),
            readings_per_s=round(readings, 1),
            bytes_per_s=round(size, 1),
            bytes_total=pace.total,
            measured=pace.measured,
            max_bytes_per_s=self._config.link.max_bytes_per_second,
            drained_in_s=self.keeper.drained_in_s(),
            again=self.keeper.again(),
        )

    def health(self) -> dict[str, Any]:
        """Return the /health document: healthy, degraded (something is away, nothing is lost) or unhealthy (nothing can be stored)."""
        status = self.status()
        states = Counter(source.state for source in status.sources)
        away = [source.id for source in status.sources if source.state not in {"connected", "waiting"}]
        failed = sum(
            one.failed for topic in self.forwarder.topics for lane in self.forwarder.lanes_of(topic).values() for one in lane.poison
        )
        problems = [f"source {name} is away" for name in away]
        if states["waiting"]:
            problems.append(f"{states['waiting']} of {len(status.sources)} sources wait for their turn to connect: the gateway is starting")
        if status.link.state != "up":
            problems.append("the site log is away; readings wait at the edge")
        problems += buffer_problems(status.buffer, status.at_us)
        if failed:
            problems.append(f"{failed} records were refused by the site log: see 'trunkline outbox list'")
        if self.damage.lost:
            problems.append(f"{len(self.damage.lost)} ranges of records were lost to damage: see 'trunkline outbox list'")
        if self.clock.doubted:
            problems.append(f"the gateway's clock is off by {self.clock.offset_text}: what it stamps is marked; mend NTP")
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
            "sources": {"connected": states["connected"], "waiting": states["waiting"], "of": len(status.sources)},
            "errors_last_minute": sum(runner.errors_last_minute() for runner in self.runners),
            "waiting_records": status.buffer.waiting,
            "waiting_failed": failed,
            "oldest_waiting_s": (status.at_us - status.buffer.oldest_waiting_us) / times.SECOND if status.buffer.oldest_waiting_us else 0,
            "buffer_full_in_s": status.buffer.full_in_s,
            "buffer_disk_bytes": status.buffer.disk_bytes,
            "buffer_max_bytes": status.buffer.max_bytes,
            "log_connection": "ok" if status.link.state == "up" else status.link.error,
        }


def _made(section: SourceConfig, context: SourceContext) -> Source:
    """Return the source of a section. Raises Misconfigured when its plugin cannot be loaded."""
    kind = plugin(section.type)
    try:
        return kind.create(section, context)
    except TrunklineError:
        raise
    except Exception as error:
        # a plugin's own defect must not end the gateway: the other sources go on
        log.exception("source cannot be made", source=section.id)
        return Unmade(section.type, error)
