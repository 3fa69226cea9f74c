"""The plan of an alarm book: definitions spread over tags. Everything in it is fixed once made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from trunkline.config.alarms import AlarmDefinition, AlarmsConfig, Scalar
from trunkline.config.tags import TagConfig
from trunkline.model import times
from trunkline.model.expressions import Expression
from trunkline.model.tags import TagPath, TagPattern
from trunkline.processing.alarms.conditions import Bounds, Condition, Deviation, Equals, Fault, Judge, Limit, Rate, Silence, Truth
from trunkline.processing.alarms.life import Subject

#: How far a reading's value can be relied on: quality GOOD; UNCERTAIN; none, or an old one repeated; BAD for a fault of its own.
GOOD: Final = 0
UNCERTAIN: Final = 1
MISSING: Final = 2
FAULTY: Final = 3
_LEVELS: Final = {"GOOD": GOOD, "UNCERTAIN": UNCERTAIN}


@dataclass(frozen=True, slots=True)
class Item:
    """One condition of the plan: of an alarm, or of a plant state that suppresses alarms.

    Attributes:
        key: identity across restarts.
        judge, on_delay, off_delay: what it is; delays in µs.
        tags: every tag that it speaks of, its own first.
        worst: the worst level whose values count.
        clear_on_bad: values that do not count end it.
        subject: the alarm; None for a plant state.
        suppresses: places of the alarms that a plant state suppresses.
    """

    key: str
    judge: Judge
    tags: tuple[str, ...]
    on_delay: int = 0
    off_delay: int = 0
    worst: int = UNCERTAIN
    clear_on_bad: bool = False
    subject: Subject | None = None
    suppresses: list[int] = field(default_factory=list)

    def condition(self, place: int) -> Condition:
        """Return a new condition at rest."""
        return Condition(place, self.judge, self.on_delay, self.off_delay)


def _judge(definition: AlarmDefinition, tag: str) -> Judge:
    limit, back = definition.limit or 0.0, definition.deadband
    judge: Judge
    match definition.kind:
        case "high" | "high-high":
            judge = Limit(Bounds(high=limit, deadband=back))
        case "low" | "low-low":
            judge = Limit(Bounds(low=limit, deadband=back))
        case "deviation":
            judge = Deviation(Bounds(-limit, limit, back), tag, definition.setpoint, definition.setpoint_tag)
        case "rate":
            up, down = definition.direction != "down", definition.direction != "up"
            judge = Rate(Bounds(**({"high": limit} if up else {}), **({"low": -limit} if down else {}), deadband=back))
        case "discrete":
            judge = Equals(definition.equals)
        case "stale":
            judge = Silence(_us(definition.silence or 0.0))
        case "fault":
            judge = Fault()
        case "expression":
            judge = Truth(Expression(definition.expression or "", TagPath.parse(tag).asset))
    return judge


def _us(seconds: float) -> int:
    return round(seconds * times.SECOND)


class Plan:
    """Every condition, and where each tag's are.

    Attributes:
        items: conditions; their position is their place everywhere.
        tags: tags that any condition speaks of; their position is their place in the watch.
        tag_place: place by tag.
    """

    def __init__(self, settings: AlarmsConfig, tags: Mapping[str, TagConfig]) -> None:
        self.items: list[Item] = []
        self.tags: list[str] = []
        self.tag_place: dict[str, int] = {}
        self._states: dict[tuple[str, Scalar], Item] = {}
        for definition in settings.definitions:
            for tag in selected(definition, tags):
                self._add(definition, tag, tags)
        self.by_key = {item.key: place for place, item in enumerate(self.items)}

    def _add(self, definition: AlarmDefinition, tag: str, tags: Mapping[str, TagConfig]) -> None:
        path, config = TagPath.parse(tag), tags.get(tag)
        subject = Subject(
            key=definition.key(tag),
            rule=definition.id,
            type=definition.alarm_type(tag),
            asset=path.asset,
            tag=path.tag,
            severity=definition.severity,
            unit=config.unit if config is not None and definition.kind != "fault" else "",
            threshold=definition.limit,
            latching=definition.latching,
            ack_required=definition.ack == "required" and definition.severity is not None,
            alarm_class=definition.alarm_class or "",
            max_shelve=_us(definition.max_shelve),
        )
        judge = _judge(definition, tag)
        others = judge.expression.tags if isinstance(judge, Truth) else (definition.setpoint_tag,) if definition.setpoint_tag else ()
        item = Item(
            key=subject.key,
            judge=judge,
            tags=(tag, *(other for other in others if other != tag)),
            on_delay=_us(definition.on_delay),
            off_delay=_us(definition.off_delay),
            worst=_LEVELS[definition.quality],
            clear_on_bad=definition.on_bad == "clear",
            subject=subject,
        )
        place = self._place(item)
        if definition.suppressed_while is not None:
            self._state(definition.suppressed_while.tag, definition.suppressed_while.equals).suppresses.append(place)

    def _state(self, tag: str, value: Scalar) -> Item:
        """Return the condition of a plant state, which all alarms with the same one share."""
        item = self._states.get((tag, value))
        if item is None:
            item = self._states[tag, value] = Item(key=f"while:{tag}={value}", judge=Equals(value), tags=(tag,))
            self._place(item)
        return item

    def _place(self, item: Item) -> int:
        self.items.append(item)
        for tag in item.tags:
            if tag not in self.tag_place:
                self.tag_place[tag] = len(self.tags)
                self.tags.append(tag)
        return len(self.items) - 1


def selected(definition: AlarmDefinition, tags: Mapping[str, TagConfig]) -> list[str]:
    """Return the tags that a definition watches: the one it names, or those that its patterns select, in the order of the file."""
    if definition.tag is not None:
        return [definition.tag]
    exact = {pattern for pattern in definition.tags if "*" not in pattern}
    patterns = [TagPattern(pattern) for pattern in definition.tags if "*" in pattern]
    found = [tag for tag in tags if tag in exact or any(pattern.matches(tag) for pattern in patterns)]
    return [*found, *sorted(exact - tags.keys())]
