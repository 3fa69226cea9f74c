"""What a drill feeds to the edge, and the folder in which it does so: a site of its own, so that nothing of the user's is touched."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from trunkline.config.loading import Site, load
from trunkline.config.site import GatewayConfig, SiteConfig
from trunkline.config.tags import KINDS
from trunkline.drills.feed import CHUNK, Feed
from trunkline.log.codec.slots import TagSlot
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import Misconfigured
from trunkline.model.reading import Kind

#: Of drills without a site file.
GATEWAY: Final = "edge-1"
SOURCE: Final = "rehearsal"
#: What the historian has goes at once, so that the drill sees the disk's room come back; the user's key stays where it is.
_OWN: Final = {"retention_days": 0.000_1, "encryption": None}


class PlannedTag(msgspec.Struct, frozen=True):
    """A tag that is fed."""

    path: str
    source: str
    kind: Kind
    measurement: str = ""


class Plan(msgspec.Struct, frozen=True):
    """What is fed, to which gateway.

    Attributes:
        gateway: id of the gateway.
        tags: what it reads.
        seed: of the values and of every fault.
        period_us: time between two readings of a tag.
        start_us: time of the first reading, µs UTC.
        steps: readings of each tag that are history.
        paced: history takes the time that it tells of; otherwise as little as the edge needs.
        alarm_us: time between two alarms beside the readings; 0 for none.
        chunk: readings of history that become durable together, about; a step at least.
    """

    gateway: str
    tags: list[PlannedTag]
    seed: int
    period_us: int
    start_us: int
    steps: int
    paced: bool
    alarm_us: int = 0
    chunk: int = CHUNK

    def feed(self, layout: Layout, live: int | None = None) -> Feed:
        """Return the readings."""
        slots = [TagSlot(tag.path, tag.source, tag.kind, layout.lane_of(tag.path, tag.measurement)) for tag in self.tags]
        return Feed(slots, self.seed, self.period_us, self.start_us, self.steps, live, self.chunk)


class Folder:
    """The files of one drill.

    Attributes:
        path: the folder.
        site_file: the drill's own site.
        link: there while the edge reaches the site.
        acknowledged: how many readings the edge has acknowledged, as the reader of the devices saw it.
        alarms: the same for alarms.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.site_file = path / "site.yaml"
        self.link = path / "link"
        self.acknowledged = path / "acknowledged"
        self.alarms = path / "alarms"
        self._plan = path / "plan.json"
        self._live = path / "live"

    def write(self, plan: Plan, document: dict[str, Any]) -> Site:
        """Write the drill's site and plan; return the site."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.site_file.write_text(yaml.safe_dump(document, sort_keys=False))
        self._plan.write_bytes(msgspec.json.encode(plan))
        return load(self.site_file)

    def plan(self) -> Plan:
        """Return the plan."""
        return msgspec.json.decode(self._plan.read_bytes(), type=Plan)

    def go_live(self, moment: int) -> None:
        """Say when the live readings begin, µs UTC."""
        fresh = self.path / "live.fresh"
        fresh.write_text(str(moment))
        fresh.replace(self._live)

    def live(self) -> int | None:
        """Return when the live readings begin, or None while nobody has said so."""
        try:
            return int(self._live.read_text())
        except FileNotFoundError:
            return None

    def cut(self) -> None:
        """Cut the link."""
        self.link.unlink(missing_ok=True)

    def connect(self) -> None:
        """Mend the link."""
        self.link.touch()


def built_in_tags(count: int) -> list[PlannedTag]:
    """Return tags for a drill without a site file."""
    return [PlannedTag(f"DRILL.AREA{n // 100:02}.UNIT_{n // 10 % 10:02}.T{n % 10}", SOURCE, Kind.DOUBLE) for n in range(count)]


def tags_of(site: Site, gateway: str) -> list[PlannedTag]:
    """Return the tags that a gateway of a site reads. Raises Misconfigured when there are none."""
    sources = [source for source in site.sources(gateway) if source.enabled]
    tags = [PlannedTag(tag.path, source.id, tag.value_kind, tag.measurement) for source in sources for tag in source.tags]
    if not tags:
        raise Misconfigured(f"gateway {gateway!r} of {site.file} reads no tags: a drill has nothing to feed; name another with --gateway")
    return tags


def gateway_of(site: Site, wanted: str | None) -> GatewayConfig:
    """Return the gateway to rehearse: the one that was named, or the only one. Raises Misconfigured."""
    if wanted is not None:
        return site.gateway(wanted)
    if len(site.config.gateways) != 1:
        names = ", ".join(gateway.id for gateway in site.config.gateways) or "none"
        raise Misconfigured(f"{site.file} has {len(site.config.gateways)} gateways ({names}): name one with --gateway")
    return site.config.gateways[0]


def document_of(gateway: GatewayConfig, tags: Sequence[PlannedTag], config: SiteConfig | None, *, chunk: int = CHUNK) -> dict[str, Any]:
    """Return the site file of a drill: the gateway with its buffer and tags but without devices, and the log's naming and form."""
    log = config.log if config is not None else None
    by_source: dict[str, list[PlannedTag]] = {}
    for tag in tags:
        by_source.setdefault(tag.source, []).append(tag)
    sources = [
        {"id": source, "type": "simulated", "enabled": False, "tags": [_section(tag) for tag in of_source]}
        for source, of_source in by_source.items()
    ]
    buffer = {**gateway.buffer.model_dump(mode="json"), **_OWN, "batch_readings": min(gateway.buffer.batch_readings, chunk)}
    naming = {"layout": log.layout, "partitions": log.partitions, "form": log.form} if log is not None else {}
    return {
        "site": "drill",
        "data_dir": "data",
        "log": {"engine": "journal", **naming},
        "gateways": [{"id": gateway.id, "buffer": buffer, "sources": sources}],
    }


def _section(tag: PlannedTag) -> dict[str, Any]:
    """Return a tag for the site file: without limits, for what is fed knows none. The signal is never made, it only has to fit."""
    kind = next(word for word, kind in KINDS.items() if kind is tag.kind)
    signal = {"shape": "cycle" if tag.kind is Kind.TEXT else "square"}
    return {"path": tag.path, "kind": kind, "measurement": tag.measurement, "signal": signal}


def make_plan(
    gateway: str,
    tags: Sequence[PlannedTag],
    *,
    seed: int,
    days: float,
    period: float,
    paced: bool,
    alarm: float = 0.0,
    chunk: int = CHUNK,
) -> Plan:
    """Return a plan whose history ends now, or begins now when it is paced."""
    period_us = round(period * times.SECOND)
    steps = max(1, round(days * times.DAY / period_us))
    now = times.now() // times.SECOND * times.SECOND
    start = now if paced else now - steps * period_us
    return Plan(gateway, list(tags), seed, period_us, start, steps, paced, round(alarm * times.SECOND), chunk)
