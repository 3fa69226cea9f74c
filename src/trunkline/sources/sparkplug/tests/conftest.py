"""Fixtures: a broker for each test module's plain tests."""

from collections.abc import Iterator

import pytest

from trunkline.sources.mqtt.tests.broker import Broker, Device


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture(scope="module")
def device(broker: Broker) -> Iterator[Device]:
    with Device(broker.port) as running:
        yield running
