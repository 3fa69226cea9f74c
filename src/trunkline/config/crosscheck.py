"""Checks that no single section can make: what must be unique, what collides, what this machine lacks."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from trunkline.config.addresses import is_loopback
from trunkline.config.crosscheck_alarms import alarms
from trunkline.config.crosscheck_anomalies import anomalies, packages
from trunkline.config.crosscheck_derived import derived
from trunkline.config.crosscheck_notifications import notifications
from trunkline.config.examining import Examined
from trunkline.config.kafka import KafkaSecurity, addresses
from trunkline.config.problems import Location, Problem, did_you_mean
from trunkline.config.rulecheck import quality_rules
from trunkline.config.secrets import SCHEMES, SecretStore, SecretUnavailable, is_secret_key, key_bytes, references, scheme_of, texts
from trunkline.config.site import LogConfig, SiteConfig
from trunkline.config.stamp import Stamp, StampUnreadable, read_stamp
from trunkline.model.errors import Misconfigured

#: Parts of a tag path in the plant's envelope: plant, area, unit, tag (P-11).
_ENVELOPE_PARTS = 4
_SERIAL = re.compile(r"/dev/\S+|COM\d+", re.IGNORECASE)


def within(examined: Examined) -> Iterator[Problem]:
    """Yield what is wrong between the sections of the file itself."""
    yield from _ids(examined)
    yield from _tags(examined)
    yield from _serial_ports(examined)
    yield from _sources(examined)
    yield from _references(examined)
    if examined.config is not None:
        yield from _ports(examined.config, examined)
        yield from _site(examined.config, examined)
        yield from _kafka(examined.config.log, examined)
        yield from _form(examined.config, examined)
        yield from _brokers(examined.config, examined)
        yield from _members(examined.config, examined)
        yield from quality_rules(examined.config, examined)
        yield from notifications(examined.config.notifications, examined)
        yield from derived(examined.config, examined)
        yield from alarms(examined.config, examined)
        yield from anomalies(examined)


def around(examined: Examined, directory: Path) -> Iterator[Problem]:
    """Yield what this machine lacks: secrets, a writable data directory, the partitions that its data was written with."""
    if examined.config is None:
        return
    data_dir = directory / Path(examined.config.data_dir).expanduser()
    yield from _secrets(examined, SecretStore(data_dir / "secrets", directory))
    yield from _keys(examined.config, examined, SecretStore(data_dir / "secrets", directory))
    yield from _certificates(examined.config.log, examined, directory)
    yield from _data_dir(examined, data_dir)
    yield from _stamp(examined, examined.config, data_dir)
    yield from packages(examined)


def _twice(examined: Examined, location: Location, what: str, first: Location, mend: str) -> Problem:
    line = examined.document.line(first)
    return examined.document.problem(location, f"{what} is given twice; first in line {line}", mend)


def _ids(examined: Examined) -> Iterator[Problem]:
    data = examined.document.data
    gateways = data.get("gateways") if isinstance(data, dict) else None
    seen: dict[str, Location] = {}
    for position, gateway in enumerate(gateways if isinstance(gateways, list) else ()):
        if not isinstance(gateway, dict):
            continue
        name, place = str(gateway.get("id")), ("gateways", position, "id")
        if "id" in gateway and seen.setdefault(name, place) != place:
            mend = "give every gateway an id of its own: two gateways of one identity would shut each other out"
            yield _twice(examined, place, f"gateway id {name!r}", seen[name], mend)
        sources = gateway.get("sources")
        named: dict[str, Location] = {}
        for index, source in enumerate(sources if isinstance(sources, list) else ()):
            at: Location = ("gateways", position, "sources", index, "id")
            if isinstance(source, dict) and "id" in source and named.setdefault(str(source["id"]), at) != at:
                mend = "give every source of a gateway an id of its own"
                yield _twice(examined, at, f"source id {source['id']!r}", named[str(source["id"])], mend)


def _tags(examined: Examined) -> Iterator[Problem]:
    seen: dict[str, Location] = {}
    for placed in examined.sources:
        for position, tag in enumerate(placed.source.tags):
            place = (*placed.location, "tags", position, "path")
            if seen.setdefault(tag.path, place) != place:
                yield _twice(examined, place, f"tag {tag.path}", seen[tag.path], "a tag has one source: rename or remove one of them")
    branches = {path.rsplit(".", depth)[0] for path in seen for depth in range(1, path.count(".") + 1)}
    for path in sorted(branches & seen.keys()):
        message = f"tag {path} is also a branch of the tree: other tags lie below it"
        yield examined.document.problem(seen[path], message, f"give it a name of its own, for example {path}.VALUE", warning=True)


def _serial_ports(examined: Examined) -> Iterator[Problem]:
    seen: dict[str, tuple[str, Location]] = {}
    for placed in examined.sources:
        if not placed.source.enabled:
            continue
        for location, text in texts(_own(placed.source)):
            if not _SERIAL.fullmatch(text):
                continue
            device = os.path.realpath(text) if text.startswith("/") else text.upper()
            where = (*placed.location, *location)
            other, first = seen.setdefault(device, (f"{placed.gateway}/{placed.source.id}", where))
            if first != where:
                line = examined.document.line(first)
                message = f"source {placed.source.id!r} uses the serial port {text}, which {other!r} uses already (line {line})"
                yield examined.document.problem(
                    where, message, "one port has one owner: put all its devices into one source, or disable one"
                )


def _own(source: BaseModel) -> dict[str, object]:
    """Return a source's settings without its tags, which are many and name no port."""
    return source.model_dump(mode="json", exclude={"tags"})


