import json
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from tests.cli.support import trunkline
from tests.historian.support import PLACE, Edge, flush_of, reading

from trunkline.config.rollups import RollupsConfig
from trunkline.historian.rollup.roller import Roller
from trunkline.historian.rollup.settings import Settings
from trunkline.historian.rollup.tiers import day_of
from trunkline.historian.writer import Writer
from trunkline.model import times

TAG = "PLANT01.AREA01.UNIT_01.FLOW_RATE"


@pytest.fixture
def site(conninfo: str, tmp_path: Path) -> Path:
    """A site file whose database has six hours of one tag, rolled up."""
    file = tmp_path / "site.yaml"
    file.write_text(f"site: test\ntimezone: Europe/Oslo\nhistorian: {{dsn: {json.dumps(conninfo)}}}\n")
    config = RollupsConfig(grace_seconds=0, repair_seconds=0)
    zone = ZoneInfo("Europe/Oslo")
    begin = day_of(zone, times.now() - 3 * times.DAY) + 6 * times.HOUR
    with Writer(conninfo) as writer, Roller(conninfo, Settings(config), zone) as roller:
        writer.take_over([PLACE])
        writer.write(flush_of([Edge().block([reading(TAG, begin + place * times.MINUTE, float(place % 60)) for place in range(360)])]))
        roller.run_once()
    return file


def test_show_and_check(site: Path, conninfo: str) -> None:
    """W-90, E-74: rollups from the command line; the check exits 1 when a row is not what the readings say, and names it."""
    found = trunkline("rollups", "show", site, TAG, "--tier", "1h", "--from", "5d", "--json")
    status, rows = found.code, found.documents
    assert status == 0
    assert rows[-1] == {"tag": TAG, "tier": "1h", "unit": "", "buckets": 7}
    assert (rows[0]["n"], rows[0]["avg"], rows[0]["max"], rows[0]["percent_good"]) == (60, 29.5, 59.0, 100.0)
    found = trunkline("rollups", "show", site, TAG, "--tier", "1day", "--from", "5d", "--json")
    status, rows = found.code, found.documents
    assert (status, len(rows), rows[0]["n"]) == (0, 2, 360)
    found = trunkline("rollups", "check", site, "--json")
    status, rows = found.code, found.documents
    assert (status, rows[-1]["differences"], rows[-1]["passed"], rows[-1]["behind"]) == (0, 0, True, 0)
    assert rows[-1]["buckets"] == 360 + 9 + 7 + 1
    with psycopg.connect(conninfo) as connection:
        connection.execute("UPDATE historian.rollup SET max = max + 1 WHERE tier = 4 AND n = 60")
    found = trunkline("rollups", "check", site, "--tag", TAG, "--from", "5d", "--json")
    status, rows = found.code, found.documents
    assert status == 1
    assert {(one["tier"], one["statistic"], one["stored"], one["computed"]) for one in rows[:-1]} == {("1h", "max", 60.0, 59.0)}
    assert trunkline("rollups", "check", site).code == 1
    assert trunkline("rollups", "show", site, TAG, "--from", "5d").code == 0


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("show", "{site}", "NO.TAG"), 1),
        (("show", "{site}", TAG, "--tier", "5min"), 2),
        (("check", "{site}", "--tag", "NO.TAG"), 2),
        (("check", "{site}", "--from", "yesterday"), 2),
    ],
)
def test_mistakes_have_their_own_exit_status(site: Path, arguments: tuple[str, ...], status: int) -> None:
    assert trunkline("rollups", *(one.format(site=site) for one in arguments)).code == status
