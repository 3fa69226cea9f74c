"""Least privilege: the table itself, and what three secured brokers make of it: every role, resource and operation."""

import secrets
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka import TopicPartition as At
from confluent_kafka.admin import AclOperation, AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.log.behaviour import eventually

from trunkline.config.kafka import KafkaSecurity
from trunkline.config.secrets import SecretStore
from trunkline.config.site import LogConfig
from trunkline.lab.kafka import Cluster, Scram
from trunkline.log.kafka.access import CLUSTER, ROLES, SUPPORTED, Operations, Resource, User, allowed, grants, implied, site_users
from trunkline.log.kafka.admin import OPERATIONS, ClusterAdmin
from trunkline.log.kafka.plan import COPIES, Rule, plan_rules, plan_topics, plan_users, wanted_rules, wanted_topics
from trunkline.log.opening import open_site_log
from trunkline.log.port import Log, Record, TopicPartition
from trunkline.log.topics import TABLES, Layout
from trunkline.model.reading import Category

USERS: Final = (
    User("gateway-g1", "gateway"),
    User("validate", "validate"),
    User("evaluate", "evaluate"),
    User("notify", "notify"),
    User("historian", "historian"),
    User("api", "api"),
    User("site", "site"),
    User("reader-bi", "external-reader"),
    User("producer-erp", "external-producer"),
    User("mirror-rig", "mirror"),
    User("operator", "admin"),  # the cluster's own 'admin' is a super user: rights would not show
)
STRANGER: Final = "someone.elses.topic"
GROUPS: Final = (
    "validate",
    "historian",
    "alarms",
    "notify",
    "notify.pager",
    "reader-bi",
    "reader-bi.dashboards",
    "edge-rig-mm2",
    "edge-other-mm2",
    "someone.elses.group",
)
MIRROR_BOOKS: Final = {
    *(f"mm2-{book}.edge-rig.internal" for book in ("configs", "offsets", "status", "offset-syncs")),
    "edge-rig.checkpoints.internal",
}
TRANSACTIONS: Final = ("gateway-g1.append", "gateway-g2.append", "validate.worker-0", "alarms.alarms-0")
OPERATION_OF: Final = {kind: operation for operation, kind in OPERATIONS.items()}


@pytest.fixture(params=sorted(TABLES), scope="module")
def layout(request: pytest.FixtureRequest) -> Layout:
    return Layout(request.param, 1)


#: The table is derived for every layout alike: what takes long is tried with one of them.
once = pytest.mark.parametrize("layout", ["gateway"], indirect=True, scope="module")


# --- the table


def test_there_is_a_user_for_every_role() -> None:
    assert {user.role for user in USERS} == set(ROLES)


def test_nobody_but_administration_makes_or_changes_topics(layout: Layout) -> None:
    """P-91: MirrorMaker keeps its own books, in topics of its own."""
    for user in USERS:
        for grant in grants(user, layout):
            assert grant.operations <= SUPPORTED[grant.resource]
            if user.role == "admin" or (user.role == "mirror" and grant.name in MIRROR_BOOKS):
                continue
            assert not grant.operations & {"create", "delete", "alter", "alter-configs", "cluster-action"}, (user, grant)


def test_producers_do_not_read_and_consumers_do_not_write(layout: Layout) -> None:
    """P-124."""
    for spec in layout.specs():
        assert "read" not in allowed(User("producer-erp", "external-producer"), layout, "topic", spec.name)
        assert "write" not in allowed(User("reader-bi", "external-reader"), layout, "topic", spec.name)
        asks = spec.name == layout.alarm_actions
        assert ("write" in allowed(User("api", "api"), layout, "topic", spec.name)) == asks, "the page asks the alarm step, nobody else"
    for raw in layout.categories("raw"):
        assert allowed(User("gateway-g1", "gateway"), layout, "topic", raw) == {"write", "describe"}
        assert "write" not in allowed(User("historian", "historian"), layout, "topic", raw)


def test_only_validation_writes_what_counts_as_valid(layout: Layout) -> None:
    for clean in layout.categories("clean"):
        writers = {user.role for user in USERS if "write" in allowed(user, layout, "topic", clean)}
        assert writers == {"validate", "site", "admin"}


