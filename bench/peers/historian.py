"""`python -m bench.peers.historian BOOTSTRAP LAYOUT PARTITIONS MEMBER CONNINFO SECONDS [rows]`: one member of the historian's group.

The role as `trunkline run historian` runs it, alone in its process. Tells after every commit how many readings it has stored, and when;
stops when its input ends, and tells what it has cost.
"""

import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Final

import structlog

from bench.processes import cost_of
from trunkline.config.site import HistorianConfig, LogConfig
from trunkline.historian.role import HistorianStatus, run_historian
from trunkline.log.opening import layout_of, open_site_log
from trunkline.supervisor.collector import set_collector

_WATCH_SECONDS: Final = 0.002


def store(bootstrap: str, layout: str, partitions: int, member: str, conninfo: str, settings: HistorianConfig) -> None:
    """Store until the input ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    set_collector()
    config = LogConfig(
        engine="kafka",
        bootstrap=bootstrap,
        partitions=partitions,
        layout=layout,
        profile="development",
        insecure=True,
        retention_hours=1_000_000,
    )
    status, stop = HistorianStatus(), threading.Event()

    def watch() -> None:
        told = 0
        while not stop.wait(_WATCH_SECONDS):
            if (stored := status.stored) > told:
                told = stored
                _say(stored=stored, at=time.monotonic())

    def listen() -> None:
        sys.stdin.read()
        stop.set()

    for target in (watch, listen):
        threading.Thread(target=target, daemon=True).start()
    log = open_site_log(config, Path())
    run_historian(log, layout_of(config), conninfo, settings, stop, status=status, member=member)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _say(cpu_s=used.ru_utime + used.ru_stime, rss_mb=cost_of(os.getpid()).peak / 2**20, flushes=status.flushes)
    log.close()


def _say(**facts: float) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    store(
        sys.argv[1],
        sys.argv[2],
        int(sys.argv[3]),
        sys.argv[4],
        sys.argv[5],
        HistorianConfig(flush_seconds=float(sys.argv[6]), rows="rows" in sys.argv[7:]),
    )
