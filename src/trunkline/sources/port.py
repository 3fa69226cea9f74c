"""The source port: what a protocol plugin does. `trunkline.sources.testing` holds every plugin, ours and others', to the same contract.

A plugin is a package with `config.py` (its `SourceConfig`), `source.py`, `README.md`, `example.yaml` and `tests/`; its module has a
constant `PLUGIN` of type `SourcePlugin` and is named in the entry point group `trunkline.sources`. `trunkline sources new` writes one.

The gateway owns policy: it reconnects with back-off and jitter, applies deadbands, notices silence, journals and counts. A source only
speaks its protocol and says what happened with the errors of `trunkline.model.errors`.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from trunkline.config.plugins import load_plugin, source_point, source_points
from trunkline.config.tags import SourceConfig
from trunkline.model.errors import Misconfigured
from trunkline.model.events import Event
from trunkline.model.reading import Reading, Value


async def _nothing() -> None:
    return None


async def _nothing_why(_why: str) -> None:
    return None


def _from_the_start() -> str | None:
    return None


@dataclass(slots=True)
class ReadBatch:
    """What one read brought.

    Attributes:
        readings: in the order in which the device gave them; per tag never backwards on purpose. A source that polls may give a
            `trunkline.model.scan.Scan`: the same readings as columns, which the gateway journals without an object per reading.
        events: events and alarms the device sent.
        alive: the device was heard and tags without a reading here are unchanged: their last values hold. Sources that report changes
            only (OPC UA subscriptions) set it, at most once a second, so that a quiet tag is not taken for a silent device.
        ack: the gateway calls it once after everything above is durable in the edge journal: now the device or broker may forget it.
            The gateway reads on meanwhile; several batches may be under way, and are acknowledged in the order in which they were read.
        nack: the gateway calls it instead, with a reason, if it cannot be stored; the device or broker should offer it again.
        late: the readings lay in a file or a database before they were read: their age says nothing of the device's clock.
        checkpoint: where the source stands after this batch, in words of its own; for sources that can go back to any place of what
            they read. The gateway stores it in the same transaction as the readings and hands it back (`SourceContext.checkpoint`):
            after a kill such a source goes on behind the last reading that is durable, and neither loses nor repeats one. A batch may
            consist of a checkpoint alone.
    """

    readings: Sequence[Reading] = ()
    events: Sequence[Event] = ()
    alive: bool = False
    ack: Callable[[], Awaitable[None]] = field(default=_nothing)
    nack: Callable[[str], Awaitable[None]] = field(default=_nothing_why)
    late: bool = False
    checkpoint: str | None = None


class CommandOutcome(Enum):
    """How a write ended. A timeout is UNKNOWN, never 'failed': the device may have acted."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class WriteCommand(NamedTuple):
    """A value to write to the device behind a tag."""

    tag: str
    value: Value


class BrowseNode(NamedTuple):
    """A thing found on a device.

    Attributes:
        address: what to put into a tag's address in the site file.
        name: as the device calls it.
        kind: 'double', 'integer', 'boolean', 'text', or '' for a branch.
        branch: whether it can be browsed further.
    """

    address: str
    name: str
    kind: str = ""
    branch: bool = False


class Source(Protocol):
    """A connection to one device, broker or server; used by one asyncio task.

    `connect` may be called again after `close`: it must then start from nothing.
    """

    async def connect(self) -> None:
        """Reach the device. Raises SourceUnavailable (retried) or SourceMisconfigured (not retried until the configuration changes)."""
        ...

    async def read(self) -> ReadBatch:
        """Wait for data and return it; a polled source sleeps until its next scan is due.

        A fault of one address is a reading with BAD quality, not an exception. Raises SourceUnavailable when the connection is lost.
        Must end promptly when cancelled.
        """
        ...

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Write one value. Raises SourceMisconfigured if the tag cannot be written."""
        ...

    async def browse(self, at: str) -> list[BrowseNode]:
        """List what is below `at` ('' is the top). Raises NotImplementedError where the protocol cannot."""
        ...

    async def close(self) -> None:
        """Let go of the connection; safe to call at any time, more than once."""
        ...


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source may use of its surroundings.

    Attributes:
        gateway: id of the gateway.
        directory: a folder of its own for certificates, session state and the like; exists.
        now: the clock, µs UTC; sources never call the system clock for stamps, so that tests can turn it.
        resolve_secret: turns a secret reference of the site file ('${secret:name}', '${env:NAME}', '${file:path}') into its value.
        checkpoint: returns the last `ReadBatch.checkpoint` of this source that is durable, None before the first. To be asked by
            `connect`, and after a `nack`: everything behind it is to be read again. Raises RetryLater.
    """

    gateway: str
    directory: Path
    now: Callable[[], int]
    resolve_secret: Callable[[str], str]
    checkpoint: Callable[[], str | None] = _from_the_start


@dataclass(frozen=True, slots=True)
class SourcePlugin:
    """What an entry point leads to."""

    name: str
    config: type[SourceConfig]
    create: Callable[[Any, SourceContext], Source]
    #: what the plugin can do beyond reading, for documentation and forms
    can_write: bool = False
    can_browse: bool = False


def plugin_at(point: EntryPoint) -> SourcePlugin:
    """Return the plugin that an entry point leads to. Raises Misconfigured saying why it cannot be used."""
    found = load_plugin(point)
    wrong = _wrong_with(found, point.name)
    if wrong:
        raise Misconfigured(f"source plugin {point.name!r} ({point.value}) cannot be used: {wrong}")
    plugin: SourcePlugin = found
    return plugin


def _wrong_with(found: object, name: str) -> str:
    """Return what keeps a `PLUGIN` from being used, with the mend: nothing is known yet of what a stranger put there."""
    if not isinstance(found, SourcePlugin):
        return f"PLUGIN is a {type(found).__name__}: make it a SourcePlugin of trunkline.sources.port"
    if found.name != name:
        return f"PLUGIN calls itself {found.name!r}: give it the name of its entry point"
    config: Any = found.config
    if not (isinstance(config, type) and issubclass(config, SourceConfig)):
        return "PLUGIN.config is no model of a source: derive it from SourceConfig of trunkline.config.tags"
    create: Any = found.create
    return "" if callable(create) else "PLUGIN.create cannot be called: give it the class of the source"


def plugins() -> dict[str, SourcePlugin]:
    """Return every installed source plugin that can be used, by name; `trunkline sources list` tells what is wrong with the others."""
    found = {}
    for name, point in sorted(source_points().items()):
        with contextlib.suppress(Misconfigured):
            found[name] = plugin_at(point)
    return found


def plugin(name: str) -> SourcePlugin:
    """Return one plugin. Raises Misconfigured when it cannot be used, or when there is none of that name, naming those installed."""
    return plugin_at(source_point(name))
