"""What a cluster should hold, what it holds, and the steps between: topics, users and access lists, without I/O.

A plan only adds: it creates what is missing and changes settings. What would delete data or break the order of tags is a finding with the
way to do it by hand, never a step (PD-18, D-49).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from trunkline.log.kafka.access import Operation, Pattern, Resource, User, grants
from trunkline.log.layouts.spec import TopicSpec
from trunkline.log.port import Topic
from trunkline.log.topics import Layout

Profile = Literal["development", "production"]
Action = Literal["create topic", "change settings", "create user", "grant", "revoke"]

#: Copies and in-sync copies by profile (ED-3): two brokers lost stop writes and lose nothing (PD-20).
COPIES: Final[Mapping[Profile, tuple[int, int]]] = {"development": (1, 1), "production": (3, 2)}
FOREVER: Final = "-1"
_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class KafkaTopic:
    """A topic as a cluster has it or should have it. `settings` has Kafka's own names and texts."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One line of the access list: a principal may do an operation on a resource from any host."""

    principal: str
    resource: Resource
    name: str
    pattern: Pattern
    operation: Operation


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do.

    Attributes:
        action: what kind of thing.
        subject: topic or user.
        changes: for each setting or right: what it is, what it will be.
        partitions, replication: of a topic to create.
        rules: rights to grant or revoke.
    """

    action: Action
    subject: str
    changes: Mapping[str, tuple[str | None, str]] = field(default_factory=dict)
    partitions: int = 0
    replication: int = 0
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference that nobody mends without a person's decision."""

    subject: str
    problem: str
    mend: str


@dataclass(slots=True)
class Plan:
    """Steps in the order in which they are done, and what is left to people."""

    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.steps or self.findings)

    def __add__(self, other: "Plan") -> "Plan":
        return Plan(self.steps + other.steps, self.findings + other.findings)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster holds.

    Attributes:
        brokers: how many there are.
        topics: those asked for that exist.
        users: names with a SCRAM credential among those asked for; None when the cluster does not tell.
        rules: access list of the users asked for; None when the cluster has no authorizer or does not tell.
    """

    brokers: int
    topics: Mapping[str, KafkaTopic]
    users: frozenset[str] | None
    rules: frozenset[Rule] | None


def wanted_topics(layout: Layout, profile: Profile, retention_us: int | None = None) -> list[KafkaTopic]:
    """Return every topic of a layout as the profile wants it; `retention_us` replaces the layout's own for raw and clean telemetry."""
    copies, in_sync = COPIES[profile]
    return [KafkaTopic(spec.name, layout.partitions_of(spec), copies, settings(spec, in_sync, retention_us)) for spec in layout.specs()]


