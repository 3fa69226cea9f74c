"""Reading a site file: every error at once, with line and mend; then a site whose sources are typed by their plugins."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from trunkline.config import crosscheck, document
from trunkline.config.anomalies import ANOMALY, score_source
from trunkline.config.derived import DERIVED, derived_source
from trunkline.config.examining import examine
from trunkline.config.problems import InvalidSite, Problem, did_you_mean, errors
from trunkline.config.secrets import SecretStore
from trunkline.config.site import GatewayConfig, SiteConfig
from trunkline.config.tags import SourceConfig, TagConfig
from trunkline.model.errors import Misconfigured


class SiteTag(NamedTuple):
    """A tag and where it is read."""

    gateway: str
    source: SourceConfig
    tag: TagConfig


@dataclass(frozen=True)
class Site:
    """A site file that was read and found right.

    Attributes:
        config: the file as a model; sources in it are still plain mappings, use `sources`.
        file: where it was read.
        warnings: what is odd without being wrong.
    """

    config: SiteConfig
    file: Path
    typed: MappingProxyType[str, tuple[SourceConfig, ...]] = field(repr=False)
    warnings: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        """The site's short name."""
        return self.config.site

    @property
    def directory(self) -> Path:
        """Where the site file is: relative paths in it start here."""
        return self.file.parent

    @cached_property
    def data_dir(self) -> Path:
        """Where everything is kept; absolute, may not exist yet."""
        return self.directory / Path(self.config.data_dir).expanduser()

    @cached_property
    def secrets(self) -> SecretStore:
        """Resolves the secret references of this site."""
        return SecretStore(self.data_dir / "secrets", self.directory)

    def gateway(self, gateway_id: str) -> GatewayConfig:
        """Return one gateway's section. Raises Misconfigured naming those there are."""
        for gateway in self.config.gateways:
            if gateway.id == gateway_id:
                return gateway
        known = [gateway.id for gateway in self.config.gateways]
        raise Misconfigured(f"{self.file} has no gateway {gateway_id!r}; {did_you_mean(gateway_id, known, 'it has')}")

    def place(self, *location: str | int) -> str:
        """Return where the file has something, as 'FILE:LINE: gateways[0].buffer'; of what it does not have, where it belongs."""
        problem = document.read(self.file).problem(location, "")
        return f"{problem.file}:{problem.line}: {problem.path}"

    def sources(self, gateway_id: str) -> tuple[SourceConfig, ...]:
        """Return the sources of a gateway, disabled ones included, each as its plugin's own model. Raises Misconfigured."""
        return self.typed[self.gateway(gateway_id).id]

    def tags(self) -> MappingProxyType[str, SiteTag]:
        """Return every tag of the site by its path, in the order of the file: what devices give, what is derived from it, scores of both.

        Derived tags have the gateway and the source 'derived', scores of anomaly rules 'anomaly'.
        """
        return self._tags

    @cached_property
    def _tags(self) -> MappingProxyType[str, SiteTag]:
        every = [(gateway, source) for gateway, sources in self.typed.items() for source in sources]
        if self.config.derived:
            every.append((DERIVED, derived_source(self.config.derived)))
        if self.config.anomalies:
            every.append((ANOMALY, score_source(self.config.anomalies, [tag for _, source in every for tag in source.tags])))
        return MappingProxyType({tag.path: SiteTag(gateway, source, tag) for gateway, source in every for tag in source.tags})


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Look for no cycles meanwhile: among the tags of a large site there are none, and looking takes a sixth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def load(path: Path | str) -> Site:
    """Read a site file.

    What depends on the machine (secrets, directories) is not looked at: a role that does not need a secret starts without it. `check` does.

    Raises:
        InvalidSite: with every error of the file.
    """
    file = Path(path)
    with _collector_at_rest():
        examined = examine(file)
        found = [*examined.problems, *crosscheck.within(examined)]
    if errors(found) or examined.config is None:
        raise InvalidSite(sorted(set(found)))
    typed: dict[str, tuple[SourceConfig, ...]] = {
        gateway.id: tuple(placed.source for placed in examined.sources if placed.gateway == gateway.id)
        for gateway in examined.config.gateways
    }
    return Site(examined.config, file.absolute(), MappingProxyType(typed), tuple(sorted(set(found))))


def check(path: Path | str) -> list[Problem]:
    """Return everything that is wrong with a site file or, on this machine, keeps it from starting; in the order of the file."""
    examined = examine(Path(path))
    found = [*examined.problems, *crosscheck.within(examined), *crosscheck.around(examined, Path(path).absolute().parent)]
    return sorted(set(found))
