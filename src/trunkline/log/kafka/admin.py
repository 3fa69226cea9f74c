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
    ClusterMetadata,
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
from trunkline.log.kafka.errors import explain
from trunkline.log.kafka.plan import Cluster, KafkaTopic, Plan, Rule, Step
from trunkline.log.kafka.settings import Connection
from trunkline.model.errors import RetryLater, TrunklineError

T = TypeVar("T")

_REQUEST_SECONDS: Final = 30.0
_FIRST_SECONDS: Final = 3.0
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

    Every method raises what `trunkline.log.kafka.errors.explain` makes of a refusal: Misconfigured for missing rights and wrong
    settings, RetryLater while no broker answers.

    Args:
        client: connected with an administrator's login.
        connection: what the client was made with; knows why a login fails.
    """

    def __init__(self, client: AdminClient, connection: Connection | None = None) -> None:
        self._client = client
        self._connection = connection
        self._timeout = connection.timeout if connection else _REQUEST_SECONDS

    def look(self, topics: Iterable[str], users: Sequence[str] = ()) -> Cluster:
        """Return what the cluster holds of these topics and users."""
        metadata = self._metadata()
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
            rules=self._rules({f"User:{name}" for name in users}) if users and self._has_authorizer(min(metadata.brokers)) else None,
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
        found = self._result(self._client.list_consumer_groups(request_timeout=_REQUEST_SECONDS), "list the groups")
        if found.errors and not found.valid:
            raise self._explain(found.errors[0], "list the groups")
        return {listing.group_id: listing.state.name.lower() for listing in found.valid}

    def set_password(self, user: str, password: str) -> None:
        """Create a SCRAM-SHA-512 user, or give one another password."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        alterations: list[UserScramCredentialAlteration] = [UserScramCredentialUpsertion(user, info, password.encode())]
        for future in self._client.alter_user_scram_credentials(alterations, request_timeout=_REQUEST_SECONDS).values():
            self._result(future, f"set the password of {user}")
        self._until(lambda: user in (self._users([user]) or ()), f"user {user}")

    def _create(self, step: Step) -> None:
        config = {key: new for key, (_, new) in step.changes.items()}
        topic = NewTopic(step.subject, num_partitions=step.partitions, replication_factor=step.replication, config=config)
        for future in self._client.create_topics([topic], request_timeout=_REQUEST_SECONDS).values():
            error = future.exception()
            # somebody else created it meanwhile: what differs from the plan is found by the next look
            if not (isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS):
                self._result(future, f"create topic {step.subject}", step.subject)
        self._until(lambda: self._has_leaders(step.subject, step.partitions), f"topic {step.subject}")

    def _has_leaders(self, topic: str, partitions: int) -> bool:
        found = self._client.list_topics(topic, timeout=_REQUEST_SECONDS).topics[topic]
        return found.error is None and len(found.partitions) == partitions and all(one.leader >= 0 for one in found.partitions.values())

    def _change(self, step: Step) -> None:
        entries = [ConfigEntry(key, new, incremental_operation=AlterConfigOpType.SET) for key, (_, new) in step.changes.items()]
        resource = ConfigResource(ResourceType.TOPIC, step.subject, incremental_configs=entries)
        for future in self._client.incremental_alter_configs([resource], request_timeout=_REQUEST_SECONDS).values():
            self._result(future, f"change the settings of topic {step.subject}", step.subject)
        wanted = {key: new for key, (_, new) in step.changes.items()}
        self._until(lambda: wanted.items() <= self._settings([step.subject])[step.subject].items(), f"settings of {step.subject}")

    def _grant(self, rules: Sequence[Rule]) -> None:
        for future in self._client.create_acls([_binding(rule) for rule in rules], request_timeout=_REQUEST_SECONDS).values():
            self._result(future, "grant rights")
        principals = {rule.principal for rule in rules}
        self._until(lambda: set(rules) <= (self._rules(principals) or frozenset()), "the access list")

    def _revoke(self, rules: Sequence[Rule]) -> None:
        for future in self._client.delete_acls([_filter(rule) for rule in rules], request_timeout=_REQUEST_SECONDS).values():
            self._result(future, "take rights away")
        principals = {rule.principal for rule in rules}
        self._until(lambda: not set(rules) & (self._rules(principals) or frozenset()), "the access list")

    def _settings(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        if not topics:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        futures = self._client.describe_configs(resources, request_timeout=_REQUEST_SECONDS)
        found = {}
        for resource, future in futures.items():
            entries = self._result(future, f"ask for the settings of topic {resource.name}", resource.name)
            found[resource.name] = {name: entry.value for name, entry in entries.items() if entry.value is not None}
        return found

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
                    raise self._explain(error, f"ask for user {name}") from error
            else:
                found.add(name)
        return frozenset(found)

    def _rules(self, principals: Iterable[str]) -> frozenset[Rule] | None:
        """Return the access list of these principals; None when this login may not ask."""
        wanted = set(principals)
        anything: Any = None  # the client takes None for 'whatever it is'; its annotations do not say so
        whose = next(iter(wanted)) if len(wanted) == 1 else anything
        everything = AclBindingFilter(
            ResourceType.ANY, anything, ResourcePatternType.ANY, whose, anything, AclOperation.ANY, AclPermissionType.ANY
        )
        future: Future[list[AclBinding]] = self._client.describe_acls(everything, request_timeout=_REQUEST_SECONDS)
        try:
            bindings = future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
                return None
            raise self._explain(error, "ask for the access list") from error
        return frozenset(rule for binding in bindings if binding.principal in wanted for rule in _rules_of(binding))

    def _has_authorizer(self, broker: int) -> bool:
        """Return whether rights are looked at. Brokers without an authorizer answer questions for access lists with empty ones."""
        resource = ConfigResource(ResourceType.BROKER, str(broker))
        (future,) = self._client.describe_configs([resource], request_timeout=_REQUEST_SECONDS).values()
        entry = self._result(future, f"ask for the settings of broker {broker}").get("authorizer.class.name")
        return entry is not None and bool(entry.value)

    def _metadata(self) -> ClusterMetadata:
        """Ask for brokers and topics. A login that is refused is known after the first, short wait."""
        try:
            return self._client.list_topics(timeout=_FIRST_SECONDS)
        except KafkaException as error:
            told = self._explain(error, "reach the cluster")
            if not isinstance(told, RetryLater):
                raise told from error
        try:
            return self._client.list_topics(timeout=self._timeout)
        except KafkaException as error:
            raise self._explain(error, "reach the cluster") from error

    def _result(self, future: "Future[T]", doing: str, resource: str = "") -> T:
        try:
            return future.result()
        except KafkaException as error:
            raise self._explain(error, doing, resource) from error

    def _explain(self, error: KafkaException, doing: str, resource: str = "") -> TrunklineError:
        if self._connection is None:
            return explain(error, doing=doing, resource=resource)
        self._client.poll(0)  # lets the client tell why a login fails
        return self._connection.explain(error, doing, resource)

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