def _sources(examined: Examined) -> Iterator[Problem]:
    for placed in examined.sources:
        source = placed.source
        if not source.tags:
            mend = "add 'tags:'; 'trunkline probe' lists what a device offers"
            yield examined.document.problem(placed.location, f"source {source.id!r} has no tags: it will read nothing", mend, warning=True)
        if source.stale_after >= source.lost_after:
            message = f"stale_after ({source.stale_after:g} s) is not below lost_after ({source.lost_after:g} s): tags never turn stale"
            yield examined.document.problem((*placed.location, "lost_after"), message, "make lost_after the longer one", warning=True)


def _references(examined: Examined) -> Iterator[Problem]:
    """Yield misspelt references and secrets written out."""
    for location, text in texts(examined.document.data):
        for reference in references(text):
            scheme = scheme_of(reference)
            if scheme not in SCHEMES:
                mend = did_you_mean(scheme, SCHEMES, "known are")
                yield examined.document.problem(location, f"{reference} is no secret reference", mend)
        key = next((step for step in reversed(location) if isinstance(step, str)), "")
        if text and is_secret_key(key) and not references(text):
            mend = f"put it into the data directory's 'secrets' folder and write '${{secret:NAME}}', or '${{env:{key.upper()}}}'"
            yield examined.document.problem(location, f"{key!r} is written out: whoever reads this file knows it", mend, warning=True)


def _ports(config: SiteConfig, examined: Examined) -> Iterator[Problem]:
    wanted: list[tuple[int, Location]] = [(config.api.port, ("api", "port"))]
    wanted += [(gateway.admin_port, ("gateways", place, "admin_port")) for place, gateway in enumerate(config.gateways)]
    if config.lab is not None:
        wanted += [(getattr(config.lab, name), ("lab", name)) for name in ("modbus_port", "opcua_port", "mqtt_port")]
    seen: dict[int, Location] = {}
    for port, place in wanted:
        if port and seen.setdefault(port, place) != place:
            other = ".".join(str(step) for step in seen[port])
            yield examined.document.problem(
                place, f"port {port} is taken by {other} already", "give each its own port, or 0 for a free one"
            )


