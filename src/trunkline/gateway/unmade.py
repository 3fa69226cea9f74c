"""What stands in for a source that its plugin could not make."""

from typing import NoReturn

from trunkline.model.errors import SourceMisconfigured
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, WriteCommand


class Unmade:
    """A source that says why it is none: the gateway shows it as misconfigured, and its other sources go on.

    Args:
        kind: name of the plugin.
        error: what the plugin raised.
    """

    def __init__(self, kind: str, error: Exception) -> None:
        self._why = f"source plugin {kind!r} could not make this source: {type(error).__name__}: {error}"

    async def connect(self) -> None:
        """Raises SourceMisconfigured."""
        self._refuse()

    async def read(self) -> ReadBatch:
        """Raises SourceMisconfigured."""
        self._refuse()

    async def write(self, command: WriteCommand) -> CommandOutcome:  # noqa: ARG002 - the port's signature
        """Raises SourceMisconfigured."""
        self._refuse()

    async def browse(self, at: str) -> list[BrowseNode]:  # noqa: ARG002 - the port's signature
        """Raises SourceMisconfigured."""
        self._refuse()

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _refuse(self) -> NoReturn:
        raise SourceMisconfigured(self._why)
