"""An edge's own Kafka on loopback: its broker and MirrorMaker 2, run from the files of a folder.

server.properties, mm2.properties, log4j2.properties     as `trunkline kafka edge init` writes them
data/                                                     the broker's; formatted at the first start
broker.log, mirror.log                                    what the two say
"""

from pathlib import Path
from types import TracebackType
from typing import Final, Self

from trunkline.lab.kafka import archive
from trunkline.lab.kafka.broker import Broker
from trunkline.lab.kafka.installation import Jars
from trunkline.lab.kafka.jvm import Jvm
from trunkline.lab.kafka.process import JavaProcess
from trunkline.lab.kafka.settings import LOG4J
from trunkline.lab.kafka.storage import kept_metadata, lay_out, new_id

BROKER_FILE: Final = "server.properties"
MIRROR_FILE: Final = "mm2.properties"
LOG4J_FILE: Final = "log4j2.properties"
MIRROR_CLASS: Final = "org.apache.kafka.connect.mirror.MirrorMaker"


class Edge:
    """A broker and MirrorMaker 2 of a folder.

    Args:
        directory: the folder; broker and mirror settings are in it.
        port: where the broker listens for clients, as its settings say.
        jvm: how Java runs each of the two.
        jars: the installed Kafka; found when absent.

    Raises:
        Misconfigured: Kafka is not installed.
    """

    def __init__(self, directory: Path, port: int, *, jvm: Jvm | None = None, jars: Jars | None = None) -> None:
        self.directory = directory.resolve()
        self.broker = Broker(1, self.directory, port)
        self.mirror = JavaProcess(self.directory, self.directory / "mirror.log")
        self._jars = jars or Jars.find()
        self._jvm = jvm or Jvm()

    def start(self) -> None:
        """Start the broker, wait until it accepts connections, and start MirrorMaker 2, which looks for the centre by itself.

        Raises:
            BrokerFailed: the broker ended, or does not listen after two minutes.
        """
        self._prepare()
        try:
            self.broker.spawn()
            self.broker.wait_open()
            self.mirror.spawn()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both in an orderly way, MirrorMaker 2 first; safe to call at any time, more than once."""
        self.mirror.stop()
        self.broker.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _prepare(self) -> None:
        log4j = self.directory / LOG4J_FILE
        if not log4j.exists():
            log4j.write_text(LOG4J)
        data = self.directory / "data"
        if not data.exists():
            lay_out(data, kept_metadata(self._jars, archive.cache_folder(self._jars)), new_id(), 1)
        classes = archive.loaded_classes(self._jars)
        self.broker.command = self._jars.command("kafka.Kafka", [self.directory / BROKER_FILE], self._jvm.flags(log4j, classes))
        self.mirror.command = self._jars.command(MIRROR_CLASS, [self.directory / MIRROR_FILE], self._jvm.flags(log4j, classes))