def _site(config: SiteConfig, examined: Examined) -> Iterator[Problem]:
    for place, gateway in enumerate(config.gateways):
        if not gateway.sources:
            message = f"gateway {gateway.id!r} has no sources: it will read nothing"
            yield examined.document.problem(("gateways", place), message, "add 'sources:'", warning=True)
        if gateway.buffer.reserved_bytes >= gateway.buffer.max_bytes:
            message = "reserved_bytes must be below max_bytes: it is the part of the buffer kept for alarms, commands and notices"
            yield examined.document.problem(("gateways", place, "buffer", "reserved_bytes"), message, "a hundredth of max_bytes is usual")
    if not is_loopback(config.api.host):
        message = f"the API listens on {config.api.host}, beyond this machine, without encryption of its own"
        yield examined.document.problem(("api", "host"), message, "put a proxy with TLS before it, or use 127.0.0.1", warning=True)


def _kafka(log: LogConfig, examined: Examined) -> Iterator[Problem]:
    if log.engine == "kafka":
        if log.insecure:
            message = "everything goes to Kafka in plain text and without a principal: whoever is on this machine can read and write it"
            yield examined.document.problem(("log", "insecure"), message, "add a 'security' section for anything but trials", warning=True)
        return
    if idle := [name for name in ("bootstrap", "security", "insecure", "edge") if name in log.model_fields_set]:
        message = f"{', '.join(map(repr, idle))} say how Kafka is reached, but the engine is {log.engine!r}"
        yield examined.document.problem(("log", idle[0]), message, "write 'engine: kafka', or remove them", warning=True)


def _form(config: SiteConfig, examined: Examined) -> Iterator[Problem]:
    """Yield what the plant's envelope cannot say of this site."""
    if config.log.form != "json":
        return
    if config.log.layout != "isa95":
        message = f"envelopes are what the topics of layout 'isa95' carry; the layout is {config.log.layout!r}"
        yield examined.document.problem(("log", "form"), message, "write 'layout: isa95', or 'form: single' for one Avro record a reading")
    for placed in examined.sources:
        for position, tag in enumerate(placed.source.tags):
            if tag.path.count(".") != _ENVELOPE_PARTS - 1:
                message = f"tag {tag.path} cannot be an envelope, which names plant, area, unit and tag"
                mend = "give the path these four parts; its readings are written as blocks until then"
                yield examined.document.problem((*placed.location, "tags", position, "path"), message, mend, warning=True)
    for position, gateway in enumerate(config.gateways):
        if not gateway.id[-1].isdigit():
            message = f"gateway {gateway.id!r} has no number at the end of its id: its envelopes say node 0"
            yield examined.document.problem(("gateways", position, "id"), message, "an id such as 'node-042' tells the node", warning=True)


def _brokers(config: SiteConfig, examined: Examined) -> Iterator[Problem]:
    """Yield why the lab's brokers could not be those that the site uses."""
    brokers = config.lab.kafka_brokers if config.lab is not None else 0
    place: Location = ("lab", "kafka_brokers")
    if not brokers:
        return
    if config.log.engine != "kafka":
        message = f"the lab would run Kafka, but the site log's engine is {config.log.engine!r}"
        yield examined.document.problem(place, message, "write 'engine: kafka' with 'bootstrap' under 'log', or remove this")
        return
    where = addresses(config.log.bootstrap)
    if len(where) != brokers or not all(is_loopback(host) for host, _ in where):
        message = f"{brokers} brokers of the lab need as many addresses on this machine; log.bootstrap is {config.log.bootstrap!r}"
        example = ",".join(f"127.0.0.1:{19092 + node}" for node in range(brokers))
        yield examined.document.problem(("log", "bootstrap"), message, f"write 'bootstrap: {example}'")
    if (config.log.security is not None) == (brokers == 1):
        message = "one broker of the lab speaks plain text" if brokers == 1 else "three brokers of the lab are secured"
        mend = "replace 'security' by 'insecure: true'" if brokers == 1 else "replace 'insecure' by 'security' for the user 'site'"
        yield examined.document.problem(place, message, mend)


