"""Calls of the client that may never return."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")

#: How long an answer may be late.
_GRACE_SECONDS: Final = 1.0


class LeftBehind(KafkaException):
    """The call did not come back. Its client must not be used again: the thread that called it still does."""

    def __init__(self) -> None:
        super().__init__(KafkaError(KafkaError.REQUEST_TIMED_OUT, "the coordinator went away while it was asked"))


def bounded(call: Callable[[float], T], seconds: float) -> T:
    """Return what `call(seconds)` returns.

    When a coordinator dies between question and answer, some calls of librdkafka 2.16 (`rd_kafka_committed`,
    `rd_kafka_send_offsets_to_transaction`) never return, whatever their time limit. So they are made in a thread that may be left behind.

    Raises:
        LeftBehind: it did not come back in time and a second.
        KafkaException: as the call raised it.
    """
    answers: SimpleQueue[tuple[T] | KafkaException] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put((call(seconds),))
        except KafkaException as error:
            answers.put(error)

    threading.Thread(target=ask, name="kafka-call", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds + _GRACE_SECONDS)
    except Empty:
        raise LeftBehind from None
    if isinstance(answer, KafkaException):
        raise answer
    return answer[0]
