"""What an error of the Kafka client means to a runtime: ours, naming the principal, the resource and the mend.

The client tells wrong credentials and certificates to a callback only, and lets the call that needed the connection run into its time
limit. `Connection` (settings.py) keeps the last such fault and gives it to `explain`.
"""

# ruff: noqa: SLF001 - the client's own error codes are public and begin with an underscore

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Final, NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException

from trunkline.model.errors import Fenced, Misconfigured, NotConnected, Rejected, RetryLater, TrunklineError

T = TypeVar("T")

#: Not an error: a partition was read to its end.
END_OF_PARTITION: Final = KafkaError._PARTITION_EOF
#: Faults of the connection that no repetition mends.
HOPELESS: Final = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM}
)
#: Another member has this one's name, or another producer this one's transactional id.
REPLACED: Final = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
    }
)
#: The group dealt its partitions anew meanwhile.
MOVED: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError.STALE_MEMBER_EPOCH,
    }
)
#: No broker answers, or not in time.
AWAY: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._RESOLVE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
#: Positions asked for wait for a transaction; the client asks again until its time is over.
UNDECIDED: Final = frozenset({KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT})
#: A partition is about to have a leader again, or has one that its broker, or this client, has not heard of yet.
LEADERLESS: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError._NOENT,
    }
)
_UNKNOWN: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
#: What a right is missing to, and which of the names it has.
_FORBIDDEN: Final[Mapping[int, tuple[str, int]]] = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: ("topic", 0),
    KafkaError.GROUP_AUTHORIZATION_FAILED: ("group", 1),
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: ("transactional id", 2),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: ("", 0),
}
#: What OpenSSL says, and what that means. Searched in this order.
_TLS: Final = (
    (
        "alert certificate expired",
        "a broker refuses this site's certificate, which has expired: renew the file of 'log.security.certificate'",
    ),
    ("certificate has expired", "the certificate of a broker has expired: renew it there, and look at the clocks of both machines"),
    ("not yet valid", "the certificate of a broker is not valid yet: look at the clocks of both machines"),
    ("hostname mismatch", "the certificate of a broker is not for the name used: write a name into 'log.bootstrap' that it holds"),
    ("ip address mismatch", "the certificate of a broker is not for the address used: write a name into 'log.bootstrap' that it holds"),
    ("alert", "a broker refuses this site's certificate: name one in 'log.security.certificate' that its authority issued"),
    ("verify failed", "the certificate of a broker comes from an unknown authority: name its authority's PEM file in 'log.security.ca'"),
    ("no such file", "a PEM file cannot be read: name files in 'log.security' that this user may read"),
    ("ssl.", "a PEM file cannot be used: name a certificate and its own key in 'log.security'"),
)
_WRONG_PROTOCOL: Final = "incorrect security.protocol"


class Names(NamedTuple):
    """What a call is about that touches several things: an error is about one of them."""

    topic: str = ""
    group: str = ""
    transaction: str = ""


def code_of(error: KafkaError | KafkaException) -> KafkaError:
    """Return the error itself, out of its exception."""
    if isinstance(error, KafkaException):
        inner = error.args[0]
        if isinstance(inner, KafkaError):
            return inner
        return KafkaError(KafkaError._FAIL, str(inner))
    return error


def answer(future: Future[T]) -> T:
    """Return what an administrative request brought; raises KafkaException.

    The future's own exception is never raised: its traceback would keep the client alive until the client's own thread lets go of the
    future, and a client that is destroyed from there brings the process down.
    """
    error = future.exception()
    if isinstance(error, KafkaException):
        raise KafkaException(code_of(error))
    return future.result()


def explain(
    error: KafkaError | KafkaException,
    *,
    doing: str = "",
    resource: str | Names = "",
    principal: str = "",
    fault: KafkaError | None = None,
) -> TrunklineError:
    """Return what to raise for an error of the client.

    Args:
        error: as the client gave it.
        doing: what was tried, for people: 'append to topic telemetry.raw'.
        resource: name of the topic, group or transactional id it was about, or each of them where several are.
        principal: who this site is to the brokers, as access lists name it.
        fault: the last fault of the connection that the client told its callback; says why no broker answered.

    Returns:
        Misconfigured for rights, credentials, certificates and missing topics, Rejected for records too large, Fenced for what another
        member or producer took over, NotConnected when no broker answers, and RetryLater for everything else.
    """
    found = code_of(error)
    if found.code() in AWAY and fault is not None:
        found = fault
    code = found.code()
    who = principal or "this site"
    named = resource if isinstance(resource, Names) else Names(resource, resource, resource)
    what = f"cannot {doing}: " if doing else ""
    kind: type[TrunklineError] = RetryLater
    meaning = str(found.str())
    if code in HOPELESS or _WRONG_PROTOCOL in meaning:
        kind, meaning = Misconfigured, _connection_fault(found, who)
    elif code in _FORBIDDEN:
        kind, meaning = Misconfigured, _no_right(code, who, named)
    elif code in _UNKNOWN:
        kind = Misconfigured
        meaning = f"Kafka has no topic {named.topic!r}: create it ('trunkline topics apply' creates those of this site)"
    elif code == KafkaError.MSG_SIZE_TOO_LARGE:
        kind, meaning = Rejected, f"a record is larger than topic {named.topic!r} takes"
    elif code == KafkaError.INVALID_SESSION_TIMEOUT:
        kind, meaning = Misconfigured, "the brokers do not allow this 'log.session_seconds': use 6 or more, or change their limits"
    elif was_replaced(found):
        kind, meaning = Fenced, f"another holder took over {named.transaction or named.group or 'this name'}"
    elif code in AWAY:
        kind, meaning = NotConnected, f"no broker answers: {meaning}"
    return kind(f"{what}{meaning}")


def is_about_connecting(error: KafkaError | KafkaException, fault: KafkaError | None) -> bool:
    """Return whether no broker answered and nothing but TLS is known to be the reason."""
    return code_of(error).code() in {*AWAY, KafkaError._SSL} and (fault is None or fault.code() == KafkaError._SSL)


def is_about_login(error: KafkaError | KafkaException, fault: KafkaError | None) -> bool:
    """Return whether brokers refuse the user or its password."""
    found = fault if fault is not None and code_of(error).code() in AWAY else code_of(error)
    return found.code() in {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}


def was_replaced(error: KafkaError) -> bool:
    """Return whether an error says that another holder took over; a member of a group is told so as a fatal error, in words."""
    return error.code() in REPLACED or (error.code() == KafkaError._FATAL and "fenced" in str(error.str()).lower())


def _no_right(code: int, who: str, named: Names) -> str:
    kind, place = _FORBIDDEN[code]
    what = f"{kind} {named[place]!r}" if kind and named[place] else kind or "the cluster as a whole"
    return f"{who} has no right to {what}: grant it ('trunkline topics apply' sets the access lists of this site)"


def _connection_fault(fault: KafkaError, who: str) -> str:
    told = str(fault.str())
    if fault.code() == KafkaError._SSL:
        said = told.lower()
        meaning = next((text for sign, text in _TLS if sign in said), "TLS with a broker fails: look at 'log.security'")
        return f"{meaning} ({told})"
    if _WRONG_PROTOCOL in told:
        return f"a broker hangs up on {who}: it expects TLS, or none; use the port that fits 'log.security' ({told})"
    if "mechanism" in told and "nsupported" in told:
        return f"the brokers do not offer the mechanism that {who} logs in with: change 'log.security.mechanism' ({told})"
    return f"the brokers do not accept {who}: set its password anew, there or in 'log.security.password' ({told})"
