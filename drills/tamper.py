"""A row deleted from the historian by hand: the ledger must notice, and name gateway, source and hour."""

import json
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psycopg

from drills.stage import say, stage
from trunkline.supervisor.wiring import conninfo


def run(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """Run a plant, let it settle, delete one segment, and ask the ledger."""
    with (
        nullcontext(f"{keep}-tamper") if keep else tempfile.TemporaryDirectory(prefix="trunkline-drill-") as folder,
        stage(Path(str(folder)), units=6, period_ms=200, seed=seed) as plant,
    ):
        plant.wait_until_flowing()
        plant.tend(8 if short else 30)
        balance = plant.finish()
        before, _ = _ledger(plant.site.file)
        with psycopg.connect(conninfo(plant.site), autocommit=True) as connection:
            row = connection.execute(
                "DELETE FROM historian.segment WHERE ctid = (SELECT ctid FROM historian.segment ORDER BY n DESC LIMIT 1) "
                "RETURNING n, (SELECT source FROM historian.feed WHERE id = feed_id), hour"
            ).fetchone()
        assert row is not None
        deleted, source, hour = row
        say(f"deleted one segment of {deleted} readings of source {source}, hour {hour}")
        after, rows = _ledger(plant.site.file)
    named = [one for one in rows if "source" in one and one["missing"]]
    caught = after == 1 and [(one["source"], one["hour_us"], one["missing"]) for one in named] == [(source, hour * 3_600_000_000, deleted)]
    return {
        "drill": "tamper",
        "seed": seed,
        "readings": balance.totals["read"],
        "deleted": deleted,
        "exit_before": before,
        "exit_after": after,
        "named": [{key: one[key] for key in ("gateway", "source", "hour_us", "missing")} for one in named],
        "caught": caught,
        "passed": before == 0 and caught,
    }


def _ledger(file: Path) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "trunkline.cli.entry", "ledger", str(file), "--json"], capture_output=True, text=True, check=False
    )
    sys.stderr.write(done.stderr)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]
