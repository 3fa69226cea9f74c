import itertools
import math
import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.historian.support import PLACE, START, Edge, flush_of, reading

from trunkline.historian.reader import Reader
from trunkline.historian.writer import Writer
from trunkline.model import times
from trunkline.model.reading import INT64_MAX, INT64_MIN, Kind, Reading, Value

LAST_TIME = 7_258_118_400 * times.SECOND  # 2200-01-01
SHORT = st.integers(-(10**7), 10**7).flatmap(lambda whole: st.integers(0, 6).map(lambda places: whole / 10**places))
DOUBLES = st.one_of(
    st.floats(allow_nan=False), SHORT, st.sampled_from([-0.0, 0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308])
)
VALUES: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.DOUBLE: st.one_of(st.none(), DOUBLES),
    Kind.INTEGER: st.one_of(
        st.none(), st.integers(INT64_MIN, INT64_MAX), st.integers(-5, 5), st.sampled_from([INT64_MIN, INT64_MAX, -(2**31), 2**31])
    ),
    Kind.BOOLEAN: st.one_of(st.none(), st.booleans()),
    Kind.TEXT: st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30), st.just("")),
}
TIMES = st.one_of(
    st.integers(times.EARLIEST, times.EARLIEST + times.DAY),
    st.integers(LAST_TIME - times.DAY, LAST_TIME),
    st.integers(0, 7200).map(lambda second: START + second * times.SECOND),
    st.integers(0, 3 * times.HOUR).map(lambda offset: START + offset),
)


_examples = itertools.count(1)


def bits(value: Value) -> object:
    """Tell -0.0 from 0.0 and 1 from 1.0 and True."""
    return (type(value), struct.pack(">d", value)) if isinstance(value, float) else (type(value), value)


def seen(readings: list[Reading]) -> list[tuple[int, object, int]]:
    return sorted(((one.source_time or 0, bits(one.value), one.quality) for one in readings), key=repr)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_what_is_written_is_read_bit_by_bit(conninfo: str, data: st.DataObject) -> None:
    """P-12, P-13, PD-26, PD-27: every value of every kind, every 16-bit quality, any order of time, over several flushes."""
    number = next(_examples)
    kinds = {f"PLANT{number}.{kind.name}": kind for kind in Kind}
    one = st.sampled_from(sorted(kinds)).flatmap(lambda tag: st.tuples(st.just(tag), TIMES, VALUES[kinds[tag]], st.integers(0, 0xFFFF)))
    batches = data.draw(st.lists(st.lists(one.map(lambda row: reading(*row)), min_size=1, max_size=40), min_size=1, max_size=3))
    with Writer(conninfo) as writer, Reader(conninfo, connections=1) as reader:
        edge = Edge(f"edge-{number}", kinds=kinds)
        writer.take_over([PLACE])
        for batch in batches:
            outcome = writer.write(flush_of([edge.block(batch)]))
            assert outcome.stored == len(batch)
        for tag in {one.tag for batch in batches for one in batch}:
            raw = reader.raw(tag, times.EARLIEST, LAST_TIME + 1)
            found = [
                Reading(tag, value, quality, time, time)
                for time, value, quality in zip(raw.time.tolist(), raw.values(), raw.quality.tolist(), strict=True)
            ]
            assert seen(found) == seen([one for batch in batches for one in batch if one.tag == tag])
            assert raw.time.tolist() == sorted(raw.time.tolist())
        assert reader.audit() == []


def test_a_megabyte_of_text_and_every_extreme(conninfo: str) -> None:
    """Bad input of issue 3: long strings are data; extremes of each kind survive."""
    kinds = {"T": Kind.TEXT, "I": Kind.INTEGER, "D": Kind.DOUBLE}
    long = "ж🙂x" * 350_000
    given_values: dict[str, list[Value]] = {
        "T": [long, "", None, "'; DROP TABLE x; --", "\\N\t\n"],
        "I": [INT64_MIN, INT64_MAX, None, 0, -1],
        "D": [-0.0, 5e-324, math.inf, -math.inf, 1e308, None, 0.1],
    }
    edge = Edge(kinds=kinds)
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        for tag, values in given_values.items():
            writer.write(flush_of([edge.block(reading(tag, START + place, value) for place, value in enumerate(values))]))
        for tag, values in given_values.items():
            assert [bits(value) for value in reader.raw(tag, START, START + 100).values()] == [bits(value) for value in values]
            (latest,) = reader.latest([tag])
            assert bits(latest.value) == bits(values[-1])
