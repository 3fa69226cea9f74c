"""Errors that runtimes act on. Policy (back-off, dead letter, restart) lives in the runtimes, never in a plugin.

TrunklineError
├── Misconfigured            a human must mend the configuration; not retried
│   └── SourceMisconfigured
├── RetryLater               the other side is unwell; retried with back-off, never counted against the data
│   ├── NotConnected
│   ├── SourceUnavailable
│   └── NoRoom               what such records may use is used up
│       └── DiskFull
├── Rejected                 these rows can never be accepted; dead letter
├── Fenced                   another holder took over; stop at once
└── CorruptData              stored bytes fail their checksum; quarantined
"""

from collections.abc import Sequence


class TrunklineError(Exception):
    """Base of every error of ours."""


class Misconfigured(TrunklineError):
    """The configuration cannot work; the message names the place and the mend."""


class SourceMisconfigured(Misconfigured):
    """A device answered, and showed that the source's configuration is wrong (bad credentials, unknown unit id...)."""


class RetryLater(TrunklineError):
    """The target is temporarily unable; the same call may succeed later."""


class NotConnected(RetryLater):
    """There is no connection now."""


class SourceUnavailable(RetryLater):
    """The device does not answer."""


class NoRoom(RetryLater):
    """There is no room for these records now: what records of their class may use is used up."""


class DiskFull(NoRoom):
    """The disk itself is full, or the quota on it."""


class Rejected(TrunklineError):
    """Some rows can never be accepted.

    Attributes:
        rows: positions, within the batch given, of the rows refused.
        reason: why, for the dead letter.
    """

    def __init__(self, reason: str, rows: Sequence[int] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rows = tuple(rows)


class Fenced(TrunklineError):
    """A newer holder of this identity exists; nothing was written."""


class CorruptData(TrunklineError):
    """Stored bytes fail their checksum."""