def test_what_the_table_does_not_name_is_denied(layout: Layout) -> None:
    """ED-21: deny by default."""
    for user in USERS:
        if user.role != "admin":
            assert not allowed(user, layout, "topic", STRANGER)
            assert not allowed(user, layout, "group", "someone.elses.group")
        assert "cluster-action" not in allowed(user, layout, "cluster", CLUSTER)
        assert "write" not in allowed(user, layout, "transactional-id", "someone.else")


def test_a_gateway_cannot_take_another_ones_transactions(layout: Layout) -> None:
    """PD-14, ED-7: one gateway fences no other."""
    one = User("gateway-g1", "gateway")
    assert "write" in allowed(one, layout, "transactional-id", "gateway-g1.append")
    assert not allowed(one, layout, "transactional-id", "gateway-g10.append")
    assert not allowed(one, layout, "transactional-id", "gateway-g2.append")


def test_an_edge_keeps_its_books_to_itself(layout: Layout) -> None:
    """D-20: MirrorMaker 2 of one edge neither reads nor fences that of another."""
    one = User("mirror-rig", "mirror")
    for book in MIRROR_BOOKS:
        assert {"create", "read", "write"} <= allowed(one, layout, "topic", book)
        assert not allowed(one, layout, "topic", book.replace("edge-rig", "edge-rig-2"))
    assert "write" in allowed(one, layout, "transactional-id", "edge-rig-mm2-MirrorSourceConnector-0")
    assert not allowed(one, layout, "transactional-id", "edge-rig-2-mm2-MirrorSourceConnector-0")
    assert not allowed(one, layout, "group", "edge-rig-2-mm2")


def test_a_site_has_a_principal_for_every_gateway() -> None:
    """PD-14."""
    names = [user.name for user in site_users(["g1", "g2"])]
    assert names == ["gateway-g1", "gateway-g2", "validate", "evaluate", "notify", "historian", "api", "site", "admin"]


# --- the brokers


class Plant(NamedTuple):
    """A secured cluster with the users, topics and rights of a layout."""

    layout: Layout
    cluster: Cluster
    passwords: dict[str, str]

    def settings(self, user: str) -> dict[str, Any]:
        return dict(self.cluster.client_settings(Scram(user, self.passwords[user])))


@pytest.fixture(scope="module")
def passwords() -> dict[str, str]:
    return {user.name: secrets.token_urlsafe(24) for user in USERS}


@pytest.fixture(scope="module")
def plant(layout: Layout, secured_kafka: Cluster, passwords: dict[str, str]) -> Plant:
    client = AdminClient({**secured_kafka.client_settings()})
    admin = ClusterAdmin(client)
    wanted = wanted_topics(layout, "production")
    names = [topic.name for topic in wanted]
    cluster = admin.look(names, [user.name for user in USERS])
    plan = plan_topics(wanted, cluster) + plan_users(USERS, cluster, lambda _: True) + plan_rules(USERS, layout, cluster, revoke=True)
    assert plan.findings == []
    admin.apply(plan, passwords.__getitem__, lambda _: None)
    (made,) = client.create_topics([NewTopic(STRANGER, 1, 3)]).values()
    assert made.exception() is None or code(made.exception()) == KafkaError.TOPIC_ALREADY_EXISTS
    place = At(STRANGER, 0, 0)
    for group in GROUPS:
        (done,) = client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [place])]).values()
        done.result()
    return Plant(layout, secured_kafka, passwords)


def code(error: BaseException | None) -> int | None:
    return error.args[0].code() if isinstance(error, KafkaException) else None


def words(operations: list[AclOperation] | None) -> Operations:
    return frozenset(OPERATION_OF[one] for one in operations or () if one in OPERATION_OF)


