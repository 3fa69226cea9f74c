"""The cluster behind the site log, as `trunkline status` shows it."""

from typing import TYPE_CHECKING, Final

from trunkline.cli.output import people, plain
from trunkline.config.loading import Site

if TYPE_CHECKING:
    from trunkline.log.kafka.health import KafkaHealth

#: Partitions named in one line; there may be hundreds.
_NAMED: Final = 5


def kafka_health(site: Site) -> "KafkaHealth | None":
    """Return how the cluster of a site is; None when its log is embedded. Raises Misconfigured, RetryLater."""
    if site.config.log.engine != "kafka":
        return None
    from trunkline.log.kafka.health import look  # noqa: PLC0415 - the client is loaded where Kafka is used

    return look(site.config.log, site.secrets)


def kafka_away(health: "KafkaHealth") -> list[str]:
    """Return what of a cluster is away, in words: what refuses writes, and what could not be asked."""
    told = {"offline": health.offline, "too few copies to write": health.under_min_isr}
    away = [f"kafka: {what}: {_named(where)}" for what, where in told.items() if where]
    away += [f"kafka: broker {one.broker} cannot use {one.directory}" for one in health.disks if not one.online]
    return away + [f"kafka: {fault}" for fault in health.faults]


def show_kafka(health: "KafkaHealth") -> None:
    """Write it for people, a line for the cluster, each topic and each group."""
    away = f", {len(health.brokers_away)} away ({', '.join(map(str, health.brokers_away))})" if health.brokers_away else ""
    bad = {"under-replicated": health.under_replicated, "under min ISR": health.under_min_isr, "offline": health.offline}
    copies = ", ".join(f"{len(where)} {what}" + (f" ({_named(where)})" if where else "") for what, where in bad.items())
    people.print(plain(f"kafka: {len(health.brokers)} brokers{away}; {health.partitions} partitions: {copies}"), soft_wrap=True)
    for disk in health.disks:
        room = f"{_size(disk.free_bytes)} of {_size(disk.total_bytes)} free" if disk.total_bytes >= 0 else "room unknown"
        state = "" if disk.online else ", out of service"
        people.print(plain(f"kafka: broker {disk.broker}: {_size(disk.used_bytes)} in {disk.directory}, {room}{state}"), soft_wrap=True)
    for topic in health.topics:
        if topic.records:
            rate = f"{topic.records_per_s:,.1f} records/s in the last minute"
            disk_use = "" if topic.disk_bytes is None else f", {_size(topic.disk_bytes)}"
            text = f"kafka: {topic.topic}: {topic.records:,} records in {topic.partitions} partitions{disk_use}, {rate}"
            people.print(plain(text), soft_wrap=True)
    for one in health.groups:
        stored = f"positions in {len(one.positions)} partitions" if one.positions else "no position yet"
        people.print(plain(f"kafka: {one.group} reads {one.topic}: {one.behind:,} records behind, {stored}"), soft_wrap=True)


def _named(partitions: list[str]) -> str:
    more = len(partitions) - _NAMED
    return ", ".join(partitions[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
