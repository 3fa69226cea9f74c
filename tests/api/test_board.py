"""What is known of gateways, as the page is told."""

from pathlib import Path

import msgspec
from tests.api import known

from trunkline.api.board import Board


def test_what_there_is_to_warn_of_is_told_in_words(tmp_path: Path) -> None:
    """PD-31: a journal that fills, and a disk that is full."""
    board = Board(tmp_path)
    status = known.status(known.START, 10)
    full = msgspec.structs.replace(status.buffer, full_in_s=7200.0, disk_full=True, reserved_bytes=50_000_000)
    board.gateway(msgspec.structs.replace(status, buffer=full))
    (gateway,) = board.gateways()
    filling, disk = gateway["problems"]
    assert "full in 2.0 hours at this rate" in filling
    assert "disk of the edge journal is full" in disk
    assert gateway["buffer"]["reserved_bytes"] == 50_000_000
