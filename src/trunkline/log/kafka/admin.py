"""Looks at a cluster and carries out plans: topics, settings, SCRAM users and access lists.

What Kafka accepts becomes visible later and not on all brokers at once, so every step that was carried out is looked for until it is seen.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar, cast

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from trunkline.log.kafka.access import CLUSTER, Operation, Pattern, Resource
from trunkline.log.kafka.plan import Cluster, KafkaTopic, Plan, Rule, Step
from trunkline.log.kafka.settings import explain
from trunkline.model.errors import RetryLater

T = TypeVar("T")

_REQUEST_SECONDS: Final = 30.0
_SEEN_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.1
_ITERATIONS: Final = 8192
_RESOURCES: Final[Mapping[Resource, ResourceType]] = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}
_PATTERNS: Final[Mapping[Pattern, ResourcePatternType]] = {
    "literal": ResourcePatternType.LITERAL,
    "prefixed": ResourcePatternType.PREFIXED,
}
OPERATIONS: Final[Mapping[Operation, AclOperation]] = {
    "read": AclOperation.READ,
    "write": AclOperation.WRITE,
    "create": AclOperation.CREATE,
    "delete": AclOperation.DELETE,
    "alter": AclOperation.ALTER,
    "describe": AclOperation.DESCRIBE,
    "cluster-action": AclOperation.CLUSTER_ACTION,
    "describe-configs": AclOperation.DESCRIBE_CONFIGS,
    "alter-configs": AclOperation.ALTER_CONFIGS,
}
_RESOURCE_OF: Final = {kind: resource for resource, kind in _RESOURCES.items()}
_PATTERN_OF: Final = {kind: pattern for pattern, kind in _PATTERNS.items()}
_OPERATION_OF: Final = {kind: operation for operation, kind in OPERATIONS.items()}


class ClusterAdmin:
    """A cluster as an administrator sees it.

    Every method raises what `trunkline.log.kafka.settings.explain` makes of a refusal: Misconfigured for missing rights and wrong
    settings, RetryLater while no broker answers.

    Args:
        client: connected with an administrator's login.
    """

    def __init__(self, client: AdminClient) -> None:
        self._client = client

    def look(self, topics: Iterable[str], users: Sequence[str] = ()) -> Cluster:
        """Return what the cluster holds of these topics and users."""
        try:
            metadata = self._client.list_topics(timeout=_REQUEST_SECONDS)
        except KafkaException as error:
            raise explain(error.args[0]) from error
        present = [name for name in topics if name in metadata.topics and metadata.topics[name].error is None]
        settings = self._settings(present)
        found = {}
        for name in present:
            partitions = metadata.topics[name].partitions.values()
            copies = min(len(partition.replicas) for partition in partitions)
            found[name] = KafkaTopic(name, len(partitions), copies, settings[name])
        return Cluster(
            brokers=len(metadata.brokers),
            topics=found,
            users=self._users(users) if users else None,
            rules=self._rules({f"User:{name}" for name in users}) if users else None,
        )

    def apply(self, plan: Plan, password: Callable[[str], str], told: Callable[[Step], None]) -> None:
        """Carry out a plan's steps one after the other; each is told once it can be seen on the cluster.

        Args:
            plan: what to do; its findings are left alone.
            password: returns the password to give a user.
            told: called after each step.
        """
        for step in plan.steps:
            match step.action:
                case "create topic":
                    self._create(step)
                case "change settings":
                    self._change(step)
                case "create user":
                    self.set_password(step.subject, password(step.subject))
                case "grant":
                    self._grant(step.rules)
                case "revoke":
                    self._revoke(step.rules)
            told(step)

    def groups(self) -> dict[str, str]:
        """Return every consumer group that this login may see, with its state."""
        found = _result(self._client.list_consumer_groups(request_timeout=_REQUEST_SECONDS))
        if found.errors and not found.valid:
            raise explain(found.errors[0].args[0])
        return {listing.group_id: listing.state.name.lower() for listing in found.valid}

    def set_password(self, user: str, password: str) -> None:
        """Create a SCRAM-SHA-512 user, or give one another password."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        alterations: list[UserScramCredentialAlteration] = [UserScramCredentialUpsertion(user, info, password.encode())]
        for future in self._client.alter_user_scram_credentials(alterations, request_timeout=_REQUEST_SECONDS).values():
            _result(future)
        self._until(lambda: user in (self._users([user]) or ()), f"user {user}")

    def _create(self, step: Step) -> None:
        config = {key: new for key, (_, new) in step.changes.items()}
        topic = NewTopic(step.subject, num_partitions=step.partitions, replication_factor=step.replication, config=config)
        for future in self._client.create_topics([topic], request_timeout=_REQUEST_SECONDS).values():
            error = future.exception()
            # somebody else created it meanwhile: what differs from the plan is found by the next look
            if not (isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS):
                _result(future)
        self._until(lambda: self._has_leaders(step.subject, step.partitions), f"topic {step.subject}")

    def _has_leaders(self, topic: str, partitions: int) -> bool:
        found = self._client.list_topics(topic, timeout=_REQUEST_SECONDS).topics[topic]
        return found.error is None and len(found.partitions) == partitions and all(one.leader >= 0 for one in found.partitions.values())

    def _change(self, step: Step) -> None:
        entries = [ConfigEntry(key, new, incremental_operation=AlterConfigOpType.SET) for key, (_, new) in step.changes.items()]
        resource = ConfigResource(ResourceType.TOPIC, step.subject, incremental_configs=entries)
        for future in self._client.incremental_alter_configs([resource], request_timeout=_REQUEST_SECONDS).values():
            _result(future)
        wanted = {key: new for key, (_, new) in step.changes.items()}
        self._until(lambda: wanted.items() <= self._settings([step.subject])[step.subject].items(), f"settings of {step.subject}")

    def _grant(self, rules: Sequence[Rule]) -> None:
        for future in self._client.create_acls([_binding(rule) for rule in rules], request_timeout=_REQUEST_SECONDS).values():
            _result(future)
        principals = {rule.principal for rule in rules}
        self._until(lambda: set(rules) <= (self._rules(principals) or frozenset()), "the access list")

    def _revoke(self, rules: Sequence[Rule]) -> None:
        for future in self._client.delete_acls([_filter(rule) for rule in rules], request_timeout=_REQUEST_SECONDS).values():
            _result(future)
        principals = {rule.principal for rule in rules}
        self._until(lambda: not set(rules) & (self._rules(principals) or frozenset()), "the access list")

    def _settings(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        if not topics:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        futures = self._client.describe_configs(resources, request_timeout=_REQUEST_SECONDS)
        return {
            resource.name: {name: entry.value for name, entry in _result(future).items() if entry.value is not None}
            for resource, future in futures.items()
        }

    def _users(self, names: Sequence[str]) -> frozenset[str] | None:
        """Return which of the users there are; None when this login may not ask."""
        found = set()
        futures = self._client.describe_user_scram_credentials(list(names), request_timeout=_REQUEST_SECONDS)
        assert isinstance(futures, dict)
        for name, future in futures.items():
            try:
                future.result()
            except KafkaException as error:
                code = error.args[0].code()
                if code in (KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.UNSUPPORTED_VERSION):
                    return None
                if code != KafkaError.RESOURCE_NOT_FOUND:
                    raise explain(error.args[0]) from error
            else:
                found.add(name)
        return frozenset(found)

    def _rules(self, principals: Iterable[str]) -> frozenset[Rule] | None:
        """Return the access list of these principals; None without an authorizer, or when this login may not ask."""
        anything: Any = None  # the client takes None for 'whatever it is'; its annotations do not say so
        everything = AclBindingFilter(
            ResourceType.ANY, anything, ResourcePatternType.ANY, anything, anything, AclOperation.ANY, AclPermissionType.ANY
        )
        future: Future[list[AclBinding]] = self._client.describe_acls(everything, request_timeout=_REQUEST_SECONDS)
        try:
            bindings = future.result()
        except KafkaException as error:
            if error.args[0].code() in (KafkaError.SECURITY_DISABLED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
                return None
            raise explain(error.args[0]) from error
        wanted = set(principals)
        return frozenset(rule for binding in bindings if binding.principal in wanted for rule in _rules_of(binding))

    def _until(self, seen: Callable[[], bool], what: str) -> None:
        """Look until `seen` holds as often in a row as there are brokers, for each look may ask another one."""
        brokers = len(self._client.list_topics(timeout=_REQUEST_SECONDS).brokers)
        deadline = time.monotonic() + _SEEN_SECONDS
        in_a_row = 0
        while in_a_row < brokers:
            if seen():
                in_a_row += 1
            elif time.monotonic() > deadline:
                raise RetryLater(f"{what}: accepted, and not visible after {_SEEN_SECONDS:.0f} s: look again with 'trunkline topics drift'")
            else:
                in_a_row = 0
                time.sleep(_LOOK_SECONDS)


def _rules_of(binding: AclBinding) -> list[Rule]:
    """Return a binding as rules; denials and unknown kinds are no rules of ours."""
    resource = _RESOURCE_OF.get(cast("ResourceType", binding.restype))
    pattern = _PATTERN_OF.get(cast("ResourcePatternType", binding.resource_pattern_type))
    if binding.permission_type != AclPermissionType.ALLOW or resource is None or pattern is None:
        return []
    if binding.operation == AclOperation.ALL:
        return [Rule(binding.principal, resource, binding.name, pattern, operation) for operation in OPERATIONS]
    operation = _OPERATION_OF.get(cast("AclOperation", binding.operation))
    return [] if operation is None else [Rule(binding.principal, resource, binding.name, pattern, operation)]


def _binding(rule: Rule) -> AclBinding:
    name = CLUSTER if rule.resource == "cluster" else rule.name
    return AclBinding(
        _RESOURCES[rule.resource], name, _PATTERNS[rule.pattern], rule.principal, "*", OPERATIONS[rule.operation], AclPermissionType.ALLOW
    )


def _filter(rule: Rule) -> AclBindingFilter:
    return AclBindingFilter(
        _RESOURCES[rule.resource],
        rule.name,
        _PATTERNS[rule.pattern],
        rule.principal,
        "*",
        OPERATIONS[rule.operation],
        AclPermissionType.ALLOW,
    )


def _result(future: "Future[T]") -> T:
    try:
        return future.result()
    except KafkaException as error:
        raise explain(error.args[0]) from error
