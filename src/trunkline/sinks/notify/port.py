"""What a channel does: sends one request, or says whether it is worth trying again. It never waits and never tries twice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline.model.errors import RetryLater
from trunkline.model.notifications import NotificationRequest


class NotNow(RetryLater):
    """The receiver is away or busy.

    Attributes:
        after_seconds: how long it asked us to wait; None when it did not say.
    """

    def __init__(self, message: str, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


@dataclass(frozen=True, slots=True)
class Site:
    """What messages say of where they come from.

    Attributes:
        name: the site's short name.
        title: its name for people.
    """

    name: str
    title: str

    @property
    def shown(self) -> str:
        """The name for people, or the short one."""
        return self.title or self.name


class Reached:
    """Which receivers of the request under way have it, so that trying again reaches only the others."""

    def __init__(self) -> None:
        self._request = ""
        self._receivers: set[str] = set()

    def left(self, request: str, receivers: Sequence[str]) -> list[str]:
        """Return the receivers that a request has not reached."""
        if request != self._request:
            self._request, self._receivers = request, set()
        return [one for one in receivers if one not in self._receivers]

    def add(self, receivers: Iterable[str]) -> None:
        """Remember that the request under way reached these."""
        self._receivers.update(receivers)


class Sender(Protocol):
    """One channel, ready to send. One thread owns it."""

    def send(self, request: NotificationRequest, now: int) -> str:
        """Send one request and return what the receiver said, without credentials.

        Args:
            request: what to send. The same may be sent twice, and then has the same `id`.
            now: µs UTC.

        Raises:
            NotNow: the receiver is away or busy; the same call may succeed later.
            Rejected: it will never take this request.
        """
        ...
