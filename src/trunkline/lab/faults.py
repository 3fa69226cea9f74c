"""Faults on demand: what can go wrong with devices, switched on and off while the plant runs.

A target is 'all', a protocol, or a path: of a plant, an area, a unit or a tag ('PLANT01.AREA01.UNIT_02.PRESSURE').

| fault   | acts on               | amount (default)                           | what happens                                         |
| unplug  | protocol or units     | -                                          | protocol: connections cut; unit: values vanish       |
| silence | protocol              | -                                          | connections stay open and nothing more comes through |
| freeze  | any                   | -                                          | values stay as they are, times go on                 |
| drift   | any (measured values) | percent of the range a minute (5)          | values wander off                                    |
| noise   | any (measured values) | multiples of the variable's own noise (10) | values scatter                                       |
| spikes  | any (measured values) | percent of readings (5)                    | single readings jump by half the range               |
| clock   | protocol or units     | seconds, negative for behind               | source times are wrong; Modbus has no clock          |
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.lab.simulation import Snapshot
from trunkline.lab.vocabulary import MODE, PROTOCOLS, RUNNING, TAG_NAMES, TOTAL, VARIABLES, ProtocolName, Unit
from trunkline.model import times

_NOISE = np.array([v.noise for v in VARIABLES])
_SPAN = np.array([v.span for v in VARIABLES])
_COLUMN = {name: column for column, name in enumerate(TAG_NAMES)}


class FaultKind(StrEnum):
    """What can go wrong."""

    UNPLUG = "unplug"
    SILENCE = "silence"
    FREEZE = "freeze"
    DRIFT = "drift"
    NOISE = "noise"
    SPIKES = "spikes"
    CLOCK = "clock"


_DEFAULT_AMOUNT = {FaultKind.DRIFT: 5.0, FaultKind.NOISE: 10.0, FaultKind.SPIKES: 5.0}
_WHOLE_UNITS = frozenset({FaultKind.UNPLUG, FaultKind.SILENCE, FaultKind.CLOCK})


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that is on.

    Attributes:
        number: to name it by.
        kind: what goes wrong.
        target: where.
        amount: how much; 0 for kinds without.
        seed: of its random numbers.
        since: when it began, µs UTC.
        until: when it ends by itself, µs UTC; None for 'until cleared'.
    """

    number: int
    kind: FaultKind
    target: str
    amount: float
    seed: int
    since: int
    until: int | None


@dataclass(slots=True)
class _Acting:
    """A fault at work: `mask` is bool (units, tags)."""

    fault: Fault
    mask: NDArray[np.bool_]
    random: np.random.Generator
    frozen: Snapshot | None = None


