"""Rollups as a thread of the historian's role: made when they are due, published, dropped when they are old."""

import threading
import time
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from trunkline.config.rollups import RollupsConfig
from trunkline.historian.db import connect, translated
from trunkline.historian.pgbinary import Time, register
from trunkline.historian.rollup import statements
from trunkline.historian.rollup.publishing import Outlet
from trunkline.historian.rollup.roller import Roller
from trunkline.historian.rollup.settings import Settings
from trunkline.historian.rollup.tiers import Tier
from trunkline.model import times
from trunkline.model.errors import Misconfigured, Rejected, RetryLater

_log = structlog.get_logger(__name__)

_EVERY: Final = 2.0
_RETIRE_EVERY: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Rollups:
    """How the role makes rollups.

    Attributes:
        config: the section `rollups` of the site file.
        zone: in which days begin.
        outlet: where they are published; None publishes nothing.
    """

    config: RollupsConfig
    zone: ZoneInfo
    outlet: Outlet | None = None


def run_rollups(conninfo: str, rollups: Rollups, stop: threading.Event) -> None:
    """Make rollups until `stop` is set. What fails is told and tried again: marks wait."""
    retired = -_RETIRE_EVERY
    troubled = False
    with Roller(conninfo, Settings(rollups.config), rollups.zone, rollups.outlet) as roller:
        while not stop.wait(_EVERY):
            try:
                roller.run_once(stop)
                if time.monotonic() - retired >= _RETIRE_EVERY:
                    drop_old(conninfo, rollups.config)
                    retired = time.monotonic()
                troubled = False
            except (RetryLater, Misconfigured, Rejected) as error:
                if not troubled:
                    _log.warning("rollups wait", error=str(error))
                troubled = True


def drop_old(conninfo: str, config: RollupsConfig, now: int | None = None) -> int:
    """Drop the partitions whose buckets are all older than their tier is kept; return how many (W-71 to W-74).

    Raises:
        RetryLater: PostgreSQL is away, or a long query holds a table; try again later.
    """
    now = times.now() if now is None else now
    dropped = 0
    with translated(), connect(conninfo, name="trunkline rollups retention", autocommit=True) as connection:
        register(connection)
        for tier in Tier:
            days = config.days(tier.title)
            if days is not None:
                row = connection.execute(statements.DROP, (int(tier), Time(now - int(days * times.DAY)))).fetchone()
                dropped += int(row[0]) if row else 0
    return dropped
