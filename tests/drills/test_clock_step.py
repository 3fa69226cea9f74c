"""`trunkline drill clock-step`, as users call it, in its short form."""

from pathlib import Path

import numpy as np
import pytest
from tests.drills.support import drill

from trunkline.drills.clocks import Turn, ahead
from trunkline.drills.clockstep import parse_steps
from trunkline.drills.feed import Feed
from trunkline.log.codec.slots import TagSlot
from trunkline.model import times
from trunkline.model.errors import Misconfigured
from trunkline.model.reading import Kind

#: A drill gives up by itself once nothing moves.
pytestmark = pytest.mark.timeout(310)

SITE = """\
site: rig
gateways:
  - id: rig-1
    sources:
      - id: plc
        type: simulated
        tags:
          - {path: RIG.PUMP.PRESSURE}
          - {path: RIG.PUMP.RUNS, kind: boolean, signal: {shape: square}}
      - id: well
        type: simulated
        tags:
          - {path: RIG.PUMP.STARTS, kind: integer, signal: {shape: counter}}
          - {path: RIG.PUMP.STATE, kind: text, signal: {shape: cycle}}
"""


def test_clocks_step_and_nothing_is_lost_doubled_or_doubted_for_long(tmp_path: Path) -> None:
    """D-14, D-15, W-105 to W-107, W-109 to W-111: each clock an hour ahead and back, a cut on the way; a report; tags of every kind."""
    file, report = tmp_path / "site.yaml", tmp_path / "drill.html"
    file.write_text(SITE)
    code, told, text = drill("clock-step", str(file), "--hold", "2", "--seed", "3", "--report", str(report))
    assert code == 0, (told, text)
    assert (told["drill"], told["seed"], told["cuts"], told["steps"], told["steps_told"]) == ("clock-step", 3, 1, 2, 2)
    assert told["readings"] == told["acknowledged"] == told["stored"] == 864 * 4 + told["live_readings"]
    assert told["live_readings"] > 0
    assert [told[name] for name in ("lost", "doubled", "invented", "changed", "dropped", "rejected", "inversions")] == [0] * 7
    assert told["skew_alerts"] > 0
    assert 0 < told["doubted"] < told["live_readings"]
    assert told["live_p99_s"] < 600, "an hour that a clock leapt over is no delay"
    assert told["ledger_balanced"]
    assert "seed 3" in text
    page = report.read_text()
    assert "steps of the gateway's clock" in page
    assert page.count("<svg") == 6


def test_readings_stamped_by_the_wrong_clock_are_noticed() -> None:
    """W-107: history is by the devices' time; the drill is shown a gateway that puts its own in its place, first back, then ahead."""
    code, told, _ = drill("clock-step", "--tags", "5", "--hold", "1", "--steps", "-30m,+1h", "--sabotage", "stamp")
    assert code == 0
    assert told["caught"]
    assert told["steps_told"] == 3
    assert told["invented"] > 0
    assert told["lost"] == told["invented"]


@pytest.mark.parametrize(
    ("text", "words"), [("1h", "'1h' is no step"), ("+1h,", "'' is no step"), ("+5s", "5 s off"), ("+12h,+12h", "86400 s off")]
)
def test_steps_that_say_nothing_are_refused(text: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        parse_steps(text)
    code, _, said = drill("clock-step", "--steps", text)
    assert code == 2
    assert words in said.replace("\n", " ")


def test_a_feed_knows_what_its_devices_clock_showed() -> None:
    """Between two turns a clock is as far off as it was set; when a step is due does not depend on it."""
    turns = (Turn(1000, 50), Turn(2000, 0))
    assert ahead(turns, np.array([999, 1000, 1999, 2000])).tolist() == [0, 50, 50, 0]
    assert parse_steps("+1h, -90m,+30s") == [3600 * times.SECOND, -5400 * times.SECOND, 30 * times.SECOND]
    feed = Feed([TagSlot.of("P.T", "plc", Kind.BOOLEAN, 1)], 7, 500, 0, 1, 1000)
    feed.turns = turns
    assert feed.time(np.arange(5)).tolist() == [0, 1050, 1550, 2000, 2500]
    assert feed.moment(1) == 1000
    assert all(type(value) is bool for value in feed.values(0, np.arange(5)))