class FaultBoard:
    """The faults that are on, and what they do to the plant."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self._units = units
        self._acting: list[_Acting] = []
        self._number = 0
        #: Seconds by which each unit's clock is wrong, in µs, int64 (units,).
        self.clock_offset: NDArray[np.int64] = np.zeros(len(units), np.int64)
        #: Units that cannot be reached, bool (units,).
        self.unplugged: NDArray[np.bool_] = np.zeros(len(units), np.bool_)

    @property
    def faults(self) -> list[Fault]:
        """Those that are on, oldest first."""
        return [acting.fault for acting in self._acting]

    def add(
        self, kind: FaultKind, target: str, *, now: int, amount: float | None = None, seed: int | None = None, seconds: float | None = None
    ) -> Fault:
        """Switch a fault on.

        Args:
            kind: what goes wrong.
            target: where; see the module's text.
            now: the present, µs UTC.
            amount: how much; the default of the kind if None.
            seed: of its random numbers; drawn if None.
            seconds: how long; until cleared if None.

        Raises:
            ValueError: says what does not fit and what would.
        """
        mask = self._mask(target)
        self._check(kind, target)
        if amount is None:
            if kind is FaultKind.CLOCK:
                raise ValueError("a wrong clock needs an amount: the seconds by which it is ahead, negative for behind")
            amount = _DEFAULT_AMOUNT.get(kind, 0.0)
        if seed is None:
            seed = int(np.random.default_rng().integers(2**31))
        until = None if seconds is None else now + round(seconds * times.SECOND)
        self._number += 1
        fault = Fault(number=self._number, kind=kind, target=target, amount=amount, seed=seed, since=now, until=until)
        self._acting.append(_Acting(fault, mask, np.random.default_rng(seed)))
        self._refresh()
        return fault

    def clear(self, *, target: str | None = None, kind: FaultKind | None = None, number: int | None = None) -> list[Fault]:
        """Switch off what fits all criteria given; with none, everything. Returns what was switched off."""
        return self._remove(
            lambda fault: (
                (target is None or fault.target == target)
                and (kind is None or fault.kind is kind)
                and (number is None or fault.number == number)
            )
        )

    def expire(self, now: int) -> list[Fault]:
        """Switch off what has lasted its time. Returns it."""
        return self._remove(lambda fault: fault.until is not None and fault.until <= now)

    def link(self, protocol: ProtocolName) -> FaultKind | None:
        """Return UNPLUG or SILENCE if the connection of a whole protocol is cut or silent, else None."""
        names = (protocol.value, "all")
        found = {fault.kind for fault in self.faults if fault.target in names}
        return next((kind for kind in (FaultKind.UNPLUG, FaultKind.SILENCE) if kind in found), None)

    def apply(self, snapshot: Snapshot, now: int) -> None:
        """Change the values of a snapshot as the faults demand."""
        for acting in self._acting:
            self._apply(acting, snapshot, now)

    def _apply(self, acting: _Acting, snapshot: Snapshot, now: int) -> None:
        measured = acting.mask[:, : len(VARIABLES)]
        fault, values = acting.fault, snapshot.values
        match fault.kind:
            case FaultKind.FREEZE:
                if acting.frozen is None:
                    acting.frozen = Snapshot(
                        snapshot.cycle, values.copy(), snapshot.running.copy(), snapshot.total.copy(), snapshot.mode.copy(), []
                    )
                old = acting.frozen
                np.copyto(values, old.values, where=measured)
                np.copyto(snapshot.running, old.running, where=acting.mask[:, _COLUMN[RUNNING]])
                np.copyto(snapshot.total, old.total, where=acting.mask[:, _COLUMN[TOTAL]])
                np.copyto(snapshot.mode, old.mode, where=acting.mask[:, _COLUMN[MODE]])
            case FaultKind.DRIFT:
                minutes = (now - fault.since) / times.MINUTE
                values += measured * (fault.amount / 100 * minutes * _SPAN)
            case FaultKind.NOISE:
                values += measured * (fault.amount * _NOISE * acting.random.standard_normal(values.shape))
            case FaultKind.SPIKES:
                hit = measured & (acting.random.random(values.shape) < fault.amount / 100)
                sign = np.where(acting.random.random(values.shape) < 0.5, -0.5, 0.5)
                values += hit * sign * _SPAN
            case FaultKind.UNPLUG | FaultKind.SILENCE | FaultKind.CLOCK:
                pass  # they act on connections and times

    def _mask(self, target: str) -> NDArray[np.bool_]:
        mask = np.zeros((len(self._units), len(TAG_NAMES)), np.bool_)
        for row, unit in enumerate(self._units):
            if target in ("all", unit.protocol, unit.path) or unit.path.startswith(f"{target}."):
                mask[row] = True
            elif target.startswith(f"{unit.path}.") and (column := _COLUMN.get(target.removeprefix(f"{unit.path}."))) is not None:
                mask[row, column] = True
        if not mask.any() and target not in PROTOCOLS:
            example = self._units[0].path
            raise ValueError(f"nothing here is called {target!r}: use 'all', one of {', '.join(PROTOCOLS)}, or a path such as {example}")
        return mask

    def _check(self, kind: FaultKind, target: str) -> None:
        whole = target == "all" or target in PROTOCOLS
        if kind is FaultKind.SILENCE and not whole:
            raise ValueError(f"silence acts on a whole protocol: use one of {', '.join(PROTOCOLS)}, not {target!r}")
        if kind in _WHOLE_UNITS and target.rpartition(".")[2] in _COLUMN:
            raise ValueError(f"{kind.value} acts on whole units: use {target.rpartition('.')[0]!r}")
        own = [unit for unit in self._units if unit.path == target]
        if kind is FaultKind.CLOCK and (target == ProtocolName.MODBUS or any(unit.protocol is ProtocolName.MODBUS for unit in own)):
            raise ValueError("Modbus devices have no clock that could be wrong: choose a unit on OPC UA or MQTT")

    def _remove(self, chosen: Callable[[Fault], bool]) -> list[Fault]:
        gone = [acting.fault for acting in self._acting if chosen(acting.fault)]
        if gone:
            self._acting = [acting for acting in self._acting if acting.fault not in gone]
            self._refresh()
        return gone

    def _refresh(self) -> None:
        self.clock_offset[:] = 0
        self.unplugged[:] = False
        for acting in self._acting:
            rows = acting.mask.any(axis=1)
            if acting.fault.kind is FaultKind.CLOCK:
                self.clock_offset += rows * round(acting.fault.amount * times.SECOND)
            elif acting.fault.kind is FaultKind.UNPLUG and acting.fault.target not in (*PROTOCOLS, "all"):
                self.unplugged |= rows
