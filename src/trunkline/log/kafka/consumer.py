"""One member of a group, reading, and committing alone or together with appends."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as ClientPartition

from trunkline.log.kafka.committed import Committed
from trunkline.log.kafka.errors import END_OF_PARTITION, MOVED, Names, code_of, was_replaced
from trunkline.log.kafka.producing import Interrupted, Transactor
from trunkline.log.kafka.records import Outgoing, runs_of
from trunkline.log.kafka.settings import CONSUMING, Connection, Settings
from trunkline.log.kafka.undecided import Undecided
from trunkline.log.port import Appends, Batch, Positions, TopicPartition
from trunkline.log.runs import Run, Runs
from trunkline.model.errors import Fenced, RetryLater, TrunklineError

#: One poll hands over at most about this many bytes, however many records are asked for.
_POLL_BYTES: Final = 4 << 20
_CHUNK: Final = 1000
_STEP_SECONDS: Final = 0.1
#: Longest wait for the first share; it comes in a later poll then.
_JOIN_SECONDS: Final = 3.0
_SEEK_SECONDS: Final = 0.005
_NOT_READ_YET: Final = KafkaError._STATE  # noqa: SLF001 - how the client spells its own errors
#: How often a transaction is tried again because the group was dealt anew while it ran.
_TRIES: Final = 5


class KafkaConsumer:
    """A `trunkline.log.port.Consumer` on Kafka: a static member of a classic group.

    A poll in which the share changes hands over no records, so that a sink that keeps positions of its own can seek first. What is lost and
    dealt back within one poll is shown as lost once: reading goes on at the committed position, and others may have had it meanwhile.

    Args:
        connection: settings and time limits.
        group: name of the group.
        topics: what it reads.
        member: name that survives restarts; becomes `group.instance.id`.
        session_ms: silence after which others take over.
        place: gives records their partition, refusing what Kafka would refuse.
        committed: asks for the group's positions from outside.
        outputs: every partition that commits may append to. If there are any, the member's transactional id is taken over before
            anything is read: what its last holder confirmed is completed, what it left open ends.
    """

    def __init__(
        self,
        connection: Connection,
        group: str,
        topics: Iterable[str],
        member: str,
        session_ms: int,
        place: Callable[[Appends], list[Outgoing]],
        committed: Committed,
        outputs: Sequence[TopicPartition],
    ) -> None:
        """Join, and wait until the group has dealt its partitions. Raises Misconfigured, RetryLater."""
        self._connection = connection
        self._group = group
        self._member = member
        self._place = place
        self._transactor = Transactor(connection, f"{group}.{member}", group, outputs)
        self._undecided = Undecided(committed, group, self._transactor) if outputs else None
        self._held: set[TopicPartition] = set()
        self._shown: set[TopicPartition] = set()
        self._lost: set[TopicPartition] = set()  # since the share was shown last
        self._from: Positions = {}  # where what was handed over since the last commit begins
        self._next: Positions = {}  # where the next poll goes on
        self._ends: Positions = {}  # reached without a record: end of partition, past markers of transactions
        self._ahead: list[Run] = []  # read, not yet handed over
        self._dealt = False
        self._moved = False
        self._broken: TrunklineError | None = None
        own: Settings = {
            "group.id": group,
            "group.instance.id": member,
            # deals each topic evenly; the sticky strategies even out the sum over all topics
            "partition.assignment.strategy": "roundrobin",
            "session.timeout.ms": session_ms,
            "heartbeat.interval.ms": max(1, session_ms // 4),
        }
        if outputs:
            self._begin()
        self._client = Consumer(connection.of_client(CONSUMING, own))
        self._client.subscribe(list(topics), on_assign=self._gain, on_revoke=self._lose, on_lost=self._lose)
        try:
            self._join()
        except BaseException:
            self._client.close()
            raise

    def poll(self, max_records: int = 1000, timeout: float = 1.0) -> Batch:
        """Return the next records; see the port. Raises Fenced, Misconfigured, RetryLater."""
        self._require_usable()
        deadline = time.monotonic() + timeout
        if self._undecided is not None:
            self._decide(self._undecided)
        while not self._changed():
            if self._ahead:
                self._fetch(max_records - sum(map(len, self._ahead)), 0)
            else:
                self._fetch(max_records, max(0.0, deadline - time.monotonic()))
            if not self._changed() and (self._ahead or time.monotonic() >= deadline):
                return self._hand_over(max_records)
        self._show()
        return Batch()

    def commit(self, positions: Mapping[TopicPartition, int], *, with_appends: Appends | None = None) -> None:
        """Store positions and append records in one transaction; positions alone need none.

        Raises:
            Fenced: another holder took over this member's name; nothing was stored.
            RetryLater: a partition went to another member and nothing was stored; or no broker answered, then it is not known whether
                everything or nothing was stored, and the group has to be joined again.
            Rejected, Misconfigured: as `append`; nothing was stored.
        """
        self._require_usable()
        outgoing = self._place(with_appends or {})
        self._require_held(positions)
        if outgoing:
            self._commit_all(outgoing, positions)
        elif positions:
            self._commit_positions(positions)
        for at in positions:
            self._from.pop(at, None)

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read on from these offsets; partitions that this member does not hold are left out. Raises RetryLater."""
        for at, offset in positions.items():
            if at not in self._held:
                continue
            self._drop([at])
            self._next[at] = offset
            self._go_to(at, offset)

    def _go_to(self, at: TopicPartition, offset: int) -> None:
        """Seek in the client. A partition that was just assigned is not read yet for a moment, and then cannot be sought in.

        The assignment itself is left alone: changed while the group is being dealt anew, it keeps a partition from ever being given away.
        """
        deadline = time.monotonic() + self._connection.timeout
        while True:
            try:
                return self._client.seek(ClientPartition(at.topic, at.partition, offset))
            except KafkaException as error:
                if code_of(error).code() != _NOT_READ_YET or time.monotonic() >= deadline:
                    raise self._explain(error, f"go to offset {offset} of {at.topic}/{at.partition}", at.topic) from error
            time.sleep(_SEEK_SECONDS)

    def assignment(self) -> set[TopicPartition]:
        """Return the partitions that this member reads now; it changes in `poll` only."""
        return set(self._shown)

    def close(self) -> None:
        """Stop reading. The share stays with this name for the session's time, so that a restart moves nothing."""
        self._broken = RetryLater(f"member {self._member!r} has left the group: join again")
        self._client.close()
        self._transactor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # ------------------------------------------------------------------ the group

    def _begin(self) -> None:
        try:
            self._transactor.open()
        except KafkaException as error:
            raise self._connection.explain(error, "begin transactions", self._transactor.id) from error

    def _join(self) -> None:
        """Wait for a share, but not for long: a group is dealt anew when its members poll, and a busy one keeps the others waiting."""
        deadline = time.monotonic() + min(_JOIN_SECONDS, self._connection.timeout)
        while not self._dealt and time.monotonic() < deadline:
            self._fetch(1, _STEP_SECONDS)
        if not self._dealt:
            try:
                self._client.list_topics(timeout=self._connection.timeout)
            except KafkaException as error:
                raise self._explain(error, f"join group {self._group}", self._group) from error
        self._moved = False
        self._lost.clear()
        self._shown = set(self._held)

    def _changed(self) -> bool:
        """Return whether the share changed since it was shown; any fetch may change it."""
        return self._moved

    def _show(self) -> None:
        """Let the caller see the share: at once what it lost, what it was dealt back in a poll after that."""
        self._shown = self._held - self._lost
        self._moved = bool(self._lost & self._held)
        self._lost.clear()

    def _gain(self, _client: Consumer, partitions: list[ClientPartition]) -> None:
        self._dealt = True
        gained = {TopicPartition(one.topic, one.partition) for one in partitions}
        self._moved |= bool(gained)
        self._held |= gained
        if self._undecided is not None:
            self._undecided.gained(gained)

    def _lose(self, _client: Consumer, partitions: list[ClientPartition]) -> None:
        lost = {TopicPartition(one.topic, one.partition) for one in partitions}
        self._moved |= bool(lost)
        self._held -= lost
        self._lost |= lost & self._shown
        self._drop(lost)

    def _decide(self, undecided: Undecided) -> None:
        try:
            undecided.decide()
        except RetryLater as error:
            self._broken = error
            raise

    def _drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget what was read of partitions and not handed over."""
        gone = set(partitions)
        self._watched(gone)
        for known in (self._from, self._next, self._ends):
            for at in gone:
                known.pop(at, None)
        self._ahead = [run for run in self._ahead if run.at not in gone]

    def _watched(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions were read, or are not held any more."""
        if self._undecided is not None:
            self._undecided.over(partitions)

    def _require_usable(self) -> None:
        if self._broken is not None:
            raise type(self._broken)(str(self._broken))

    def _require_held(self, positions: Iterable[TopicPartition]) -> None:
        """Raise RetryLater for what was lost since it was read, even if it was dealt back: reading goes on at the committed position."""
        for at in positions:
            if at not in self._held or at in self._lost:
                raise self._went(at)

    def _went(self, at: TopicPartition) -> RetryLater:
        return RetryLater(f"{at.topic}/{at.partition} went to another member of group {self._group!r}: nothing was stored")

    def _explain(self, error: KafkaError | KafkaException, doing: str, resource: str | Names) -> TrunklineError:
        """Return what to raise; a member that was replaced stays so."""
        found = self._connection.explain(error, doing, resource)
        if isinstance(found, Fenced):
            found = self._broken = Fenced(f"another holder took over member {self._member!r} of group {self._group!r}")
        elif code_of(error).fatal():
            self._broken = RetryLater(f"{found}: join again")
        return found

    # ------------------------------------------------------------------ reading

    def _fetch(self, room: int, wait: float) -> None:
        """Take over up to `room` messages, waiting for the first of them."""
        try:
            messages = self._client.consume(1, wait) if wait > 0 else []
            size, read = self._take(messages), len(messages)
            while read < room and size < _POLL_BYTES:
                messages = self._client.consume(min(_CHUNK, room - read), 0)
                if not messages:
                    return
                size, read = size + self._take(messages), read + len(messages)
        except KafkaException as error:
            raise self._explain(error, f"read as {self._member} of group {self._group}", self._group) from error

    def _take(self, messages: list[Message]) -> int:
        """Keep what belongs to the present share; return its bytes."""
        if any(map(Message.error, messages)):
            for message in messages:
                if (error := message.error()) is not None:
                    self._note(error, message)
            messages = [message for message in messages if message.error() is None]
        if not messages:
            return 0
        kept = [run for run in runs_of(messages) if run.at in self._held]
        self._ahead += kept
        self._watched(run.at for run in kept)
        return sum(run.bytes for run in kept)

    def _note(self, error: KafkaError, message: Message) -> None:
        at = TopicPartition(message.topic() or "", message.partition() or 0)
        if error.code() == END_OF_PARTITION:
            if at in self._held:
                self._ends[at] = message.offset() or 0
                self._watched([at])
        elif error.fatal() or not (error.retriable() or error.code() in MOVED):
            raise self._explain(error, f"read as {self._member} of group {self._group}", at.topic or self._group)

    def _hand_over(self, max_records: int) -> Batch:
        """Return records in partition order, and how far the partitions were read."""
        by_partition: dict[TopicPartition, list[Run]] = {}
        room = max_records
        while self._ahead and room > 0:
            run = self._ahead.pop(0)
            if len(run) > room:
                self._ahead.insert(0, run.part(room, len(run)))
                run = run.part(0, room)
            room -= len(run)
            by_partition.setdefault(run.at, []).append(run)
        batch = Batch(Runs(chain.from_iterable(by_partition.values())))
        for at, runs in by_partition.items():
            self._from.setdefault(at, runs[0][0].offset)
            batch.positions[at] = self._next[at] = runs[-1][-1].offset + 1
        waiting = {run.at for run in self._ahead}
        for at in [at for at in self._ends if at not in waiting]:
            end = self._ends.pop(at)
            if end > self._reached(at, end):
                batch.positions[at] = end
            self._next[at] = end
        return batch

    def _reached(self, at: TopicPartition, end: int) -> int:
        """Return where a partition was read to before its end was met."""
        if at in self._next or end == 0:
            return self._next.get(at, 0)
        try:
            (found,) = self._client.committed([ClientPartition(at.topic, at.partition)], timeout=self._connection.timeout)
        except KafkaException:
            return end
        return max(0, found.offset)

    # ------------------------------------------------------------------ committing

    def _commit_positions(self, positions: Mapping[TopicPartition, int]) -> None:
        offsets = [ClientPartition(at.topic, at.partition, offset) for at, offset in positions.items()]
        try:
            done = self._client.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if code_of(error).code() in MOVED:
                raise self._went(next(iter(positions))) from error
            raise self._explain(error, f"commit positions of group {self._group}", self._group) from error
        for one in done:
            if one.error is not None:
                raise self._explain(one.error, f"commit positions of group {self._group}", self._group)

    def _commit_all(self, outgoing: list[Outgoing], positions: Mapping[TopicPartition, int]) -> None:
        if not self._transactor.opened:
            # a member that was replaced must not take the transactional id back
            self._require_current(positions)
        for attempt in range(_TRIES):
            try:
                self._transactor.write(outgoing, positions, self._client)
            except Interrupted as interrupted:
                self._interrupted(interrupted, outgoing, positions, last=attempt == _TRIES - 1)
            else:
                return

    def _interrupted(
        self, interrupted: Interrupted, outgoing: list[Outgoing], positions: Mapping[TopicPartition, int], *, last: bool
    ) -> None:
        """Return when the transaction may be tried again; raise what it comes to otherwise."""
        error = interrupted.error
        doing = f"commit as {self._member} of group {self._group}"
        if interrupted.stored is None:
            self._broken = RetryLater(f"cannot {doing}: {error.str()}; it is not known whether it was stored: join again")
            raise self._broken from interrupted
        if error.code() in MOVED and not last:
            self._fetch(1, _STEP_SECONDS)
            self._require_held(positions)
            return
        if was_replaced(error):
            # a transaction that took too long is reported in the same way
            self._require_current(positions)
            raise RetryLater(f"cannot {doing}: it took too long and was undone") from interrupted
        topics = {one.topic for one in outgoing} | {at.topic for at in positions}
        names = Names(", ".join(sorted(topics)), self._group, self._transactor.id)
        raise self._explain(error, doing, names) from interrupted

    def _require_current(self, positions: Mapping[TopicPartition, int]) -> None:
        """Ask the group whether this member still has its name, by committing what is committed already. Raises Fenced, RetryLater."""
        known = {at: self._from[at] for at in positions if at in self._from}
        if known:
            self._commit_positions(known)