def told(plant: Plant, user: User) -> dict[tuple[Resource, str], Operations]:
    """Ask the brokers what this user may do; what they do not even describe is nothing."""
    client = AdminClient(plant.settings(user.name))
    found: dict[tuple[Resource, str], Operations] = {}
    topics = [*(spec.name for spec in plant.layout.specs()), STRANGER]
    for name, topic in client.describe_topics(TopicCollection(topics), include_authorized_operations=True).items():
        error = topic.exception()
        assert error is None or code(error) == KafkaError.TOPIC_AUTHORIZATION_FAILED, (user, name, error)
        found["topic", name] = words(topic.result().authorized_operations) if error is None else frozenset()
    for name, group in client.describe_consumer_groups(list(GROUPS), include_authorized_operations=True).items():
        error = group.exception()
        assert error is None or code(error) == KafkaError.GROUP_AUTHORIZATION_FAILED, (user, name, error)
        found["group", name] = words(group.result().authorized_operations) if error is None else frozenset()
    cluster = client.describe_cluster(include_authorized_operations=True).result()
    found["cluster", CLUSTER] = words(cluster.authorized_operations)
    return found


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.role)
def test_the_brokers_allow_what_the_table_says_and_nothing_else(plant: Plant, user: User) -> None:
    """Issue 4: every role x operation x resource, by the brokers' own authorizer."""
    found = told(plant, user)
    assert len(found) == len(plant.layout.specs()) + 1 + len(GROUPS) + 1
    wrong = {
        place: (sorted(operations), sorted(allowed(user, plant.layout, *place)))
        for place, operations in found.items()
        if operations != allowed(user, plant.layout, *place)
    }
    assert not wrong, "brokers, table"


@once
def test_transactional_ids(plant: Plant) -> None:
    """A transactional id is its owner's alone: who had another's could fence it out."""
    for user in (one for one in USERS if one.role in ("gateway", "validate", "external-reader")):
        for name in TRANSACTIONS:
            may = "write" in allowed(user, plant.layout, "transactional-id", name)
            refusal = None if may else KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            assert started(plant.settings(user.name), name) == refusal, (user, name)


def started(settings: dict[str, Any], name: str) -> int | None:
    """Return the error's code of a transactional producer's start, None when it may go on."""
    try:
        Producer({**settings, "transactional.id": name}).init_transactions(30)
    except KafkaException as error:
        return code(error)
    return None


def delivered(producer: Producer, topic: str) -> int | None:
    """Return the error's code of one record, None when it was stored."""
    errors: list[KafkaError | None] = []
    producer.produce(topic, b"{}", on_delivery=lambda error, _: errors.append(error))
    producer.flush(30)
    (error,) = errors
    return error.code() if error else None


@once
def test_rights_hold_where_records_flow(plant: Plant) -> None:
    """P-124 on the wire: a gateway writes raw and cannot read it, an outside reader reads clean and writes nothing."""
    raw, clean = (plant.layout.topic(Category.EVENT, stage) for stage in ("raw", "clean"))
    gateway = Producer(plant.settings("gateway-g1"))
    assert delivered(gateway, raw) is None
    assert delivered(gateway, clean) == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert delivered(Producer(plant.settings("validate")), clean) is None
    reader = plant.settings("reader-bi")
    assert delivered(Producer(reader), raw) == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert polled(reader, "reader-bi.dashboards", clean) is None
    assert polled(reader, "historian", clean) == KafkaError.GROUP_AUTHORIZATION_FAILED
    assert polled(plant.settings("gateway-g1"), "gateway-g1", raw) in (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    )


def opened(plant: Plant, user: str, directory: Path) -> Log:
    """The site log as this user's process opens it."""
    assert plant.cluster.security is not None
    store = SecretStore(directory / "secrets", directory)
    store.put(f"kafka-{user}", plant.passwords[user], overwrite=True)
    security = KafkaSecurity(username=user, password=f"${{secret:kafka-{user}}}", ca=str(plant.cluster.security.ca))
    config = LogConfig(
        engine="kafka", bootstrap=plant.cluster.bootstrap, security=security, layout=plant.layout.name, partitions=1, timeout_seconds=30
    )
    return open_site_log(config, directory, store)


