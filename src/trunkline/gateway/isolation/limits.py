"""What keeps the process of a source within its share of memory and processor.

Where the gateway may make control groups (cgroup v2, delegated to it), the kernel holds the process to both: it gets no more of the
processor, and is killed when it wants more memory. Elsewhere the gateway looks every second and ends a process that is over its memory,
or over its share of the processor for as long as `CPU_WINDOW`; memory is also held by RLIMIT_DATA, with room for what an interpreter
reserves without using it, and a process with a share of the processor runs at lower priority.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline.config.tags import Resources

#: Seconds over which the use of the processor is judged where the kernel does not hold it.
CPU_WINDOW: Final = 10.0
#: Bytes that an interpreter with its libraries reserves beyond what it uses.
RESERVED: Final = 256 * 1024**2
#: Added to the gateway's niceness for a process with a share of the processor (setpriority(2)).
NICENESS: Final = 10
#: Microseconds in which the kernel grants a share of the processor (cpu.max; Linux, cgroup-v2).
_PERIOD: Final = 100_000
_ROOT: Final = Path("/sys/fs/cgroup")
_CONTROLLERS: Final = frozenset({"cpu", "memory"})


def delegated(root: Path = _ROOT, own: Path = Path("/proc/self/cgroup")) -> Path | None:
    """Return the control group in which groups for sources can be made; None where the system gives none.

    It is the parent of the gateway's own group: one that holds processes itself can have no groups with controllers below it (cgroup-v2,
    'no internal process constraint'). systemd makes it so with `Delegate=yes` and `DelegateSubgroup=gateway`.
    """
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
        parent = (root / line.removeprefix("0::").lstrip("/")).parent
        controllers = set((parent / "cgroup.controllers").read_text().split())
    except (OSError, StopIteration):
        return None
    ours = all(os.access(path, os.W_OK) for path in (parent, parent / "cgroup.procs", parent / "cgroup.subtree_control"))
    return parent if ours and controllers >= _CONTROLLERS and parent.is_relative_to(root) else None


class Group:
    """A control group with one process in it."""

    def __init__(self, parent: Path, name: str, resources: Resources, pid: int) -> None:
        """Make the group and put the process into it. Raises OSError, and leaves no group behind then."""
        control = parent / "cgroup.subtree_control"
        if not set(control.read_text().split()) >= _CONTROLLERS:
            control.write_text("+cpu +memory")
        self._path = parent / f"source-{name}-{os.getpid()}"
        self._path.mkdir(exist_ok=True)
        try:
            self._limit(resources)
            (self._path / "cgroup.procs").write_text(str(pid))
        except OSError:
            self.remove()
            raise

    def _limit(self, resources: Resources) -> None:
        if resources.memory is not None:
            (self._path / "memory.max").write_text(str(resources.memory))
            with contextlib.suppress(OSError):  # no swap in this kernel
                (self._path / "memory.swap.max").write_text("0")
        if resources.cpu is not None:
            (self._path / "cpu.max").write_text(f"{round(resources.cpu * _PERIOD)} {_PERIOD}")

    def out_of_memory(self) -> bool:
        """Return whether the kernel has killed a process of it for want of memory."""
        try:
            words = (self._path / "memory.events").read_text().split()
        except OSError:
            return False
        return int(dict(zip(words[::2], words[1::2], strict=False)).get("oom_kill", "0")) > 0

    def remove(self) -> None:
        """Take the empty group away."""
        with contextlib.suppress(OSError):
            self._path.rmdir()


@dataclass(slots=True)
class Use:
    """What a process uses, from one look to the next.

    Attributes:
        rss_bytes: resident memory.
        cpu: share of one processor over the last window.
    """

    rss_bytes: int = 0
    cpu: float = 0.0


class Gauge:
    """Makes of looks what was used from one to the next."""

    def __init__(self) -> None:
        self._looks: list[tuple[float, float]] = []  # (seconds, processor seconds), a window of them
        self.use = Use()

    def take(self, now: float, resident: int, used: float) -> bool:
        """Take one look; return whether a whole window has been seen.

        Args:
            now: seconds, of a clock that never steps.
            resident: bytes of memory.
            used: processor seconds since the start.
        """
        self._looks.append((now, used))
        while len(self._looks) > 2 and self._looks[1][0] <= now - CPU_WINDOW:
            del self._looks[0]
        since, before = self._looks[0]
        span = now - since
        self.use = Use(resident, (used - before) / span if span > 0 else 0.0)
        return span >= CPU_WINDOW


class Meter:
    """Looks at a process and says when it is over its limits.

    Args:
        pid: of the process.
        resources: its limits.
        held: whether the kernel keeps it within them, so that nothing is to be said.
    """

    def __init__(self, pid: int, resources: Resources, *, held: bool) -> None:
        self._pid = pid
        self._resources = resources
        self._held = held
        self._gauge = Gauge()

    @property
    def use(self) -> Use:
        """What it used at the last look."""
        return self._gauge.use

    def look(self, now: float) -> str | None:
        """Take a look; return in words what is too much, or None.

        Args:
            now: seconds, of a clock that never steps.
        """
        try:
            resident, used = used_by(self._pid)
        except (OSError, IndexError):
            return None  # it has just ended: whoever waits for it says so
        whole_window = self._gauge.take(now, resident, used)
        return None if self._held else self._too_much(whole_window)

    def _too_much(self, whole_window: bool) -> str | None:
        memory, cpu = self._resources.memory, self._resources.cpu
        if memory is not None and self.use.rss_bytes > memory:
            return f"it used {self.use.rss_bytes / 2**20:.0f}M of memory, and 'resources.memory' allows {memory / 2**20:.0f}M"
        if cpu is not None and whole_window and self.use.cpu > cpu:
            return f"it used {self.use.cpu:.2f} of a processor for {CPU_WINDOW:.0f} s, and 'resources.cpu' allows {cpu:g}"
        return None


def used_by(pid: int | str = "self") -> tuple[int, float]:
    """Return bytes of resident memory and processor seconds of a process. Raises OSError or IndexError when it is gone."""
    proc = Path(f"/proc/{pid}")
    resident = int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    # the command's name, in brackets, may hold spaces: user and system time are the 12th and 13th field after it (proc(5))
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    return resident, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
