"""`trunkline kafka dev`: what it says, what it leaves, and that it stops what it started."""

import os
import signal
import time
from pathlib import Path

import pytest
import yaml
from tests.cli.support import trunkline

from trunkline.cli.kafka_cluster import choose_shape, secure, site_lines
from trunkline.config.secrets import SecretStore
from trunkline.config.site import LogConfig
from trunkline.lab.kafka.installation import LIBS_VARIABLE
from trunkline.lab.kafka.ports import lasting_ports
from trunkline.model.errors import Misconfigured


def serves_again(directory: Path, killed: int) -> bool:
    """Return whether another process takes the place of a killed broker before long."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        node, whole = trunkline("kafka", "dev", "status", "--json", "--dir", directory).documents
        if whole["passed"] and node["pid"] not in (None, killed):
            return True
        time.sleep(0.2)
    return False


def test_up_status_down(tmp_path: Path) -> None:
    directory = tmp_path / "kafka"
    port = str(lasting_ports(1)[0])
    up = trunkline("kafka", "dev", "up", "--detach", "--secured", "--nodes", "1", "--dir", directory, "--port", port)
    try:
        assert up.code == 0, up.text
        said = trunkline("kafka", "dev", "status", "--json", "--dir", directory)
        node, whole = said.documents
        assert said.code == 0
        assert (node["node"], node["listed"], whole["serving"], whole["secured"], whole["passed"]) == (1, True, 1, True, True)
        password = directory / "secrets" / "kafka-admin"
        assert password.stat().st_mode & 0o077 == 0
        assert str(password) in up.text
        assert password.read_text() not in up.text
        os.kill(node["pid"], signal.SIGKILL)
        assert serves_again(directory, node["pid"])
        again = trunkline("kafka", "dev", "up", "--detach", "--dir", directory)
        assert (again.code, "already running" in again.text) == (2, True)
    finally:
        down = trunkline("kafka", "dev", "down", "--dir", directory)
    assert (down.code, down.text) == (0, "stopped")
    after = trunkline("kafka", "dev", "status", "--json", "--dir", directory)
    assert after.code == 1
    assert not after.documents[-1]["running"]
    other = trunkline("kafka", "dev", "up", "--detach", "--dir", directory)
    assert other.code == 2
    assert "was made for one broker, secured" in other.text


def test_without_kafka_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIBS_VARIABLE, str(tmp_path))
    said = trunkline("kafka", "dev", "up", "--dir", tmp_path / "kafka")
    assert (said.code, "run 'tools/install kafka'" in said.text) == (2, True)


def test_lost_passwords_are_told_before_brokers_fail(tmp_path: Path) -> None:
    """PD-15: nothing is generated over what is in use."""
    secure(tmp_path, 1)
    (tmp_path / "node-1" / "data").mkdir(parents=True)
    (tmp_path / "secrets" / "kafka-admin").unlink()
    with pytest.raises(Misconfigured, match="kafka-admin is gone, and the brokers' data was made with it"):
        secure(tmp_path, 1)


def test_the_lines_for_a_site_file_are_right(tmp_path: Path) -> None:
    """PD-12: secured, or openly insecure on loopback."""
    store = SecretStore(tmp_path / "elsewhere", tmp_path)
    for secured in (False, True):
        directory = tmp_path / str(secured)
        shape = choose_shape(directory, 1, secured=secured, port=lasting_ports(1)[0])
        if secured:
            secure(directory, 1)
        config = LogConfig.model_validate(yaml.safe_load(site_lines(directory, shape))["log"])
        assert config.bootstrap == shape.bootstrap
        assert config.insecure is not secured
        if secured:
            assert config.security is not None
            assert store.resolve(config.security.password) == (directory / "secrets" / "kafka-admin").read_text()
            assert Path(config.security.ca).is_file()


def test_folders_that_cannot_be_right(tmp_path: Path) -> None:
    missing = trunkline("kafka", "dev", "status", "--dir", tmp_path)
    assert (missing.code, "has no cluster" in missing.text) == (1, True)
    assert not list(tmp_path.iterdir()), "asking leaves nothing"
    assert trunkline("kafka", "dev", "down", "--dir", tmp_path / "never").code == 0
    (tmp_path / "cluster.json").write_text('{"nodes": 2')
    damaged = trunkline("kafka", "dev", "status", "--dir", tmp_path)
    assert (damaged.code, "is damaged" in damaged.text) == (2, True)
    assert trunkline("kafka", "dev", "up", "--nodes", "2", "--dir", tmp_path).code == 2
