"""Passwords of Kafka principals: made once, kept private, replaced so that a crash at any point mends itself."""

import re
import stat
from pathlib import Path

import pytest

from trunkline.config.secrets import SecretStore, SecretUnavailable
from trunkline.model.errors import NotConnected
from trunkline.security.kafka_credentials import provision, rotate, secret_name


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path / "secrets", tmp_path)


class Brokers:
    """What brokers remember: one password for each principal."""

    def __init__(self) -> None:
        self.passwords: dict[str, str] = {}
        self.away = False
        self.answers = True

    def set_password(self, principal: str, password: str) -> None:
        if self.away:
            raise NotConnected("no broker answers")
        self.passwords[principal] = password
        if not self.answers:
            raise NotConnected("the answer was lost")


def password(store: SecretStore, principal: str) -> str:
    return store.resolve("${secret:kafka-" + principal + "}")


def test_every_principal_gets_a_password_of_its_own(store: SecretStore) -> None:
    """PD-14, PD-15: strong, safe in URLs, readable by its owner only."""
    made = list(provision(store, ["gateway-g1", "gateway-g2", "historian"]))
    assert [one.file.name for one in made] == ["kafka-gateway-g1", "kafka-gateway-g2", "kafka-historian"]
    assert all(one.made for one in made)
    passwords = {password(store, one.principal) for one in made}
    assert len(passwords) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", one) for one in passwords)
    assert {stat.S_IMODE(one.file.stat().st_mode) for one in made} == {0o600}
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    assert not any(one in repr(made) for one in passwords)


def test_a_password_that_is_there_is_kept(store: SecretStore) -> None:
    """PD-15: the generator refuses to overwrite."""
    list(provision(store, ["gateway-g1"]))
    before = password(store, "gateway-g1")
    again, other = provision(store, ["gateway-g1", "gateway-g2"])
    assert (again.made, other.made) == (False, True)
    assert password(store, "gateway-g1") == before


def test_a_password_that_others_can_read_is_an_error(store: SecretStore) -> None:
    list(provision(store, ["gateway-g1"]))
    (store.directory / "kafka-gateway-g1").chmod(0o644)
    with pytest.raises(SecretUnavailable, match="chmod 600"):
        list(provision(store, ["gateway-g1"]))


def test_a_principal_is_a_name(store: SecretStore) -> None:
    with pytest.raises(ValueError, match="is no name of a secret"):
        list(provision(store, ["../admin"]))


def test_brokers_and_secret_agree_after_a_rotation(store: SecretStore) -> None:
    brokers = Brokers()
    list(provision(store, ["gateway-g1"]))
    before = password(store, "gateway-g1")
    path = rotate(store, "gateway-g1", brokers.set_password)
    assert path == store.directory / secret_name("gateway-g1")
    assert password(store, "gateway-g1") == brokers.passwords["gateway-g1"] != before
    assert [file.name for file in store.directory.iterdir()] == ["kafka-gateway-g1"]


def test_nothing_changes_while_no_broker_answers(store: SecretStore) -> None:
    brokers = Brokers()
    brokers.away = True
    list(provision(store, ["gateway-g1"]))
    before = password(store, "gateway-g1")
    with pytest.raises(NotConnected):
        rotate(store, "gateway-g1", brokers.set_password)
    assert password(store, "gateway-g1") == before


def test_a_rotation_that_was_cut_off_is_finished_by_the_next(store: SecretStore) -> None:
    """The brokers took the new password and the answer was lost: without the kept draft nobody would know it."""
    brokers = Brokers()
    brokers.answers = False
    list(provision(store, ["gateway-g1"]))
    with pytest.raises(NotConnected):
        rotate(store, "gateway-g1", brokers.set_password)
    taken = brokers.passwords["gateway-g1"]
    brokers.answers = True
    rotate(store, "gateway-g1", brokers.set_password)
    assert password(store, "gateway-g1") == brokers.passwords["gateway-g1"] == taken


def test_a_draft_that_is_in_use_already_is_no_new_password(store: SecretStore) -> None:
    brokers = Brokers()
    list(provision(store, ["gateway-g1"]))
    before = password(store, "gateway-g1")
    store.put(f"{secret_name('gateway-g1')}.next", before)
    rotate(store, "gateway-g1", brokers.set_password)
    assert password(store, "gateway-g1") == brokers.passwords["gateway-g1"] != before


def test_only_a_principal_with_a_password_can_get_another(store: SecretStore) -> None:
    with pytest.raises(SecretUnavailable, match="kafka-gateway-g1"):
        rotate(store, "gateway-g1", Brokers().set_password)
