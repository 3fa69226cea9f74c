"""One node of a cluster as a process."""

import socket
import time
from pathlib import Path
from typing import Final

from trunkline.lab.kafka.process import JavaProcess
from trunkline.lab.kafka.settings import HOST
from trunkline.model.errors import TrunklineError

_START_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.02


class BrokerFailed(TrunklineError):
    """A broker did not start, or ended by itself; the text has the end of its log."""


class Broker(JavaProcess):
    """A node; `Cluster` writes its settings and formats its data.

    Args:
        node_id: its number in the cluster, from 1.
        directory: its folder; its output goes to broker.log in it.
        port: where it listens for clients.
    """

    def __init__(self, node_id: int, directory: Path, port: int) -> None:
        super().__init__(directory, directory / "broker.log")
        self.node_id = node_id
        self.port = port

    @property
    def address(self) -> str:
        """Where clients reach it, host:port."""
        return f"{HOST}:{self.port}"

    def wait_open(self) -> None:
        """Wait until it accepts connections of clients.

        Raises:
            BrokerFailed: it ended, or does not listen after two minutes.
        """
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self.pid is None:
                raise BrokerFailed(f"Kafka broker {self.node_id} ended while starting; {self.tail()}")
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            if time.monotonic() > deadline:
                raise BrokerFailed(f"Kafka broker {self.node_id} does not listen on {self.address}; {self.tail()}")
            time.sleep(_POLL_SECONDS)
