"""What a restarted plant must remember so that nothing it counts is ever shown twice: cycles, messages, litres.

Numbers are reserved ahead, like a hi-lo key generator does: the file holds numbers that no run has used yet, and a restart begins there. A
SIGKILL therefore costs a gap in the numbers, never a repetition, and the file is rewritten only about once a minute.
"""

import os
from pathlib import Path

import msgspec

from trunkline.model.errors import CorruptData

#: How much is reserved at a time, in seconds of operation.
AHEAD_SECONDS = 60.0


class Numbers(msgspec.Struct, frozen=True):
    """First unused numbers.

    Attributes:
        cycle: of the plant.
        message: of MQTT messages; 1 is the first, 0 means none.
        litres: of every unit's counter.
    """

    cycle: int = 0
    message: int = 1
    litres: int = 0


class Reservation:
    """Hands out numbers and keeps their reservation in a file.

    Args:
        path: the file.
        cycles_per_second: greatest rates at which the numbers are used up.
        messages_per_cycle: likewise.
        litres_per_second: likewise.

    Raises:
        CorruptData: the file exists and cannot be read; deleting it starts from nothing.
    """

    def __init__(self, path: Path, *, cycles_per_second: float, messages_per_cycle: int, litres_per_second: float) -> None:
        self._path = path
        try:
            self.first = msgspec.json.decode(path.read_bytes(), type=Numbers)
        except FileNotFoundError:
            self.first = Numbers()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise CorruptData(f"{path}: {error}; delete the file to start the plant's counters anew") from error
        self._cycles = int(cycles_per_second * AHEAD_SECONDS) + 1
        self._messages = messages_per_cycle
        self._litres = litres_per_second / cycles_per_second
        self._reserved = self.first.cycle

    def use(self, cycle: int) -> None:
        """Tell that `cycle` is about to run; reserves more when needed. Raises OSError."""
        if cycle < self._reserved:
            return
        self._reserved = cycle + self._cycles
        ran = self._reserved - self.first.cycle
        self._save(
            Numbers(
                cycle=self._reserved,
                message=self.first.message + ran * self._messages,
                litres=self.first.litres + int(ran * self._litres) + 1,
            )
        )

    def _save(self, numbers: Numbers) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(numbers))
        os.replace(draft, self._path)  # noqa: PTH105 - Path.replace is the same call under a name that hides atomicity
