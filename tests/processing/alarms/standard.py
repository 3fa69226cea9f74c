"""The alarm of ISA-18.2-2016 / IEC 62682 told a second time, as flags and not as a table, to check the table against."""

from dataclasses import dataclass, field
from typing import Literal

Why = Literal["shelf", "plant", "hand", "service"]


@dataclass
class StandardAlarm:
    """Condition, acknowledgement, latch and what silences it, each by itself; the letter of the figure follows from them."""

    latching: bool
    must_ack: bool
    abnormal: bool = False
    unacknowledged: bool = False
    latched: bool = False
    silences: set[Why] = field(default_factory=set)
    ends: dict[Why, int] = field(default_factory=dict)

    @property
    def letter(self) -> str:
        if "service" in self.silences:
            return "I"
        if self.silences & {"plant", "hand"}:
            return "H"
        if "shelf" in self.silences:
            return "G"
        if self.abnormal:
            return "B" if self.unacknowledged else "C"
        if self.latched:
            return "E" if self.unacknowledged else "F"
        return "D" if self.unacknowledged else "A"

    def process(self, abnormal: bool) -> None:
        if abnormal and not self.abnormal:
            self.latched = self.latching
            if not self.silences:
                self.unacknowledged = self.must_ack
        self.abnormal = abnormal

    def acknowledge(self) -> bool:
        if self.silences or not self.unacknowledged:
            return False
        self.unacknowledged = False
        return True

    def reset(self) -> bool:
        if self.letter != "F":
            return False
        self.latched = False
        return True

    def silence(self, why: Why, end: int = 0) -> bool:
        if why == "service" and why in self.silences:
            return False
        self.silences.add(why)
        self.ends[why] = end
        return True

    def release(self, why: Why) -> bool:
        """What is heard again is heard as new: nobody has acknowledged it."""
        if why not in self.silences:
            return False
        self.silences.discard(why)
        if not self.silences:
            self.unacknowledged = self.must_ack and (self.abnormal or self.latched)
        return True

    def expire(self, now: int) -> None:
        due = sorted((self.ends[why], why) for why in ("shelf", "hand") if why in self.silences and self.ends[why] <= now)
        for _, why in due:
            self.release(why)  # type: ignore[arg-type]
