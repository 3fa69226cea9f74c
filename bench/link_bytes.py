"""`python -m bench.link_bytes`: bytes on the link to Kafka for each reading, by form and compression; one JSON object a line.

The feed is a small plant of 100 tags, read once a second: 80 measurements with two decimals that wander about their setpoints, 8 counters,
10 switches and 2 texts, with times a few ms off the second. `live` sends each second's records when it is over, as a gateway does;
`gathered` does so every ten seconds (`buffer.linger_ms: 10000`); `backlog` sends ten minutes of the records of `live` in appends of up to a
million bytes, as after an outage.

What is counted is what librdkafka says that it wrote to its connections: compressed batches and what the protocol adds. The brokers are its
own stand-ins on loopback, which take every batch as it is: for bytes on this side of the connection they are as good as real ones.
"""

import json
import random
import resource
import time
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from trunkline.config.site import LogConfig
from trunkline.log.codec.forms import Forms
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.kafka.producing import BatchProducer
from trunkline.log.kafka.records import Outgoing
from trunkline.log.kafka.settings import Connection
from trunkline.log.layouts.spec import Form
from trunkline.log.opening import layout_of
from trunkline.log.port import Record, StoredRecord
from trunkline.log.uplink import STATISTICS_MS, Uplink
from trunkline.model import times
from trunkline.model.reading import Category, Kind, Reading, Value

FORMS: Final[tuple[Form, ...]] = ("block", "single", "json")
COMPRESSIONS: Final = ("none", "snappy", "lz4", "zstd", "gzip")
LIVE_SECONDS: Final = 120
BACKLOG_SECONDS: Final = 600
START: Final = 1_795_000_000 * times.SECOND
APPEND_BYTES: Final = 1_000_000
CONFIG: Final = LogConfig(engine="kafka", bootstrap="127.0.0.1:1", insecure=True, profile="development", partitions=4)
TOPIC: Final = layout_of(CONFIG).topic(Category.TELEMETRY, "raw")


def signals() -> Iterator[tuple[str, Kind, Iterator[Value]]]:
    """Yield path, kind and values of each tag."""
    for number in range(100):
        unit = f"PLANT01.AREA{number // 50:02}.UNIT_{number // 10:02}"
        chance = random.Random(number)
        if number % 10 < 8:
            name = ("FLOW_RATE", "PRESSURE", "TEMPERATURE", "LEVEL", "VIBRATION", "SPEED", "CURRENT", "POWER")[number % 10]
            yield f"{unit}.{name}", Kind.DOUBLE, wander(chance)
        elif number % 10 == 8:
            yield f"{unit}.RUNNING", Kind.BOOLEAN, switch(chance)
        elif number % 50 == 49:
            yield f"{unit}.MODE", Kind.TEXT, ("AUTO" if chance.random() < 0.98 else "MANUAL" for _ in iter(int, 1))
        else:
            yield f"{unit}.TOTAL", Kind.INTEGER, count(chance)


def wander(chance: random.Random) -> Iterator[float]:
    """Yield a value about its setpoint, with two decimals as a transmitter gives it."""
    setpoint = value = chance.uniform(5, 400)
    while True:
        value += 0.1 * (setpoint - value) + chance.gauss(0, setpoint * 0.002)
        yield round(value, 2)


def switch(chance: random.Random) -> Iterator[bool]:
    """Yield a state that seldom changes."""
    state = True
    while True:
        state ^= chance.random() < 0.005
        yield state


def count(chance: random.Random) -> Iterator[int]:
    """Yield a counter that goes on by a few."""
    total = chance.randrange(10**6)
    while True:
        total += chance.randrange(5)
        yield total


def feed(seconds: int, gathered: int = 1) -> list[list[StoredRecord]]:
    """Return the edge journal's records of each durable write, of so many seconds each."""
    chance = random.Random(7)
    tags = [(TagSlot.of(path, "plc", kind, CONFIG.partitions), values) for path, kind, values in signals()]
    covered: dict[int, int] = {}
    seq, made = 0, []
    for start in range(0, seconds, gathered):
        readings = []
        for second in range(start, start + gathered):
            read = START + second * times.SECOND + chance.randrange(20_000)
            readings += [(slot, Reading(slot.path, next(values), 0, read - chance.randrange(5000), read)) for slot, values in tags]
        blocks, seq = write_blocks("01997d5e-0000-7000-8000-000000000001", seq, covered, readings)
        for block in blocks:
            covered[block.partition or 0] = seq
        made.append([StoredRecord(TOPIC, one.partition or 0, start, read, one.key, one.value, one.headers) for one in blocks])
    return made


def appends(seconds: list[list[StoredRecord]], form: Form, *, live: bool) -> Iterator[list[Record]]:
    """Yield what is sent at once."""
    forms = Forms(form)
    if live:
        for blocks in seconds:
            yield [record for several in forms.telemetry(blocks) for record in several]
        return
    blocks = [block for several in seconds for block in several]
    records = [record for several in forms.telemetry(blocks) for record in several]
    reached = 0

    def turn(record: Record) -> int:
        nonlocal reached
        reached += len(record.value) + 100
        return reached // APPEND_BYTES

    for _, several in groupby(records, turn):
        yield list(several)


def bytes_on_link(batches: list[list[Record]], compression: str) -> tuple[int, float]:
    """Return what the client wrote, and the processor seconds of this process while it did."""
    uplink = Uplink(compression)
    connection = Connection(CONFIG)
    connection.settings |= {"test.mock.num.brokers": 1}
    producer = BatchProducer(connection, uplink)
    began = resource.getrusage(resource.RUSAGE_SELF)
    for records in batches:
        producer.append([Outgoing(TOPIC, record.partition or 0, record) for record in records])
    ended = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(4):
        time.sleep(STATISTICS_MS / 1000)
        uplink.serve()
    producer.close()
    return uplink.sent_bytes, (ended.ru_utime + ended.ru_stime) - (began.ru_utime + began.ru_stime)


def main() -> None:
    """Measure every form and compression."""
    feeds = {"live": feed(LIVE_SECONDS), "gathered": feed(LIVE_SECONDS, 10), "backlog": feed(BACKLOG_SECONDS)}
    for way, writes in feeds.items():
        readings = 100 * (BACKLOG_SECONDS if way == "backlog" else LIVE_SECONDS)
        for form in FORMS:
            batches = list(appends(writes, form, live=way != "backlog"))
            for compression in COMPRESSIONS:
                sent, cpu = bytes_on_link(batches, compression)
                figures = {"bytes_per_reading": round(sent / readings, 2), "cpu_us_per_reading": round(cpu / readings * 1e6, 2)}
                print(json.dumps({"way": way, "form": form, "compression": compression, **figures}), flush=True)


if __name__ == "__main__":
    main()
