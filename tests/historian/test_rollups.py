import random
from zoneinfo import ZoneInfo

import psycopg
from tests.historian.support import PLACE, START, Edge, flush_of, reading

from trunkline.config.rollups import RollupsConfig
from trunkline.historian.rollup.check import check
from trunkline.historian.rollup.roller import Roller
from trunkline.historian.rollup.settings import Settings
from trunkline.historian.writer import Writer
from trunkline.model import times
from trunkline.model.quality import Quality

CONFIG = RollupsConfig.model_validate(
    {
        "grace_seconds": 0,
        "repair_seconds": 0,
        "tags": [{"tags": ["COUNTER"], "counter": {"rollover": 1000}}, {"tags": ["A"], "tiers": ["1s", "10s"], "hold_seconds": 100}],
    }
)
ZONE = ZoneInfo("Asia/Kolkata")


def test_walk(conninfo: str) -> None:
    rng = random.Random(3)
    edge = Edge()
    with Writer(conninfo) as writer, Roller(conninfo, Settings(CONFIG), ZONE) as roller:
        writer.take_over([PLACE])
        for part in range(10):
            readings = []
            for tag in ("A", "B", "COUNTER"):
                for place in range(200):
                    at = START + part * 3 * times.HOUR + rng.randrange(3 * times.HOUR)
                    readings.append(reading(tag, at, rng.choice([rng.gauss(50, 10), None]), rng.choice([Quality.GOOD, Quality.GOOD, Quality.UNCERTAIN, Quality.BAD])))
            writer.write(flush_of([edge.block(readings)]))
        done = roller.run_once(now=START + 3 * times.DAY)
        print(done)
        again = roller.run_once(now=START + 3 * times.DAY)
        print(again)
        import time
        t=time.time(); report = check(conninfo, CONFIG, ZONE); print(time.time()-t, report.tags, report.buckets, report.behind, len(report.differences))
        for d in report.differences[:20]: print(d)
        with psycopg.connect(conninfo) as c:
            print(c.execute("select tier, count(*), max(revision) from historian.rollup group by 1 order by 1").fetchall())
            print(c.execute("select tier, start, stop from historian.rollup_due").fetchall())
            cur = c.execute("select * from rollup('A', '1day', '2026-01-01', '2027-01-01') order by 1 ")
            print([d.name for d in cur.description]); 
            
