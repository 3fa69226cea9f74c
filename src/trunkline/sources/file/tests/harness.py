"""What the conformance suite needs to drive the file source: a real file in a folder, and a device that appends rows to it."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from trunkline.model import times
from trunkline.model.reading import Value

_PATH = "PLANT01.AREA01.UNIT_01"
_KINDS = {f"{_PATH}.FLOW": "double", f"{_PATH}.COUNT": "integer", f"{_PATH}.RUNNING": "boolean", f"{_PATH}.MODE": "text"}


class Harness:
    """See `trunkline.sources.testing.rig`. The device is unplugged when its folder is away, and frozen when it does not write."""

    reads_back = False

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="file-source-"))
        self._folder = self._root / "data"
        self._frozen = False

    async def start(self) -> None:
        self._folder.mkdir()
        (self._folder / "device.csv").write_text("time,tag,value\n")

    async def stop(self) -> None:
        shutil.rmtree(self._root)

    def config(self) -> dict[str, Any]:
        return {
            "id": "loggers",
            "type": "file",
            "files": f"{self._folder}/*.csv",
            "timestamp": {"column": "time"},
            "long": {"tag": "tag", "value": "value"},
            "poll_seconds": 0.02,
            "tags": [{"path": path, "kind": kind, "name": path.rpartition(".")[2].lower()} for path, kind in _KINDS.items()],
        }

    def tags(self) -> dict[str, str]:
        return dict(_KINDS)

    async def set(self, path: str, value: Value) -> None:
        if not self._frozen and self._folder.exists():
            with (self._folder / "device.csv").open("a") as file:
                file.write(f"{times.to_iso(times.now())},{path.rpartition('.')[2].lower()},{value}\n")

    async def unplug(self) -> None:
        self._folder.rename(self._root / "away")

    async def plug(self) -> None:
        if not self._folder.exists():
            (self._root / "away").rename(self._folder)

    async def freeze(self) -> None:
        self._frozen = True

    async def thaw(self) -> None:
        self._frozen = False

    async def garbage(self) -> None:
        rows = (b"\n\r\n,,,,,,", b"\xff\xfe\x00", b'"unclosed', b"yesterday,flow,1", b"2026-11-21T13:00:00Z,flow,nan", b"x" * 200_000)
        with (self._folder / "device.csv").open("ab") as file:
            file.writelines(row + b"\n" for row in rows)