def _members(config: SiteConfig, examined: Examined) -> Iterator[Problem]:
    """Yield the members that would never get a partition."""
    for section, members in (("historian", config.historian.members), ("validation", config.validation.members)):
        if (idle := members - config.log.partitions) > 0:
            message = f"{members} members share {config.log.partitions} partitions of each telemetry topic: {idle} will be idle"
            mend = f"write 'members: {config.log.partitions}' or fewer; the number of partitions is chosen before the first start (PD-18)"
            yield examined.document.problem((section, "members"), message, mend, warning=True)


def _certificates(log: LogConfig, examined: Examined, directory: Path) -> Iterator[Problem]:
    if log.engine != "kafka":
        return
    sections: list[tuple[Location, KafkaSecurity | None]] = [(("log", "security"), log.security)]
    if log.edge is not None:
        sections.append((("log", "edge", "central", "security"), log.edge.central.security))
    for location, security in sections:
        for name in ("ca", "certificate", "key") if security is not None else ():
            text = getattr(security, name)
            if not text:
                continue
            file = directory / Path(text).expanduser()
            try:
                file.open("rb").close()
            except OSError as error:
                message = f"{file} cannot be read: {(error.strerror or str(error)).lower()}"
                yield examined.document.problem((*location, name), message, "name a PEM file that this user may read")


def _secrets(examined: Examined, store: SecretStore) -> Iterator[Problem]:
    for location, text in texts(examined.document.data):
        for reference in references(text):
            if scheme_of(reference) not in SCHEMES:
                continue
            try:
                store.resolve(reference)
            except SecretUnavailable as error:
                message, _, mend = str(error).rpartition(": ")
                yield examined.document.problem(location, message, mend)


def _keys(config: SiteConfig, examined: Examined, store: SecretStore) -> Iterator[Problem]:
    for position, gateway in enumerate(config.gateways):
        if gateway.buffer.encryption is None:
            continue
        with suppress(SecretUnavailable):  # told with the other references
            text = store.resolve(gateway.buffer.encryption.key)
            try:
                key_bytes(text)
            except Misconfigured as error:
                message, _, mend = str(error).partition(": ")
                yield examined.document.problem(("gateways", position, "buffer", "encryption", "key"), message, mend)


def _data_dir(examined: Examined, data_dir: Path) -> Iterator[Problem]:
    place: Location = ("data_dir",)
    mend = "choose a directory on a local disk that this user may write, with 'data_dir'"
    existing = data_dir
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        yield examined.document.problem(place, f"{existing} is not a directory", mend)
        return
    try:
        # modes do not tell all (read-only mounts, quotas, a superuser): a file without a name does, and leaves nothing behind
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        yield examined.document.problem(place, f"{existing} is not writable: {(error.strerror or str(error)).lower()}", mend)


def _stamp(examined: Examined, config: SiteConfig, data_dir: Path) -> Iterator[Problem]:
    try:
        stamp = read_stamp(data_dir)
    except StampUnreadable as error:
        yield examined.document.problem(("data_dir",), str(error), "restore it from a backup, or choose another data_dir")
        return
    if stamp is None:
        return
    now = Stamp.of(config)
    if stamp.site != now.site:
        message = f"{data_dir} holds the data of site {stamp.site!r}"
        yield examined.document.problem(("site",), message, f"use another data_dir, or write 'site: {stamp.site}'")
    if stamp.partitions != now.partitions:
        message = f"partitions is {now.partitions}, the data in {data_dir} has {stamp.partitions}: fixed for life (PD-18)"
        yield examined.document.problem(("log", "partitions"), message, f"write 'partitions: {stamp.partitions}'")
    if stamp.layout != now.layout:
        message = f"layout is {now.layout!r}, but the data in {data_dir} was written with {stamp.layout!r}"
        yield examined.document.problem(("log", "layout"), message, f"write 'layout: {stamp.layout}'")
