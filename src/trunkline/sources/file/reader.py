"""From files to batches: what one read takes, and what is told of lines that make no sense. Runs in a thread; no asyncio here."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

import msgspec

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.quality import Quality
from trunkline.model.reading import Reading, Value
from trunkline.sources.file.config import Csv, FileConfig
from trunkline.sources.file.formats import LineDecoder
from trunkline.sources.file.tail import Line, Place, Replaced, Tail
from trunkline.sources.file.watch import Watch

_log = logging.getLogger(__name__)

#: Readings and lines of one batch: enough for one durable write, few enough to hold in memory.
_MOST_READINGS: Final = 10_000
_MOST_LINES: Final = 5_000
_SHOWN: Final = 200

UNDECODABLE: Final = "LINE_UNDECODABLE"
UNREADABLE: Final = "FILE_UNREADABLE"


class Checkpoint(msgspec.Struct, frozen=True, tag="file"):
    """How far every file was read.

    Attributes:
        files: the pattern they were found with.
        places: of the files.
    """

    files: str
    places: list[Place]


@dataclass(slots=True)
class Faults:
    """Lines of one file that follow each other and make no sense: one event for all of them, so that garbage does not flood."""

    path: str
    first: Line
    reason: str
    last: int


@dataclass(slots=True)
class Taken:
    """What one read took."""

    lines: int = 0
    readings: list[Reading] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    checkpoint: str = ""  # after these lines; empty when there is nothing to hand over


class FileReader:
    """Reads the files of one source from a checkpoint on.

    Attributes:
        undecodable: lines, or cells of them, that made no sense since the start.
    """

    def __init__(self, config: FileConfig, now: Callable[[], int], checkpoint: str | None) -> None:
        """Prepare; nothing is opened. Raises SourceMisconfigured if the checkpoint is of another kind of source."""
        self.undecodable = 0
        self._config = config
        self._now = now
        self._watch = Watch(config.files, timed=config.timestamp is not None)
        self._decoders: WeakKeyDictionary[Tail, LineDecoder] = WeakKeyDictionary()
        self._quiet: WeakKeyDictionary[Tail, tuple[int, float]] = WeakKeyDictionary()
        self._told: set[str] = set()
        self._taken = Taken()
        self._looked = -config.poll_seconds
        columns = 1 if config.long else max(1, len(config.tags))
        self._most_lines = max(1, min(_MOST_LINES, _MOST_READINGS // columns))
        if checkpoint is not None:
            try:
                stored = msgspec.json.decode(checkpoint, type=Checkpoint)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise SourceMisconfigured(
                    f"source {config.id} stored its place as another type of source: give the file source an id of its own"
                ) from None
            self._watch.restore(stored.places, renamed=stored.files == config.files)

    def look(self) -> None:
        """See which files are there. Raises SourceUnavailable."""
        self._watch.look()
        self._looked = time.monotonic()
        unreadable = self._watch.unreadable
        self._told &= unreadable.keys()
        for path, why in unreadable.items():
            if path == self._config.files:
                raise SourceUnavailable(f"{path}: {why}: let the gateway's user read it")
            if path not in self._told:
                self._told.add(path)
                self._taken.events.append(self._event(UNREADABLE, f"{path}: {why}: let the gateway's user read it", {"file": path}))

    def fill(self) -> None:
        """Read what is new, until there is a batch for `take`. Raises SourceUnavailable."""
        taken = self._taken
        looked = time.monotonic() - self._looked >= self._config.poll_seconds
        if looked:
            self.look()
        self._take_lines(taken)
        if not taken.lines and not looked:
            self.look()
            self._take_lines(taken)
        if taken.lines or taken.events:
            taken.checkpoint = msgspec.json.encode(Checkpoint(self._config.files, self._watch.places())).decode()

    def take(self) -> Taken:
        """Return what was read, once."""
        taken, self._taken = self._taken, Taken()
        return taken

    def close(self) -> None:
        """Let go of every file."""
        self._watch.close()

    def _take_lines(self, taken: Taken) -> None:
        for tail in self._watch.tails:
            while taken.lines < self._most_lines and len(taken.readings) < _MOST_READINGS:
                try:
                    decoder = self._decoder(tail, taken)
                    lines = [] if decoder is None else self._lines(tail, self._most_lines - taken.lines)
                except (OSError, Replaced):
                    break  # the next look says what became of it
                if decoder is None or not lines:
                    break
                taken.lines += len(lines)
                self._decode(tail, decoder, lines, taken)

    def _lines(self, tail: Tail, most: int) -> list[Line]:
        lines = tail.lines(most, self._config.max_line_bytes)
        if not lines and self._is_final(tail):
            rest = tail.rest(self._config.max_line_bytes)
            return [] if rest is None else [rest]
        return lines

    def _is_final(self, tail: Tail) -> bool:
        """Tell whether a last line without an end is complete: nobody has written to it for long enough, or the file is deleted."""
        if tail.opened and not tail.linked:
            return True
        if self._config.last_line_after is None:
            return False
        size, now = tail.size, time.monotonic()
        before, since = self._quiet.get(tail, (-1, now))
        if size != before:
            self._quiet[tail] = (size, now)
            return False
        return now - since >= self._config.last_line_after

    def _decoder(self, tail: Tail, taken: Taken) -> LineDecoder | None:
        """Return what decodes the lines of a file; None while its header is not complete."""
        known = self._decoders.get(tail)
        if known is not None:
            return known
        header, form = None, self._config.format
        if isinstance(form, Csv) and form.header:
            first = tail.first(form.header)
            if first is None:
                return None
            header = first[-1]
        decoder = self._decoders[tail] = LineDecoder(self._config, header)
        if decoder.missing and isinstance(form, Csv) and tail.line < form.header:
            self._count(tail.path, form.header, decoder.missing)
            taken.events.append(self._fault(Faults(tail.path, Line(form.header, header), decoder.missing, form.header)))
        return decoder

    def _decode(self, tail: Tail, decoder: LineDecoder, lines: list[Line], taken: Taken) -> None:
        faults: Faults | None = None
        for line in lines:
            readings, why = decoder.decode(line, self._now())
            taken.readings += readings
            if not why:
                continue
            self._count(tail.path, line.number, why)
            if faults is not None and faults.last == line.number - 1:
                faults.last = line.number
                continue
            if faults is not None:
                taken.events.append(self._fault(faults))
            faults = Faults(tail.path, line, why, line.number)
        if faults is not None:
            taken.events.append(self._fault(faults))

    def _count(self, path: str, line: int, why: str) -> None:
        self.undecodable += 1
        if self.undecodable & (self.undecodable - 1) == 0:  # the 1st, 2nd, 4th, 8th…: a broken file must not flood the log
            _log.warning(
                "source %s: line %d of %s is number %d that makes no sense: %s", self._config.id, line, path, self.undecodable, why
            )

    def _fault(self, faults: Faults) -> Event:
        count = faults.last - faults.first.number + 1
        where = f"line {faults.last}" if count == 1 else f"lines {faults.first.number} to {faults.last}, the first of them"
        return self._event(
            UNDECODABLE,
            f"{faults.path}, {where}: {faults.reason}",
            {
                "file": faults.path,
                "line": faults.first.number,
                "lines": count,
                "reason": faults.reason,
                "text": (faults.first.data or b"")[:_SHOWN].decode(errors="replace"),
            },
        )

    def _event(self, kind: str, text: str, attributes: dict[str, Value]) -> Event:
        now = self._now()
        return Event(id=str(uuid7()), type=kind, time=now, gateway_time=now, text=text, quality=Quality.BAD_DECODING, attributes=attributes)
