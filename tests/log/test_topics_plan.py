"""From the catalogue to a cluster: what is created, what is changed, and what is only explained."""

import dataclasses
from collections.abc import Callable
from typing import Final

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic

from trunkline.lab.kafka import Cluster as Brokers
from trunkline.log.kafka.access import User
from trunkline.log.kafka.admin import ClusterAdmin
from trunkline.log.kafka.plan import Cluster, KafkaTopic, plan_journal, plan_rules, plan_topics, plan_users, settings, wanted_topics
from trunkline.log.port import Topic
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import Misconfigured

LAYOUT: Final = Layout("gateway", 4)
EMPTY: Final = Cluster(3, {}, frozenset(), frozenset())


def of(topic: KafkaTopic, **more: str) -> Cluster:
    return Cluster(3, {topic.name: dataclasses.replace(topic, settings={**topic.settings, **more})}, frozenset(), frozenset())


def raw(profile: str = "production") -> KafkaTopic:
    return wanted_topics(LAYOUT, "production" if profile == "production" else "development")[0]


# --- comparing


def test_profiles() -> None:
    """ED-3, PD-20: three copies of which two must be there, or one of one."""
    production, development = raw(), raw("development")
    assert (production.replication, production.settings["min.insync.replicas"]) == (3, "2")
    assert (development.replication, development.settings["min.insync.replicas"]) == (1, "1")


def test_settings_of_the_plant() -> None:
    """P-22 to P-26: milliseconds to the digit; D-14: the time of appending."""
    found = {topic.name: topic for topic in wanted_topics(Layout("isa95", 200), "production")}
    flow, events, alarms = (found[f"scada.l2.{name}"] for name in ("telemetry.flow", "events", "alarms"))
    assert [one.settings["retention.ms"] for one in (flow, events, alarms)] == ["604800000", "2592000000", "7776000000"]
    assert {(one.partitions, one.replication, one.settings["min.insync.replicas"]) for one in (flow, events, alarms)} == {(200, 3, "2")}
    assert flow.settings["message.timestamp.type"] == "LogAppendTime"


def test_a_site_may_keep_telemetry_longer() -> None:
    spec = LAYOUT.spec("telemetry.clean")
    alarms = LAYOUT.spec("alarms.clean")
    assert spec is not None
    assert alarms is not None
    assert settings(spec, 2, 48 * times.HOUR)["retention.ms"] == "172800000"
    assert settings(alarms, 2, 48 * times.HOUR)["retention.ms"] == settings(alarms, 2)["retention.ms"]


def test_an_empty_cluster_gets_everything() -> None:
    plan = plan_topics(wanted_topics(LAYOUT, "production"), EMPTY)
    assert {step.subject for step in plan.steps} == {spec.name for spec in LAYOUT.specs()}
    assert {step.action for step in plan.steps} == {"create topic"}
    assert not plan.findings


def test_too_few_brokers_are_explained() -> None:
    plan = plan_topics([raw()], dataclasses.replace(EMPTY, brokers=1))
    assert plan.steps == []
    assert "wants 3 copies, the cluster has 1 broker" in plan.findings[0].problem
    assert "profile: development" in plan.findings[0].mend


@pytest.mark.parametrize("there", [3, 5])
def test_another_number_of_partitions_is_never_taken_over(there: int) -> None:
    """PD-18: more would move keys, fewer cannot be; both are explained with the way out."""
    topic = raw()
    plan = plan_topics([topic], of(dataclasses.replace(topic, partitions=there)))
    assert plan.steps == []
    (finding,) = plan.findings
    assert f"has {there} partitions, the site file says 4" in finding.problem
    assert "order would be lost (PD-18)" in finding.problem
    assert f"write 'partitions: {there}'" in finding.mend


def test_copies_are_explained_and_writes_are_not_stopped() -> None:
    """min.insync.replicas of two on a topic with one copy would refuse every write."""
    topic = raw()
    plan = plan_topics([topic], of(dataclasses.replace(topic, replication=1), **{"min.insync.replicas": "1"}))
    assert plan.steps == []
    assert "has one copy of each partition, the profile says 3" in plan.findings[0].problem
    more = plan_topics([raw("development")], of(raw("development").__class__(topic.name, 4, 3, raw("development").settings)))
    assert "never taken away" in more.findings[0].mend


def test_longer_retention_is_a_step_and_a_shorter_one_a_question() -> None:
    """D-49: a shorter retention deletes data."""
    topic = raw()
    longer = plan_topics([topic], of(topic, **{"retention.ms": "1000"}))
    assert longer.steps[0].changes == {"retention.ms": ("1000", "86400000")}
    for old in ("-1", "999999999999"):
        shorter = plan_topics([topic], of(topic, **{"retention.ms": old, "segment.ms": "7"}))
        assert shorter.steps[0].changes == {"segment.ms": ("7", "3600000")}
        assert "deletes records" in shorter.findings[0].problem
        meant = plan_topics([topic], of(topic, **{"retention.ms": old}), shorten=True)
        assert meant.steps[0].changes == {"retention.ms": (old, "86400000")}
        assert not meant.findings


