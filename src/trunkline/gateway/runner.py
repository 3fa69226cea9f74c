"""Supervises one source: connects, reads, journals, acknowledges, and starts again with growing pauses. One bad source slows no other."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

import msgspec
import structlog

from trunkline.config.tags import SourceConfig
from trunkline.gateway.clockwatch import uptime
from trunkline.gateway.conditioning import Conditioned, Conditioner
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.isolation.proxy import IsolatedSource
from trunkline.gateway.skew import SkewWatch
from trunkline.gateway.underway import UnderWay
from trunkline.ledger.status import SourceStatus
from trunkline.log.codec.writer import Rows, TagSlot
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.scan import Scan
from trunkline.sources.port import ReadBatch, Source

log = structlog.get_logger("trunkline.gateway")

#: D-10: three quick tries, then capped, jittered retries for ever.
QUICK_TRIES: Final = 3
FIRST_PAUSE: Final = 1.0
LAST_PAUSE: Final = 15.0
_SILENCE_EVERY: Final = 1.0
_RATE_WINDOW: Final = 10 * times.SECOND
_CLOSE_TIMEOUT: Final = 10.0
#: More than a source can have in a minute: between two there is half the first pause.
_FAILURES_KEPT: Final = 200


class SourceRunner:
    """One source and everything the gateway knows of it.

    Args:
        config: the source's section.
        source: the plugin's object.
        writer: where readings become durable.
        layout: says where a tag's readings go.
        clock: present time in µs UTC: what is told is stamped by it.
        steady: µs of a clock that never steps: silence, rates and counts of a time are measured by it.
        seed: of the jitter of pauses.
        turn: held while it connects for the first time; see `trunkline.gateway.turns`.
    """

    def __init__(
        self,
        config: SourceConfig,
        source: Source,
        writer: EdgeWriter,
        layout: Layout,
        *,
        clock: Callable[[], int] = times.now,
        steady: Callable[[], int] = uptime,
        seed: int = 0,
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self._config = config
        self._source = source
        self._writer = writer
        self._clock, self._steady = clock, steady
        self._turn = turn
        self._jitter = random.Random(f"{seed}/{config.id}")  # noqa: S311 - spreads retries, no secret
        slots = [(tag, TagSlot(tag.path, config.id, tag.value_kind, layout.lane_of(tag.path, tag.measurement))) for tag in config.tags]
        self.conditioner = Conditioner(slots, config.stale_after, config.lost_after, steady())
        self.state = "stopped"
        self.since = clock()
        self.error: str | None = None
        self.readings_total = 0
        self.errors_total = 0
        self._failed: deque[int] = deque(maxlen=_FAILURES_KEPT)
        self.last_reading: int | None = None
        self._recent: deque[tuple[int, int]] = deque()
        self._skew = SkewWatch(config.id)

    @property
    def id(self) -> str:
        """The source's id."""
        return self._config.id

    async def run(self) -> None:
        """Run until cancelled. A misconfigured source ends here, says why in its state, and goes silent tag by tag."""
        watch = asyncio.create_task(self._watch_silence(), name=f"silence:{self.id}")
        try:
            await self._keep_connected()
            await watch  # misconfigured: only silence is left to tell
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
            self._enter("stopped")

    async def _keep_connected(self) -> None:
        failures = 0
        turn = self._turn
        self._enter("waiting")
        while True:
            try:
                async with turn():
                    self._enter("connecting")
                    await self._source.connect()
                self._enter("connected")
                await self._announce("SOURCE_UP", f"source {self.id} is connected")
                failures = 0
                await self._read_forever()
            except RetryLater as error:
                await self._lost(error, "SOURCE_DOWN" if self.state == "connected" else None)
            except Misconfigured as error:
                await self._lost(error, "SOURCE_MISCONFIGURED")
                self._enter("misconfigured")
                return
            except Exception as error:
                # a plugin's own defect must not end the gateway: it is treated like a device that went away, and shown
                log.exception("source failed", source=self.id)
                await self._lost(error, "SOURCE_FAILED")
            finally:
                await self._close()
            _end_if_cancelled()
            self._enter("backing_off")
            turn = nullcontext
            failures += 1
            await asyncio.sleep(self._pause(failures))

    async def _read_forever(self) -> None:
        """Read on while what was read before becomes durable: in order, and never more than the writer allows, so memory is kept."""
        under_way = UnderWay(self.id, self._writer.ahead)
        try:
            while True:
                batch = await self._source.read()
                try:
                    await under_way.room()
                    durable = await self._take(batch)
                except RetryLater as error:
                    await batch.nack(str(error))
                    raise
                under_way.add(batch, durable)
                await asyncio.sleep(0)  # a source that always has data must not keep the others from theirs
                _end_if_cancelled()
        finally:
            await under_way.settle()

    async def _take(self, batch: ReadBatch) -> "asyncio.Future[None]":
        """Hand a batch to the writer; return what is done when it is durable."""
        now, steady = self._clock(), self._steady()
        readings = batch.readings
        if isinstance(readings, Scan):
            out: Sequence[Conditioned] | Rows = self.conditioner.take_scan(readings, alive=batch.alive, now=steady)
        else:
            out = self.conditioner.take(readings, alive=batch.alive, late=batch.late, now=steady)
        events = [_sourced(event, self.id, now) for event in batch.events]
        if batch.readings:
            self.last_reading = now
            self.readings_total += len(batch.readings)
            self._recent.append((steady, len(batch.readings)))
            while self._recent[0][0] < steady - _RATE_WINDOW:
                self._recent.popleft()
        skew = self.conditioner.skew.skew
        if told := self._skew.look(skew):
            # whatever the times say: from this place in the journal on, this source's readings are of the new kind
            events.append(self._event(told.kind, told.text, skew_us=skew, next_position=self._writer.next_position))
        reduction = self.conditioner.reduction()
        reduced = None if reduction is None else (self.id, reduction)
        checkpoint = None if batch.checkpoint is None else (self.id, batch.checkpoint)
        return await self._writer.enter(out, events, checkpoint=checkpoint, reduced=reduced)

    async def _watch_silence(self) -> None:
        while True:
            await asyncio.sleep(_SILENCE_EVERY)
            marks = self.conditioner.silent(self._steady(), self._clock())
            if marks:
                log.warning("tags fell silent", source=self.id, tags=len(marks), first=marks[0][1].tag)
                await self._writer.submit(marks)

    async def _lost(self, error: Exception, event: str | None) -> None:
        # the event is durable after whatever this source read before, so that `connect` finds the checkpoint of all of it
        self.errors_total += 1
        self._failed.append(self._steady())
        changed = str(error) != self.error
        self.error = str(error) or type(error).__name__
        if changed:
            log.warning("source is away", source=self.id, error=self.error)
        if event is not None:
            await self._announce(event, f"source {self.id}: {self.error}")

    async def _announce(self, kind: str, text: str) -> None:
        await self._writer.submit((), [self._event(kind, text)])

    def _event(self, kind: str, text: str, **attributes: int) -> Event:
        now = self._clock()
        return Event(id=str(uuid7()), type=kind, time=now, gateway_time=now, source=self.id, text=text, attributes=dict(attributes))

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._source.close()
        except Exception as error:  # noqa: BLE001 - letting go must not keep a source from starting again
            log.warning("source did not close in order", source=self.id, error=str(error))

    def _pause(self, failures: int) -> float:
        grown = FIRST_PAUSE if failures <= QUICK_TRIES else FIRST_PAUSE * 2 ** (failures - QUICK_TRIES)
        return min(grown, LAST_PAUSE) * self._jitter.uniform(0.5, 1.0)

    def _enter(self, state: str) -> None:
        if state != self.state:
            self.state, self.since = state, self._clock()
            if state == "connected":
                self.error = None

    def errors_last_minute(self) -> int:
        """Return how often the source failed in the last minute (W-52)."""
        since = self._steady() - times.MINUTE
        return sum(at > since for at in tuple(self._failed))

    def status(self) -> SourceStatus:
        """Return the state as it is reported. From any thread: what others change is copied in one step before it is looked at."""
        since = self._steady() - _RATE_WINDOW
        recent = sum(count for at, count in tuple(self._recent) if at >= since)
        return SourceStatus(
            id=self.id,
            type=self._config.type,
            state=self.state,
            since_us=self.since,
            last_reading_us=self.last_reading,
            readings_total=self.readings_total,
            errors_total=self.errors_total,
            readings_per_s=recent / (_RATE_WINDOW / times.SECOND),
            error=self.error,
            tags=self.conditioner.tags,
            stale_tags=self.conditioner.stale,
            clock_skew_us=self.conditioner.skew.skew,
            reduced_total=self.conditioner.suppressed,
            reduced_furthest=round(self.conditioner.furthest.share, 6),
            process=self._source.status() if isinstance(self._source, IsolatedSource) else None,
        )


def _end_if_cancelled() -> None:
    """Raise CancelledError if this task was told to end and something on the way took that for a fault of its own.

    Protocol libraries turn a cancelled request into an error of theirs, and `asyncio.wait_for` loses a cancellation that meets an answer.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _sourced(event: Event, source: str, now: int) -> Event:
    """Return the event with its source, and the gateway's time where the plugin gave none."""
    return msgspec.structs.replace(event, source=event.source or source, gateway_time=event.gateway_time or now)
