"""`trunkline drill bad-link`, as users call it, in its short form."""

from pathlib import Path

import pytest
from tests.drills.support import drill

from trunkline.drills.link import BadLog
from trunkline.drills.order import Arrivals, arrivals
from trunkline.drills.weather import Line, Weather, clear_weather, read_tolls, write_weather
from trunkline.log.codec.head import BACKLOG, HEADER, BlockHead, Tally, encode_head
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, Topic
from trunkline.log.topics import Layout
from trunkline.model.errors import RetryLater
from trunkline.model.reading import Category

#: A drill gives up by itself once nothing moves.
pytestmark = pytest.mark.timeout(310)


def test_nothing_is_lost_doubled_or_put_out_of_order(tmp_path: Path) -> None:
    """W-16, W-100, PD-3, PD-4: slow, cut, hanging, and one call in eight is lost, every other append after the site had it."""
    report = tmp_path / "drill.html"
    link = ("--bandwidth", "2000", "--latency", "20", "--loss", "12", "--hangs", "2")
    fed = ("--days", "0.004", "--period", "0.2", "--tags", "50")
    code, told, text = drill("bad-link", *fed, *link, "--seed", "3", "--report", str(report))
    assert code == 0, (told, text)
    assert (told["drill"], told["seed"], told["cuts"], told["passed"]) == ("bad-link", 3, 2, True)
    assert told["readings"] == told["acknowledged"] == told["stored"] == 0.004 * 86_400 * 5 * 50 + told["live_readings"]
    assert told["live_readings"] > 0
    assert [told[name] for name in ("lost", "doubled", "invented", "changed", "dropped", "rejected", "inversions")] == [0] * 7
    assert min(told["lost_calls"], told["lost_answers"], told["repeated"], told["goodput"]) > 0
    assert told["ledger_balanced"]
    assert "seed 3" in text
    page = report.read_text()
    assert "goodput" in page
    assert page.count("<svg") == 5


def test_what_comes_twice_under_another_name_is_noticed() -> None:
    """W-128: after more readings than validation remembers, only the identity tells a repeat; the drill is shown a link that changes it."""
    link = ("--bandwidth", "20000", "--latency", "0", "--loss", "2", "--hangs", "0")
    code, told, text = drill("bad-link", "--days", "0.05", "--tags", "100", *link, "--sabotage", "twice")
    assert code == 0, (told, text)
    assert told["caught"]
    assert told["doubled"] > 0
    assert told["lost"] == 0


def weather(**more: float) -> Weather:
    return Weather(**{"seed": 7, "bandwidth": 1_000_000, "latency": 0, "loss": 0, "hangs": 0, "hang_seconds": 0, **more})  # type: ignore[arg-type]


def test_a_lost_answer_is_of_an_append_that_was_made(tmp_path: Path) -> None:
    """The caller hears of a failure either way; the log has the records of the lost answers, and of the lost calls nothing."""
    write_weather(tmp_path, weather(loss=1.0))
    (tmp_path / "link").touch()
    with Journal(tmp_path / "site.db") as site:
        site.create([Topic("raw")])
        log = BadLog(site, tmp_path / "link", Line(weather(loss=1.0), tmp_path))
        for number in range(40):
            with pytest.raises(RetryLater, match="the link lost"):
                log.append("raw", [Record(b"%d" % number)])
        tolls = read_tolls(tmp_path)
        assert (tolls.calls, tolls.lost_calls, tolls.lost_answers) == (40, 20, 20)
        assert sum(end for _, end in site.bounds("raw").values()) == tolls.lost_answers
        clear_weather(tmp_path)
        log.append("raw", [Record(b"fair")])
        (tmp_path / "link").unlink()
        with pytest.raises(RetryLater, match="cut"):
            log.topics()


def test_order_is_told_apart_from_repeats_and_from_a_backlog(tmp_path: Path) -> None:
    """Live readings may pass the backlog, and a repeat may come late; anything else that comes late is out of order."""
    layout = Layout("gateway", 1)
    (topic,) = layout.topics(Category.TELEMETRY, "raw")

    def block(lo: int, hi: int, *, waited: bool = False) -> Record:
        head = encode_head(BlockHead("edge", lo, hi, (Tally("plc", 0, hi - lo),)))
        return Record(b"", headers=((HEADER, head), *(((BACKLOG, b"1"),) if waited else ())), partition=0)

    with Journal(tmp_path / "site.db") as site:
        site.create([Topic(topic)])
        site.append(
            topic, [block(0, 10), block(50, 60), block(10, 20, waited=True), block(0, 10), block(60, 70), block(20, 30, waited=True)]
        )
        assert arrivals(site, layout) == Arrivals(inverted=0, repeated=10)
        site.append(topic, [block(40, 50), block(30, 40, waited=True)])
        assert arrivals(site, layout) == Arrivals(inverted=10, repeated=10)
