"""How the Java machine of a broker runs: small, quick to start, its loaded classes mapped from an archive where there is one."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Jvm:
    """Flags of the Java machine.

    Attributes:
        heap_mb: limit of the heap; as much again may be used for network buffers.
        quick: compile for a quick start; benches of long runs turn it off and get the optimising compiler.
    """

    heap_mb: int = 256
    quick: bool = True

    def flags(self, log4j: Path, classes: str | None = None) -> list[str]:
        """Return the command line's flags.

        Args:
            log4j: configuration of the broker's log.
            classes: archive of loaded classes, see `archive`.
        """
        flags = [f"-Xmx{self.heap_mb}m", f"-XX:MaxDirectMemorySize={self.heap_mb}m", "-XX:+UseSerialGC"]
        if self.quick:
            flags.append("-XX:TieredStopAtLevel=1")
        if classes:
            flags += [f"-XX:SharedArchiveFile={classes}", "-Xshare:auto", "-Xlog:disable", "-Xlog:all=error:stderr"]
        return [*flags, f"-Dlog4j2.configurationFile={log4j}"]
