"""Checks of the machine before a site runs on it: ports, clock, disk, versions."""

import os
import platform
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final, Literal, NamedTuple

from trunkline.config.loading import Site
from trunkline.gateway import clocksync
from trunkline.gateway.clockwatch import OFFSET_LIMIT
from trunkline.gateway.isolation.engine import Engine, find
from trunkline.gateway.isolation.limits import delegated
from trunkline.model.errors import SourceUnavailable

Verdict = Literal["ok", "warning", "error"]

_LEAST_FREE: Final = 2_000_000_000
_SLOW_FSYNC_MS: Final = 20.0
_PACKAGES: Final = ("numpy", "pyarrow", "fastavro", "pyruhvro", "psycopg", "pymodbus", "asyncua", "paho-mqtt", "fastapi")


class Finding(NamedTuple):
    """One check. `mend` says what to do about a warning or an error."""

    check: str
    verdict: Verdict
    detail: str
    mend: str = ""


def examine(site: Site | None, directory: Path) -> list[Finding]:
    """Return every finding; `directory` is where data is, or would be, kept."""
    return [*_versions(), _clock(), _isolation(), *_containers(site), *_disk(directory), *(_ports(site) if site is not None else ())]


def _versions() -> Iterator[Finding]:
    python = platform.python_version()
    fine = sys.version_info >= (3, 11)
    yield Finding("python", "ok" if fine else "error", python, "" if fine else "install Python 3.11 or newer")
    yield Finding("sqlite", "ok", sqlite3.sqlite_version)
    yield Finding("packages", "ok", ", ".join(f"{name} {version(name)}" for name in _PACKAGES))
    broker = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    yield Finding("mqtt broker", "ok", broker or "none installed: the lab uses its own, without MQTT 5")


def _clock() -> Finding:
    """W-105, D-15: how far the clock is off, or at least whether it is synchronised, as far as the system tells."""
    said = clocksync.offset()
    if said is not None and said.seconds is not None:
        fine = said.seconds <= OFFSET_LIMIT
        mend = "" if fine else f"mend NTP: beyond {OFFSET_LIMIT:g} s gateways mark what they stamp"
        return Finding("clock", "ok" if fine else "warning", f"{said.seconds * 1000:,.1f} ms off, says {said.service}", mend)
    tool = shutil.which("timedatectl")
    if tool is None:
        return Finding(
            "clock", "warning", "cannot tell whether it is synchronised", "run chrony or systemd-timesyncd where this is a gateway"
        )
    told = subprocess.run([tool, "show", "--property=NTPSynchronized", "--value"], capture_output=True, text=True, check=False, timeout=5)
    match told.stdout.strip():
        case "yes":
            return Finding("clock", "ok", "synchronised")
        case "no":
            return Finding("clock", "warning", "not synchronised", "start chrony or systemd-timesyncd: 'timedatectl set-ntp true'")
        case _:
            return Finding("clock", "warning", "cannot tell whether it is synchronised", "run chrony or systemd-timesyncd on a gateway")


def _isolation() -> Finding:
    """W-57: what holds isolated sources to their 'resources' when a gateway is started from where this runs."""
    group = delegated()
    if group is not None:
        return Finding("isolation", "ok", f"the kernel holds isolated sources to their 'resources', by control groups in {group}")
    return Finding("isolation", "ok", "gateways watch the 'resources' of isolated sources themselves: no control group is delegated here")


def _containers(site: Site | None) -> Iterator[Finding]:
    """D-7: whether the engines answer that sources with `isolate: container` want, and have the images."""
    sources = [source for one in site.config.gateways for source in site.sources(one.id)] if site is not None else []
    wanted = [one.container for one in sources if one.enabled and one.container is not None]
    if not wanted:
        yield _engine(None, needed=False)
    for runtime in dict.fromkeys(one.runtime for one in wanted):
        found = _engine(runtime, needed=True)
        yield found
        if found.verdict == "ok":
            yield from _missing(find(runtime), {one.image for one in wanted if (one.runtime, one.pull) == (runtime, "never")})


def _engine(runtime: str | None, *, needed: bool) -> Finding:
    try:
        engine = find(runtime)
        said = engine.info()
    except SourceUnavailable as error:
        what, _, mend = str(error).partition(": ")
        return Finding("containers", "error", what, mend) if needed else Finding("containers", "ok", f"none can run here: {what}")
    rights = (
        "rootless" if said.rootless else "with root's rights, which whoever may use its socket has; rootless Docker or Podman need none"
    )
    return Finding("containers", "ok", f"{engine.name} {said.version} answers, {rights}")


def _missing(engine: Engine, images: set[str]) -> Iterator[Finding]:
    for image in sorted(images):
        try:
            engine.ask("image", "inspect", "--format", "{{.Id}}", image)
        except SourceUnavailable:
            yield Finding("containers", "error", f"no image {image} on this machine", f"'{engine.name} pull {image}', or build it there")


def _disk(directory: Path) -> Iterator[Finding]:
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        yield Finding("disk", "error", f"{existing} cannot be written", "choose another data_dir or change its owner")
        return
    free = shutil.disk_usage(existing).free
    mend = "" if free > _LEAST_FREE else "make room, or lower gateways[].buffer.max_bytes and historian.retention_days"
    yield Finding("disk", "ok" if free > _LEAST_FREE else "warning", f"{free / 1e9:,.1f} GB free at {existing}", mend)
    latency = _fsync_ms(existing)
    slow = latency > _SLOW_FSYNC_MS
    mend = "an SSD, or a larger gateways[].buffer.linger_ms" if slow else ""
    yield Finding("fsync", "warning" if slow else "ok", f"{latency:.2f} ms median of 15", mend)


def _fsync_ms(directory: Path) -> float:
    path = directory / f".trunkline-doctor-{os.getpid()}"
    took: list[float] = []
    try:
        with path.open("wb") as file:
            for _ in range(15):
                started = time.perf_counter()
                file.write(b"x" * 4096)
                file.flush()
                os.fsync(file.fileno())
                took.append((time.perf_counter() - started) * 1000)
    finally:
        path.unlink(missing_ok=True)
    return median(took)


def _ports(site: Site) -> Iterator[Finding]:
    config = site.config
    wanted = [("api", config.api.host, config.api.port)]
    wanted += [(f"gateway {one.id}", "127.0.0.1", one.admin_port) for one in config.gateways if one.admin_port]
    if config.lab is not None:
        lab = config.lab
        wanted += [("lab modbus", "127.0.0.1", lab.modbus_port), ("lab opcua", "127.0.0.1", lab.opcua_port)]
        wanted += [("lab mqtt", "127.0.0.1", lab.mqtt_port)]
    for name, host, port in wanted:
        taken = _taken(host, port)
        mend = "stop what listens there, or change the port in the site file" if taken else ""
        yield Finding(f"port {port}", "warning" if taken else "ok", f"{name}: {'in use' if taken else 'free'}", mend)


def _taken(host: str, port: int) -> bool:
    if not port:
        return False
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False