@once
@pytest.mark.parametrize("together", [False, True], ids=["each its own", "site"])
def test_the_platform_needs_no_more_than_its_roles_have(plant: Plant, tmp_path: Path, together: bool) -> None:
    """Least privilege is enough: gateway, validation, historian and API do their work with the rights of the table."""
    layout, record = plant.layout, Record(b"{}", b"PLANT01")

    def of(role: str) -> Log:
        return opened(plant, "site" if together else role, tmp_path)

    def at(topic: str) -> TopicPartition:
        return TopicPartition(topic, 0)

    with closing(of("gateway-g1")) as gateway:
        for topic in (*layout.categories("raw"), layout.overflow, layout.platform_log, layout.gateway_status):
            gateway.append(topic, [record])
        confirmations = gateway.bounds(layout.confirmations)
        gateway.read(at(layout.confirmations), confirmations[at(layout.confirmations)][0])
    with closing(of("validate")) as validation, validation.consumer("validate", list(layout.categories("raw")), "worker-0") as consumer:
        batch = consumer.poll(1000, 30)
        assert batch
        consumer.commit(
            batch.positions, with_appends={topic: [record] for topic in (*layout.categories("clean"), *layout.categories("dead"))}
        )
        ends = [at(topic) for topic in layout.categories("clean")]
        # a transaction is confirmed a moment before its records can be read
        eventually(lambda: all(validation.read(end, validation.bounds(end.topic)[end][0]) for end in ends))
    with closing(of("historian")) as history:
        with history.consumer("historian", [*layout.categories("clean"), layout.gateway_status, layout.overflow], "historian") as reader:
            found = reader.poll(1000, 30)
            assert found
            reader.commit(found.positions)
        history.append(layout.confirmations, [record])
        for topic in layout.categories("dead"):
            history.append(topic, [record])
    with closing(of("api")) as api:
        assert api.committed("validate")
        assert api.committed("historian")
        for topic in (*layout.categories("raw"), *layout.categories("clean"), *layout.categories("dead"), layout.gateway_status):
            first, _ = api.bounds(topic)[at(topic)]
            assert api.read(at(topic), first)


def polled(settings: dict[str, Any], group: str, topic: str) -> int | None:
    """Return the first error's code of a consumer, None when it read a record."""
    consumer = Consumer({**settings, "group.id": group, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        for _ in range(60):
            message = consumer.poll(1)
            if message is not None:
                error = message.error()
                return error.code() if error else None
        raise AssertionError(f"{group} got neither a record of {topic} nor an error")
    finally:
        consumer.close()


@once
@pytest.mark.parametrize("name", ["gateway-g1", "historian", "api", "reader-bi", "site"])
def test_services_neither_create_nor_delete_nor_change(plant: Plant, name: str) -> None:
    """P-91, P-124."""
    client = AdminClient(plant.settings(name))
    (made,) = client.create_topics([NewTopic("extra", 1, 3)]).values()
    assert code(made.exception()) == KafkaError.TOPIC_AUTHORIZATION_FAILED
    (gone,) = client.delete_topics([plant.layout.topic(Category.EVENT, "raw")]).values()
    assert code(gone.exception()) == KafkaError.TOPIC_AUTHORIZATION_FAILED


@once
def test_what_is_not_in_the_table_is_found_and_taken_away(plant: Plant) -> None:
    admin = ClusterAdmin(AdminClient({**plant.cluster.client_settings()}))
    user = User("reader-bi", "external-reader")
    extra = Rule(user.principal, "topic", STRANGER, "literal", "write")
    admin.apply(plan_rules([user], plant.layout, admin.look([], [user.name])), str, lambda _: None)
    plan = plan_rules([user], plant.layout, admin.look([], [user.name]))
    assert not plan
    admin._grant([extra])
    found = plan_rules([user], plant.layout, admin.look([], [user.name]))
    assert found.steps == []
    assert f"write on topic {STRANGER}" in found.findings[0].problem
    admin.apply(plan_rules([user], plant.layout, admin.look([], [user.name]), revoke=True), str, lambda _: None)
    assert not plan_rules([user], plant.layout, admin.look([], [user.name]))


def test_the_list_is_as_long_as_it_must_be(layout: Layout) -> None:
    """What Kafka implies is not granted once more: a reader would think that it could be taken away alone."""
    for user in USERS:
        for grant in grants(user, layout):
            for operation in grant.operations:
                assert operation not in implied(grant.operations - {operation}), (user, grant)
    assert len(wanted_rules(USERS, layout)) == len({*wanted_rules(USERS, layout)})
    assert COPIES["production"] == (3, 2)
