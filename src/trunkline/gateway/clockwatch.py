"""Watches the gateway's own clock: how far the time service says it is off, whether it steps, and whether the gateway itself stood still.

A wall clock that steps is told with both times and with the position in the edge journal that the next reading gets, so that readings
before and after can be told apart for good: positions and the time since boot only ever grow.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from trunkline.gateway import clocksync
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Value

log = structlog.get_logger("trunkline.gateway")

#: W-105: beyond it the clock is doubted; and trusted again below half of it.
OFFSET_LIMIT: Final = 1.0
#: A step of the wall clock that is told. Time services slew what is smaller.
STEP_LIMIT: Final = times.SECOND
#: The gateway stood still for longer than this: what it stamped right afterwards may have waited for it.
STALL_LIMIT: Final = 3 * times.SECOND
LOOK_SECONDS: Final = 1.0
_ASK_SECONDS: Final = 60.0
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def uptime() -> int:
    """Return µs since boot, sleep of the machine included (CLOCK_BOOTTIME): it never steps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def boot() -> str:
    """Return the id of this boot; empty where the system gives none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class StepWatch:
    """Compares the wall clock with one that never steps. Pure: both times come in with every call.

    Args:
        wall: present time, µs UTC.
        steady: µs of a clock that never steps.
    """

    def __init__(self, wall: int, steady: int) -> None:
        self._wall, self._steady = wall, steady

    def look(self, wall: int, steady: int) -> int:
        """Return by how many µs the wall clock stepped since the last look; 0 below `STEP_LIMIT`."""
        stepped = wall - self._wall - (steady - self._steady)
        self._wall, self._steady = wall, steady
        return stepped if abs(stepped) >= STEP_LIMIT else 0


class ClockWatch:
    """Looks at the gateway's clock once a second and asks the time service once a minute.

    Args:
        clock: the gateway's clock, µs UTC.
        position: what the next reading's position in the edge journal is.
        steady: µs since boot.
        ask: what the time service says; called in a thread.

    Attributes:
        doubted: whether the clock is off by more than `OFFSET_LIMIT`: what it stamps is marked.
        offset_text: how far it was off when the time service last had an estimate.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        position: Callable[[], int],
        *,
        steady: Callable[[], int] = uptime,
        ask: Callable[[], clocksync.Offset | None] = clocksync.offset,
    ) -> None:
        self._clock, self._position, self._steady, self._ask = clock, position, steady, ask
        self._steps = StepWatch(clock(), steady())
        self._rested = steady()
        self._asked: int | None = None
        self.doubted = False
        self.offset_text = ""

    async def look(self) -> list[Event]:
        """Return what is to be told."""
        events = self._stepped()
        steady = self._steady()
        if self._asked is None or events or steady - self._asked >= _ASK_SECONDS * times.SECOND:
            self._asked = steady
            events += self._judge(await asyncio.to_thread(self._ask))
        self._rested = self._steady()  # a time service that answers slowly is no hang of ours
        return events

    def _stepped(self) -> list[Event]:
        now, steady = self._clock(), self._steady()
        step, passed = self._steps.look(now, steady), steady - self._rested
        events: list[Event] = []
        if step:
            way = "ahead" if step > 0 else "back"
            text = f"the gateway's clock stepped {way} by {abs(step) / times.SECOND:.3f} s, to {times.to_iso(now)}"
            events.append(self._event("CLOCK_STEP", text, from_us=now - step, to_us=now, step_us=step))
        if passed > STALL_LIMIT:
            text = f"the gateway stood still for {passed / times.SECOND:.1f} s: what it stamped right afterwards may be older than it says"
            events.append(self._event("GATEWAY_STALLED", text, from_us=now - passed, to_us=now))
        return events

    def _judge(self, said: clocksync.Offset | None) -> list[Event]:
        if said is None or said.seconds is None:
            return []  # nobody knows: `trunkline doctor` says what to do about that
        self.offset_text = f"{said.seconds:.3f} s"
        if said.seconds > OFFSET_LIMIT and not self.doubted:
            self.doubted = True
            text = f"the gateway's clock is {said.seconds:.3f} s off, says {said.service}: what it stamps is marked; mend NTP"
            return [self._event("CLOCK_OFFSET", text, level="WARNING", offset_us=round(said.seconds * times.SECOND))]
        if said.seconds < OFFSET_LIMIT / 2 and self.doubted:
            self.doubted = False
            text = f"the gateway's clock is right again ({said.seconds:.3f} s off, says {said.service})"
            return [self._event("CLOCK_OFFSET_CLEARED", text, offset_us=round(said.seconds * times.SECOND))]
        return []

    def _event(self, kind: str, text: str, **more: Value) -> Event:
        now = self._clock()
        facts: dict[str, Value] = {**more, "next_position": self._position(), "boot_id": boot(), "uptime_us": self._steady()}
        log.warning(text, kind=kind)
        return Event(id=str(uuid7()), type=kind, time=now, gateway_time=now, text=text, attributes=facts)