def test_a_cluster_that_is_right_needs_nothing() -> None:
    wanted = wanted_topics(LAYOUT, "production")
    assert not plan_topics(wanted, Cluster(3, {topic.name: topic for topic in wanted}, None, None))


def test_users_and_rights_that_the_cluster_does_not_tell() -> None:
    """PD-13: without an authorizer access lists do nothing."""
    users = [User("api", "api")]
    silent = Cluster(1, {}, None, None)
    assert "does not tell its users" in plan_users(users, silent, lambda _: True).findings[0].problem
    assert "authorizer.class.name" in plan_rules(users, LAYOUT, silent).findings[0].mend


def test_a_user_whose_password_is_elsewhere() -> None:
    users = [User("api", "api"), User("validate", "validate")]
    plan = plan_users(users, Cluster(1, {}, frozenset({"api"}), frozenset()), lambda _: False)
    assert [(step.action, step.subject) for step in plan.steps] == [("create user", "validate")]
    assert plan.findings[0].subject == "api"
    assert "--rotate api" in plan.findings[0].mend


def test_a_journal() -> None:
    wanted = [Topic("a", 4, 10_000), Topic("b"), Topic("c", 2)]
    plan = plan_journal(wanted, {"a": Topic("a", 4, 5_000), "c": Topic("c", 3)})
    assert [(step.action, step.subject) for step in plan.steps] == [("change settings", "a"), ("create topic", "b")]
    assert plan.steps[0].changes == {"retention.ms": ("5", "10")}
    assert "has 3 partitions" in plan.findings[0].problem
    assert not plan_journal(wanted[1:2], {"b": Topic("b")})


# --- on a broker


Made = Callable[[int], list[KafkaTopic]]


@pytest.fixture
def wanted(topic_prefix: str) -> list[KafkaTopic]:
    return [dataclasses.replace(topic, name=topic_prefix + topic.name) for topic in wanted_topics(LAYOUT, "development")[:3]]


@pytest.fixture
def client(kafka: Brokers) -> AdminClient:
    return AdminClient({**kafka.client_settings()})


def test_applied_once_and_for_all(client: AdminClient, wanted: list[KafkaTopic]) -> None:
    """Issue 4: apply is idempotent, and what somebody else changed is found and put right."""
    admin = ClusterAdmin(client)
    names = [topic.name for topic in wanted]
    done: list[str] = []
    admin.apply(plan_topics(wanted, admin.look(names)), str, lambda step: done.append(step.subject))
    assert done == names
    found = admin.look(names)
    assert {name: (one.partitions, one.replication) for name, one in found.topics.items()} == {
        topic.name: (topic.partitions, 1) for topic in wanted
    }
    assert not plan_topics(wanted, found)

    drifted = ConfigResource(
        ResourceType.TOPIC,
        names[0],
        incremental_configs=[ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)],
    )
    (altered,) = client.incremental_alter_configs([drifted]).values()
    altered.result()
    plan = plan_topics(wanted, admin.look(names))
    assert [(step.subject, dict(step.changes)) for step in plan.steps] == [(names[0], {"retention.ms": ("1000", "86400000")})]
    admin.apply(plan, str, lambda _: None)
    assert not plan_topics(wanted, admin.look(names))


def test_topics_of_others_stay(client: AdminClient, wanted: list[KafkaTopic], topic_prefix: str) -> None:
    """Nothing is deleted, whoever made it."""
    admin = ClusterAdmin(client)
    (made,) = client.create_topics([NewTopic(f"{topic_prefix}theirs", 1, 1)]).values()
    made.result()
    admin.apply(plan_topics(wanted, admin.look([topic.name for topic in wanted])), str, lambda _: None)
    assert admin.look([f"{topic_prefix}theirs"]).topics


def test_a_topic_that_came_meanwhile(client: AdminClient, wanted: list[KafkaTopic]) -> None:
    """Two people apply at once: both succeed."""
    admin = ClusterAdmin(client)
    plan = plan_topics(wanted, admin.look([topic.name for topic in wanted]))
    admin.apply(plan, str, lambda _: None)
    admin.apply(plan, str, lambda _: None)
    assert not plan_topics(wanted, admin.look([topic.name for topic in wanted]))


def test_three_copies_on_one_broker(client: AdminClient, wanted: list[KafkaTopic]) -> None:
    """The broker itself refuses what the plan would not even try."""
    admin = ClusterAdmin(client)
    three = [dataclasses.replace(topic, replication=3) for topic in wanted]
    cluster = admin.look([topic.name for topic in three])
    assert cluster.brokers == 1
    plan = plan_topics(three, cluster)
    assert plan.steps == []
    assert len(plan.findings) == 3


def test_without_an_authorizer_there_is_no_access_list(client: AdminClient) -> None:
    found = ClusterAdmin(client).look([], ["api"])
    assert found.rules is None
    assert found.users == frozenset()


def test_no_broker() -> None:
    admin = ClusterAdmin(AdminClient({"bootstrap.servers": "127.0.0.1:1", "socket.timeout.ms": 1000}))
    with pytest.raises(Exception, match="no broker answers") as raised:
        admin.look(["a"])
    assert not isinstance(raised.value, Misconfigured)
