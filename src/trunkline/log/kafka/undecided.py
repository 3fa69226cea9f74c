"""Positions that no transaction decides any more: found, and decided by taking the member's transactional id over anew (`completing`).

A member whose group was dealt anew asks where to begin. While a transaction over these positions is open it is told to wait; when
brokers left out the markers of one, it waits for ever: its partitions are held and never read, and no call fails.
"""

import time
from collections.abc import Iterable
from typing import Final

import structlog
from confluent_kafka import KafkaException

from trunkline.log.kafka.committed import Committed
from trunkline.log.kafka.errors import code_of
from trunkline.log.kafka.producing import Transactor
from trunkline.log.port import TopicPartition
from trunkline.model.errors import RetryLater

log = structlog.get_logger("trunkline.log")

#: Beyond the time limit of transactions: until then another member's may be open in good order.
_GRACE_SECONDS: Final = 2.0


class Undecided:
    """Watches the partitions that a member holds and has read nothing of, not even their end. For one thread.

    Args:
        committed: asks for positions.
        group: of the member.
        transactor: with the member's transactional id.
    """

    def __init__(self, committed: Committed, group: str, transactor: Transactor) -> None:
        self._committed = committed
        self._group = group
        self._transactor = transactor
        self._silent: dict[TopicPartition, float] = {}

    def gained(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin to watch."""
        self._silent |= dict.fromkeys(partitions, time.monotonic())

    def over(self, partitions: Iterable[TopicPartition]) -> None:
        """End watching: read, or lost."""
        if self._silent:
            for at in partitions:
                self._silent.pop(at, None)

    def decide(self) -> None:
        """Decide positions that stayed undecided for longer than any transaction may take.

        Raises:
            RetryLater: they are decided: steps begin anew, as after a commit that failed.
        """
        if not self._silent:
            return
        now = time.monotonic()
        late = [at for at, since in self._silent.items() if now - since > self._transactor.limit + _GRACE_SECONDS]
        if not late:
            return
        self.gained(late)
        if not self._committed.undecided(self._group, late):
            return
        names = ", ".join(f"{at.topic}/{at.partition}" for at in late)
        log.warning("brokers left a transaction undecided (KAFKA-20734): completing it", group=self._group, partitions=names)
        try:
            self._transactor.close()
            self._transactor.open()
        except KafkaException as error:
            log.warning("it cannot be completed yet", group=self._group, reason=code_of(error).str())
            self._silent |= dict.fromkeys(late, now - self._transactor.limit)
            return
        if self._committed.undecided(self._group, late):
            mend = "end it by kafka-transactions.sh find-hanging and abort"
            log.error("it was none of this member's", group=self._group, partitions=names, mend=mend)
            return
        raise RetryLater(f"a broker that died left the positions of group {self._group!r} in {names} undecided; completed: join again")
