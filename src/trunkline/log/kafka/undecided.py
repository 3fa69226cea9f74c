"""Positions that no transaction decides any more: found, and undone together with what was appended with them.

When all replicas of a partition are away while the coordinator of a transaction that is already confirmed comes back, brokers of Apache
Kafka 4.3 take the partition for deleted, write no marker to it, and call the transaction complete (KAFKA-20734). A single broker killed
by SIGKILL does that to one transaction in a few. What it appended stays hidden from readers of what is committed, the group's positions
stay pending, and who asks for them is told to wait, for ever: its partitions are held and never read.

The producer of the same transactional id can still decide it: a marker of its next transaction ends everything that its producer id
left open in a partition. An aborted transaction over the pending positions and the partitions of the outputs makes the whole of it
undone: the records are read again and their outputs written again, once. The broker's log says at level INFO "Couldn't find leader endpoint
… these partitions are likely deleted already and hence can be skipped".
"""

import time
from collections.abc import Iterable, Sequence
from typing import Final

import structlog
from confluent_kafka import Consumer

from trunkline.log.kafka.committed import Committed
from trunkline.log.kafka.producing import Interrupted, Transactor
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
        outputs: every partition that its transactions may have appended to.
    """

    def __init__(self, committed: Committed, group: str, transactor: Transactor, outputs: Sequence[TopicPartition]) -> None:
        self._committed = committed
        self._group = group
        self._transactor = transactor
        self._outputs = outputs
        self._silent: dict[TopicPartition, float] = {}

    def gained(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin to watch."""
        self._silent |= dict.fromkeys(partitions, time.monotonic())

    def over(self, partitions: Iterable[TopicPartition]) -> None:
        """End watching: read, or lost."""
        if self._silent:
            for at in partitions:
                self._silent.pop(at, None)

    def undo(self, member: Consumer) -> None:
        """Undo what left positions undecided for longer than any transaction may take.

        Raises:
            RetryLater: it was undone: steps begin anew, as after a commit that failed.
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
        log.warning("a transaction that brokers left undecided is undone (KAFKA-20734)", group=self._group, partitions=names)
        try:
            self._transactor.undo(self._outputs, late, member)
        except Interrupted as error:
            log.warning("it cannot be undone yet", group=self._group, reason=str(error))
            self._silent |= dict.fromkeys(late, now - self._transactor.limit)
            return
        raise RetryLater(f"a broker that died left the positions of group {self._group!r} in {names} undecided; undone: join again")
