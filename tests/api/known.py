"""What the site of the read-only tests holds."""

from tests.api.support import ORIGIN, Plant, kind_of, wait_for

from trunkline.historian.catalogue import SeriesInfo
from trunkline.ledger.status import BufferStatus, EdgeCount, GatewayStatus, LinkStatus, SourceStatus
from trunkline.model import times
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.identity import uuid7
from trunkline.model.quality import Quality
from trunkline.model.reading import Category, Reading
from trunkline.processing.deadletter import DeadLetter, encode_dead_letter

#: A whole hour, recent enough for every default and old enough to be over.
START = times.hour_of(times.now()) * times.HOUR - 6 * times.HOUR
FLOW = "PLANT01.AREA02.UNIT_05.FLOW_RATE"
COUNTER = "PLANT01.AREA02.UNIT_05.COUNTER"
RUNNING = "PLANT01.AREA02.UNIT_06.RUNNING"
MODE = "PLANT01.AREA03.UNIT_01.MODE"
TAGS = sorted([FLOW, COUNTER, RUNNING, MODE])
BIG = 2**60 + 1
READINGS = 600
DEAD_LETTERS = 25
GATEWAY = "edge-1"


def reading(tag: str, second: int, value: float | str | None, quality: int = Quality.GOOD) -> Reading:
    time = START + second * times.SECOND
    return Reading(tag, value, quality, time, time + 1000)


def readings() -> list[Reading]:
    """Ten minutes of flow, one a second, with one BAD reading at 300 s; a little of the others."""
    flow = [reading(FLOW, second, float(second)) for second in range(READINGS) if second != 300]
    flow.insert(300, reading(FLOW, 300, None, Quality.BAD_COMMS_LOST))
    rest = [
        reading(COUNTER, 0, 1),
        reading(COUNTER, 1, BIG),
        reading(RUNNING, 0, value=True),
        reading(MODE, 0, "auto"),
        reading(MODE, 9, "hand"),
    ]
    return [*flow, *rest]


def events() -> list[Event]:
    """Ten events and one alarm, a second apart."""
    found: list[Event] = [
        Event(
            id=str(uuid7()),
            type="UNIT_START",
            time=START + second * times.SECOND,
            gateway_time=START + second * times.SECOND,
            asset="PLANT01.AREA02.UNIT_05",
            text=f"Unit 5 started, try {second}",
            before="stopped",
            after="running",
            attributes={"operator": "maria", "count": BIG},
        )
        for second in range(10)
    ]
    return found


def alarm() -> Alarm:
    time = START + 20 * times.SECOND
    return Alarm(
        id=str(uuid7()), type="HIGH_FLOW", time=time, gateway_time=time, asset="PLANT01.AREA02.UNIT_05", tag="FLOW_RATE",
        severity=AlarmSeverity.HIGH, value=512.5, threshold=500.0, unit="m³/h", text="Flow is high",
    )  # fmt: skip


def status(at_us: int, read: int) -> GatewayStatus:
    source = SourceStatus("plc", "modbus", "connected", START, at_us, read, 0, 1.0, None, 4, 0)
    counts = [EdgeCount("plc", "telemetry", times.hour_of(START), read, read, 0)]
    return GatewayStatus(
        GATEWAY, ORIGIN, at_us, "0.1.0", [source], BufferStatus(0, 4096, None, 10**10), LinkStatus("up", START, None), counts
    )


def fill(plant: Plant) -> None:
    """Put everything into log and historian, and wait until the API knows it."""
    told = readings()
    plant.feeder.feed(told)
    report = status(times.now(), len(told))
    plant.feeder.status(report)
    infos = {
        tag: SeriesInfo(kind_of(tag), "m³/h" if tag == FLOW else "", f"what {tag.rpartition('.')[2].lower()} is", GATEWAY, "plc", 0, 1000)
        for tag in TAGS
    }
    plant.feeder.store([*events(), alarm()], [report], infos)
    topic = plant.services.layout.topic(Category.TELEMETRY, "dead")
    for number in range(DEAD_LETTERS):
        letter = DeadLetter(
            reason=f"range: {number} is above 0", topic="telemetry.raw", partition=0, offset=number, at_us=START + number, gateway=ORIGIN,
            source="plc", tag=FLOW, value=float(number), time_us=START,
        )  # fmt: skip
        plant.services.log.append(topic, [encode_dead_letter(letter, b"\x00original", "single")])
    wait_for(lambda: all(tag in plant.services.hub.cache for tag in TAGS), "live values arrive")
    wait_for(plant.services.board.gateways, "the gateway's report arrives")
