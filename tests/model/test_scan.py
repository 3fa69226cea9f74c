"""A scan is its readings, one by one."""

import numpy as np
import pytest

from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Reading
from trunkline.model.scan import Roster, Scan

ROSTER = Roster(("T.D", "T.I", "T.B", "T.T"), (Kind.DOUBLE, Kind.INTEGER, Kind.BOOLEAN, Kind.TEXT))
TIMES = np.array([5, 6, 7, 8])


def test_values_have_the_kind_of_their_tag() -> None:
    scan = Scan(ROSTER, TIMES, np.array([1.5]), np.array([2**53 + 1, 1]), ("läuft",))
    assert len(scan) == 4
    assert list(scan) == [
        Reading("T.D", 1.5, 0, None, 5),
        Reading("T.I", 2**53 + 1, 0, None, 6),
        Reading("T.B", True, 0, None, 7),
        Reading("T.T", "läuft", 0, None, 8),
    ]
    assert [type(reading.value) for reading in scan] == [float, int, bool, str]
    assert scan[1].tag == "T.I"
    assert [reading.tag for reading in scan[2:]] == ["T.B", "T.T"]
    assert scan


def test_what_is_absent_has_no_value_whatever_stands_there() -> None:
    gone = np.array([True, False, True, True])
    bad = np.where(gone, Quality.BAD_TIMEOUT, 0)
    scan = Scan(ROSTER, TIMES, np.array([1.5]), np.array([7, 1]), ("old",), bad, gone)
    assert [(reading.value, reading.quality) for reading in scan] == [
        (None, Quality.BAD_TIMEOUT),
        (7, Quality.GOOD),
        (None, Quality.BAD_TIMEOUT),
        (None, Quality.BAD_TIMEOUT),
    ]


@pytest.mark.parametrize(("tags", "kinds"), [(("A", "A"), (Kind.DOUBLE, Kind.DOUBLE)), (("A",), ())])
def test_a_roster_names_each_tag_once_with_its_kind(tags: tuple[str, ...], kinds: tuple[Kind, ...]) -> None:
    with pytest.raises(ValueError, match="each tag once"):
        Roster(tags, kinds)
