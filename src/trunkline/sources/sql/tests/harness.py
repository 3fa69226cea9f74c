"""What the conformance suite needs to drive the SQL source: a real SQLite file that a device writes rows to."""

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from trunkline.model import times
from trunkline.model.reading import Value

_PATH = "PLANT01.AREA01.UNIT_01"
_KINDS = {f"{_PATH}.FLOW": "double", f"{_PATH}.COUNT": "integer", f"{_PATH}.RUNNING": "boolean", f"{_PATH}.MODE": "text"}


class Harness:
    """See `trunkline.sources.testing.rig`. The device is unplugged when its file is away, and frozen when it does not write."""

    reads_back = False

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sql-source-"))
        self._file = self._folder / "device.sqlite"
        self._frozen = False

    async def start(self) -> None:
        self._write("CREATE TABLE m (id INTEGER PRIMARY KEY, t, tag TEXT, v)")

    async def stop(self) -> None:
        shutil.rmtree(self._folder)

    def config(self) -> dict[str, Any]:
        return {
            "id": "mes",
            "type": "sql",
            "file": str(self._file),
            "query": "SELECT id, t, tag, v FROM m WHERE id > :since ORDER BY id",
            "cursor": "id",
            "timestamp": {"column": "t"},
            "long": {"tag": "tag", "value": "v"},
            "poll_seconds": 0.02,
            "tags": [{"path": path, "kind": kind} for path, kind in _KINDS.items()],
        }

    def tags(self) -> dict[str, str]:
        return dict(_KINDS)

    async def set(self, path: str, value: Value) -> None:
        if not self._frozen and self._file.exists():
            self._write("INSERT INTO m (t, tag, v) VALUES (?, ?, ?)", times.to_iso(times.now()), path, value)

    async def unplug(self) -> None:
        self._file.rename(self._folder / "away")

    async def plug(self) -> None:
        if not self._file.exists():
            (self._folder / "away").rename(self._file)

    async def freeze(self) -> None:
        self._frozen = True

    async def thaw(self) -> None:
        self._frozen = False

    async def garbage(self) -> None:
        for time, tag, value in ((None, None, None), (7, 8, 9), (b"\xff", f"{_PATH}.FLOW", b"\xff"), ("noon", f"{_PATH}.FLOW", "1.5.5")):
            self._write("INSERT INTO m (t, tag, v) VALUES (?, ?, ?)", time, tag, value)

    def _write(self, statement: str, *parameters: object) -> None:
        with contextlib.closing(sqlite3.connect(self._file)) as connection, connection:
            connection.execute(statement, parameters)
