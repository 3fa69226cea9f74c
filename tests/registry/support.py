"""What tests of the registry share."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from trunkline.config.registry import RegistryConfig
from trunkline.log.codec.compatibility import Level
from trunkline.registry.builtin import install
from trunkline.registry.credential import Credential
from trunkline.registry.serve import server_of
from trunkline.registry.service import DEFAULT_LEVEL, Registry
from trunkline.registry.storage import Database


class Running(NamedTuple):
    """A registry that serves."""

    url: str
    registry: Registry


@contextmanager
def serving(database: Database, level: Level = DEFAULT_LEVEL, credential: Credential | None = None) -> Iterator[Running]:
    """Serve a registry on a free port for a while."""
    install(database)
    registry = Registry(database, level)
    server = server_of(registry, RegistryConfig(port=0), Path(), credential)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Running(f"http://127.0.0.1:{port}", registry)
    finally:
        server.should_exit = True
        thread.join()


def record(*fields: tuple[Any, ...], name: str = "Reading") -> str:
    """Return a record as JSON without spaces; a field is (name, type) or (name, type, default)."""
    made = [{"name": one[0], "type": one[1]} | ({"default": one[2]} if len(one) > 2 else {}) for one in fields]
    return json.dumps({"type": "record", "name": name, "fields": made}, separators=(",", ":"))