def settings(spec: TopicSpec, in_sync: int, retention_us: int | None = None) -> dict[str, str]:
    """Return a topic's settings in Kafka's names and texts.

    Records get the time of their append: retention by the time of measurement would delete late data on arrival (D-14).
    """
    retention = retention_us if retention_us is not None and spec.is_flow else spec.retention_us
    return {
        "cleanup.policy": spec.cleanup,
        "compression.type": spec.compression,
        "max.message.bytes": str(spec.max_message_bytes),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(in_sync),
        "retention.bytes": FOREVER if spec.retention_bytes is None else str(spec.retention_bytes),
        "retention.ms": FOREVER if retention is None else str(retention // _MS),
        "segment.ms": str(spec.segment_us // _MS),
        "unclean.leader.election.enable": "false",
    }


def wanted_rules(users: Iterable[User], layout: Layout) -> frozenset[Rule]:
    """Return the whole access list of these users."""
    return frozenset(
        Rule(user.principal, grant.resource, grant.name, grant.pattern, operation)
        for user in users
        for grant in grants(user, layout)
        for operation in grant.operations
    )


def plan_topics(wanted: Sequence[KafkaTopic], cluster: Cluster, *, shorten: bool = False) -> Plan:
    """Compare topics. `shorten` allows a shorter retention, which deletes data."""
    plan = Plan()
    for topic in wanted:
        found = cluster.topics.get(topic.name)
        if found is None:
            if topic.replication > cluster.brokers:
                plan.findings.append(_too_few_brokers(topic, cluster.brokers))
                continue
            changes: dict[str, tuple[str | None, str]] = {key: (None, value) for key, value in topic.settings.items()}
            plan.steps.append(Step("create topic", topic.name, changes, topic.partitions, topic.replication))
            continue
        plan.findings += _fixed(topic, found, cluster.brokers)
        differing = {key: (found.settings.get(key), value) for key, value in topic.settings.items() if found.settings.get(key) != value}
        if not shorten:
            held = {key for key, (old, new) in differing.items() if key in ("retention.ms", "retention.bytes") and _is_less(new, old)}
            plan.findings += [_shorter(topic.name, key, *differing[key]) for key in sorted(held)]
            differing = {key: change for key, change in differing.items() if key not in held}
        if int(topic.settings["min.insync.replicas"]) > found.replication:
            differing.pop("min.insync.replicas", None)  # every write would be refused until there are more copies
        if differing:
            plan.steps.append(Step("change settings", topic.name, differing))
    return plan


def plan_journal(wanted: Iterable[Topic], found: Mapping[str, Topic]) -> Plan:
    """Compare the topics of an embedded journal, which has no settings but retention."""
    plan = Plan()
    for topic in wanted:
        there = found.get(topic.name)
        if there is None:
            plan.steps.append(Step("create topic", topic.name, {}, topic.partitions, 1))
        elif there.partitions != topic.partitions:
            plan.findings.append(_other_partitions(topic.name, topic.partitions, there.partitions))
        elif there != topic:
            changes = {"retention.ms": (_retention(there), _retention(topic)), "retention.bytes": (_bytes(there), _bytes(topic))}
            plan.steps.append(Step("change settings", topic.name, {key: pair for key, pair in changes.items() if pair[0] != pair[1]}))
    return plan


def _retention(topic: Topic) -> str:
    return FOREVER if topic.retention_us is None else str(topic.retention_us // _MS)


def _bytes(topic: Topic) -> str:
    return FOREVER if topic.retention_bytes is None else str(topic.retention_bytes)


def plan_users(users: Sequence[User], cluster: Cluster, has_password: Callable[[User], bool]) -> Plan:
    """Compare users. `has_password` tells whether this side knows a user's password already."""
    if cluster.users is None:
        return Plan(
            findings=[Finding("users", "the cluster does not tell its users", "log in as 'admin', see docs/how-to/kafka-topics.md")]
        )
    plan = Plan()
    for user in users:
        if user.name not in cluster.users:
            plan.steps.append(Step("create user", user.name))
        elif not has_password(user):
            problem = "exists, and its password is not in the secrets here"
            mend = (
                f"copy the secret kafka-{user.name} from where it was made, or make another: 'trunkline topics apply --rotate {user.name}'"
            )
            plan.findings.append(Finding(user.name, problem, mend))
    return plan


def plan_rules(users: Sequence[User], layout: Layout, cluster: Cluster, *, revoke: bool = False) -> Plan:
    """Compare access lists. `revoke` takes away what the table does not give."""
    if cluster.rules is None:
        mend = "set authorizer.class.name in the brokers' configuration (deploy/kafka), and log in as 'admin'"
        return Plan(
            findings=[Finding("access", "the cluster shows no access list: everyone may do everything, or this login may not ask", mend)]
        )
    plan = Plan()
    wanted = wanted_rules(users, layout)
    for user in users:
        missing = sorted(rule for rule in wanted - cluster.rules if rule.principal == user.principal)
        extra = sorted(rule for rule in cluster.rules - wanted if rule.principal == user.principal)
        if missing:
            plan.steps.append(Step("grant", user.name, rules=tuple(missing)))
        if extra and revoke:
            plan.steps.append(Step("revoke", user.name, rules=tuple(extra)))
        elif extra:
            listed = "; ".join(describe(rule) for rule in extra[:3]) + (f" and {len(extra) - 3} more" if len(extra) > 3 else "")
            plan.findings.append(
                Finding(user.name, f"may do more than its role needs: {listed}", "take it away: 'trunkline topics apply --revoke'")
            )
    return plan


def describe(rule: Rule) -> str:
    """Return a rule in words."""
    return f"{rule.operation} on {rule.resource} {rule.name}{'…' if rule.pattern == 'prefixed' else ''}"


def _is_less(new: str, old: str | None) -> bool:
    if old is None or new == FOREVER:
        return False
    return old == FOREVER or int(new) < int(old)


def _too_few_brokers(topic: KafkaTopic, brokers: int) -> Finding:
    return Finding(
        topic.name,
        f"wants {topic.replication} copies, the cluster has {brokers} broker{'s' if brokers != 1 else ''}",
        "start more brokers, or use 'profile: development' (one copy: what one broker loses is lost)",
    )


def _other_partitions(topic: str, wanted: int, found: int) -> Finding:
    return Finding(
        topic,
        f"has {found} partitions, the site file says {wanted}: another number would send a tag's new readings to "
        "another partition than its old ones, and their order would be lost (PD-18)",
        f"write 'partitions: {found}', or move while nothing flows: docs/how-to/kafka-topics.md, 'Another number of partitions'",
    )


def _copies(count: int) -> str:
    return "one copy" if count == 1 else f"{count} copies"


def _shorter(topic: str, key: str, old: str | None, new: str) -> Finding:
    what = "a shorter retention deletes records" if key == "retention.ms" else "a smaller limit deletes records"
    return Finding(topic, f"{key} is {old}, the catalogue says {new}: {what}", "if that is meant: 'trunkline topics apply --shorten'")


def _fixed(wanted: KafkaTopic, found: KafkaTopic, brokers: int) -> Iterator[Finding]:
    if found.partitions != wanted.partitions:
        yield _other_partitions(wanted.name, wanted.partitions, found.partitions)
    if found.replication == wanted.replication:
        return
    if wanted.replication > brokers:
        yield _too_few_brokers(wanted, brokers)
    elif found.replication < wanted.replication:
        yield Finding(
            wanted.name,
            f"has {_copies(found.replication)} of each partition, the profile says {wanted.replication}",
            "add copies with kafka-reassign-partitions, while the site runs (docs/how-to/kafka-topics.md)",
        )
    else:
        yield Finding(
            wanted.name,
            f"has {_copies(found.replication)} of each partition, the profile says {wanted.replication}",
            "copies are never taken away here: use 'profile: production' for a cluster of three",
        )
