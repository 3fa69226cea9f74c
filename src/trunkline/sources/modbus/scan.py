"""One scan of a group of tags: ask for every region, narrow what is refused, leave silent units in peace for a while."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from trunkline.model import times
from trunkline.model.errors import SourceUnavailable
from trunkline.model.quality import Quality
from trunkline.model.scan import Scan
from trunkline.sources.modbus.line import Line, NoAnswer, Refused
from trunkline.sources.modbus.plan import Request, halve
from trunkline.sources.modbus.sheet import Member, Outcome, Part, Sheet
from trunkline.sources.registers.codec import GOOD, Layout

#: Exception codes (V1.1b3, section 7) in the words of qualities; the rest is a device fault.
_QUALITIES: dict[int, Quality] = {
    1: Quality.BAD_CONFIGURATION,  # ILLEGAL FUNCTION: the device has no such table
    2: Quality.BAD_UNKNOWN_ADDRESS,  # ILLEGAL DATA ADDRESS
    3: Quality.BAD_CONFIGURATION,  # ILLEGAL DATA VALUE: it does not give so many at once
    5: Quality.BAD_TIMEOUT,  # ACKNOWLEDGE: still working on it
    6: Quality.BAD_TIMEOUT,  # SERVER DEVICE BUSY
    10: Quality.BAD_NOT_CONNECTED,  # GATEWAY PATH UNAVAILABLE
    11: Quality.BAD_TIMEOUT,  # GATEWAY TARGET DEVICE FAILED TO RESPOND
}
#: Codes that may be the fault of one address among those asked for.
_OF_AN_ADDRESS = frozenset({2, 3, 4})
#: Codes by which a gateway says that the unit behind it is silent.
_OF_THE_UNIT = frozenset({10, 11})

#: Seconds until a narrowed region is tried as a whole again: doubles up to the limit while it stays narrowed.
FIRST_RECHECK, LAST_RECHECK = 60.0, 960.0
#: Seconds for which a silent unit is not asked when others share the line: doubles up to the limit.
FIRST_REST, LAST_REST = 1.0, 30.0
#: Requests without an answer after which a unit that said nothing yet is left out of the scan; one may be an address it never answers for.
SILENT_AFTER = 2

#: Seconds from request to answer beyond which the time of the measurement is doubtful, as far as clocks may be apart until readings are
#: marked (W-109): the stamp is that of the request.
LONGEST_SPAN = 5.0

#: Sheets remembered: more than a source has intervals.
_SHEETS = 16


class Unit:
    """What is known of one unit id on the line.

    Attributes:
        id: unit id.
        silence: quality of its tags while it is silent, None while it answers.
        behind_gateway: the silence was reported by a gateway, so the line itself stands.
    """

    def __init__(self, unit_id: int) -> None:
        self.id = unit_id
        self.silence: Quality | None = None
        self.behind_gateway = False
        self._rest = FIRST_REST
        self._rest_until = 0.0

    def resting(self, now: float) -> bool:
        """Return whether to leave it in peace at `now` (seconds, monotonic)."""
        return self.silence is not None and now < self._rest_until

    def answered(self) -> None:
        """Note a sign of life."""
        self.silence = None
        self._rest = FIRST_REST

    def fell_silent(self, now: float, quality: Quality, *, behind_gateway: bool) -> None:
        """Note that it does not answer; each further time it is left in peace for longer."""
        self.silence, self.behind_gateway = quality, behind_gateway
        self._rest_until = now + self._rest
        self._rest = min(2 * self._rest, LAST_REST)


class Block:
    """A request and the tags that it brings."""

    def __init__(self, request: Request, layouts: Sequence[Layout]) -> None:
        self.request = request
        members = tuple(Member(place.start - request.start, layouts[place.member]) for place in request.places)
        self.part = Part(request.table.is_bits, request.size, members)


class Region:
    """One planned request, and the smaller ones that stand in for it where the device refuses some of its addresses.

    Attributes:
        parts: what is asked in a scan: the whole, or the pieces that the device gives.
        refused: pieces that it does not give, with the quality; not asked until the whole is tried again.
        narrow_from: no narrowing before this time (seconds, monotonic), because the last found nothing that is given.
    """

    def __init__(self, request: Request, layouts: Sequence[Layout]) -> None:
        self.whole = Block(request, layouts)
        self.layouts = layouts
        self.parts = [self.whole]
        self.refused: list[tuple[Block, Quality]] = []
        self.narrow_from = 0.0
        self._recheck_at = 0.0
        self._recheck_after = FIRST_RECHECK

    def begin(self, now: float) -> None:
        """Go back to the whole request when it is time to try it again."""
        if self.parts[0] is not self.whole and now >= self._recheck_at:
            self.parts, self.refused = [self.whole], []

    def split(self, now: float, part: Block, given: list[Block], refused: list[tuple[Block, Quality]]) -> None:
        """Remember what stands in for a part. Where nothing is given it is kept: one request will tell when that changes."""
        if given:
            position = self.parts.index(part)
            self.parts[position : position + 1] = given
            self.refused += refused
            self._recheck_at = now + self._recheck_after
        else:
            self.narrow_from = now + self._recheck_after
        self._recheck_after = min(2 * self._recheck_after, LAST_RECHECK)

    def halves(self, block: Block) -> list[Block]:
        """Return the halves of one of its blocks; none if it cannot be narrowed."""
        return [Block(half, self.layouts) for half in halve(block.request) or ()]


class Answer(NamedTuple):
    """A block and what its request brought.

    Attributes:
        block: what was asked.
        outcome: what came.
        refusal: the quality, if the device refused an address of the request.
    """

    block: Block
    outcome: Outcome
    refusal: Quality | None = None


def _sheet(blocks: tuple[Block, ...]) -> Sheet:
    """Return the sheet of a sequence of blocks."""
    return Sheet([block.part for block in blocks])


class Scanner:
    """Asks a line for regions.

    Args:
        line: the open connection.
        units: every unit id of the source, for all its groups of tags.
        retries: how often an unanswered read is asked again.
        clock: µs UTC, for stamps.
        monotonic: seconds, for waiting.
    """

    def __init__(self, line: Line, units: Iterable[int], retries: int, clock: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._line = line
        self._units = {unit_id: Unit(unit_id) for unit_id in units}
        self._retries = retries
        self._clock = clock
        self._monotonic = monotonic
        self._heard: set[int] = set()
        self._unanswered: dict[int, int] = {}
        # of each group of regions the sheet stays the same from scan to scan, until the device refuses another address
        self._sheet = lru_cache(maxsize=_SHEETS)(_sheet)

    async def scan(self, regions: Iterable[Region]) -> Scan:
        """Return one reading for every tag of the regions, of which there is at least one.

        Raises:
            SourceUnavailable: the connection is lost, or no unit of the source answers any more.
        """
        self._heard, self._unanswered = set(), {}
        answers: list[Answer] = []
        for region in regions:
            answers += await self._region(region)
        for unit_id in self._unanswered.keys() - self._heard:
            self._units[unit_id].fell_silent(self._monotonic(), Quality.BAD_TIMEOUT, behind_gateway=False)
        if all(unit.silence is not None and not unit.behind_gateway for unit in self._units.values()):
            names = ", ".join(map(str, sorted(self._units)))
            raise SourceUnavailable(f"no answer from unit id {names}: check unit ids, wiring and 'timeout_ms'")
        return self._sheet(tuple([answer.block for answer in answers])).scan([answer.outcome for answer in answers])

    async def _region(self, region: Region) -> list[Answer]:
        region.begin(self._monotonic())
        answers = [Answer(block, Outcome(None, quality, self._clock())) for block, quality in region.refused]
        for part in tuple(region.parts):
            answer = await self._ask(part)
            if answer.refusal is not None and self._monotonic() >= region.narrow_from and (halves := region.halves(part)):
                answers += await self._narrow(region, part, halves)
            else:
                answers.append(answer)
        return answers

    async def _narrow(self, region: Region, part: Block, halves: list[Block]) -> list[Answer]:
        """Halve a refused request until only the addresses that the device refuses are left out."""
        answers: list[Answer] = []
        given: list[Block] = []
        refused: list[tuple[Block, Quality]] = []
        pending = deque(halves)
        while pending:
            block = pending.popleft()
            answer = await self._ask(block)
            if answer.refusal is not None and (smaller := region.halves(block)):
                pending.extendleft(reversed(smaller))
                continue
            answers.append(answer)
            if answer.refusal is None:
                given.append(block)
            else:
                refused.append((block, answer.refusal))
        region.split(self._monotonic(), part, given, refused)
        return answers

    async def _ask(self, block: Block) -> Answer:
        """Ask once for a block, unless its unit is silent; whatever comes is an answer."""
        request, unit = block.request, self._units[block.request.unit]
        unanswered = self._unanswered.get(unit.id, 0)
        if unit.resting(self._monotonic()) or (unanswered >= SILENT_AFTER and unit.id not in self._heard):
            return Answer(block, Outcome(None, unit.silence or Quality.BAD_TIMEOUT, self._clock()))
        attempts = 1 if unanswered or unit.silence is not None else 1 + self._retries
        try:
            payload = await self._line.read(unit.id, request.table, request.start, request.size, attempts)
        except NoAnswer:
            self._unanswered[unit.id] = unanswered + 1
            return Answer(block, Outcome(None, Quality.BAD_TIMEOUT, self._clock()))
        except Refused as refusal:
            quality = _QUALITIES.get(refusal.code, Quality.BAD_DEVICE_FAULT)
            if refusal.code in _OF_THE_UNIT:
                unit.fell_silent(self._monotonic(), quality, behind_gateway=True)
            else:
                self._note_answer(unit)
            return Answer(block, Outcome(None, quality, self._clock()), quality if refusal.code in _OF_AN_ADDRESS else None)
        now = self._clock()
        self._note_answer(unit)
        if self._line.took > LONGEST_SPAN:
            # we hung, and the answer lay in the socket: it was measured after the request went out, and nobody knows how long after
            return Answer(block, Outcome(payload, Quality.UNCERTAIN_TIME, now - round(self._line.took * times.SECOND)))
        return Answer(block, Outcome(payload, GOOD, now))

    def _note_answer(self, unit: Unit) -> None:
        unit.answered()
        self._heard.add(unit.id)
