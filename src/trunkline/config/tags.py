"""What every source and every tag can be told, whatever the protocol. Plugins extend `SourceConfig` and `TagConfig`."""

import posixpath
import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from trunkline.model.reading import Kind
from trunkline.model.tags import TagPath


class Model(BaseModel):
    """Base of every configuration model: unknown keys are errors, numbers are finite, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def _check_path(text: str) -> str:
    TagPath.parse(text)
    return text


Path = Annotated[str, AfterValidator(_check_path)]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", examples=["boiler-plc"])]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 365)]

KINDS: dict[str, Kind] = {"double": Kind.DOUBLE, "integer": Kind.INTEGER, "boolean": Kind.BOOLEAN, "text": Kind.TEXT}


class Deadband(Model):
    """Report a reading only when it moved enough since the last one reported, or its quality changed (OPC UA Part 8, 7.2)."""

    absolute: float | None = Field(None, gt=0, description="least change, in the tag's unit")
    percent: float | None = Field(None, gt=0, le=100, description="least change, in percent of the tag's range")

    @model_validator(mode="after")
    def _one(self) -> "Deadband":
        if (self.absolute is None) == (self.percent is None):
            raise ValueError("give either 'absolute' or 'percent'")
        return self


class TagConfig(Model):
    """One tag. Plugins add where the device keeps it."""

    path: Path = Field(description="full tag path, for example PLANT01.AREA02.UNIT_05.FLOW_RATE")
    kind: Literal["double", "integer", "boolean", "text"] = Field("double", description="type of the values; a tag keeps it for life")
    unit: str = Field("", max_length=32, description="engineering unit, for example m³/h")
    description: str = Field("", max_length=256, description="what it measures, for people")
    measurement: Literal["", "flow", "pressure", "temperature", "other"] = Field(
        "", description="which topic of the isa95 layout carries it; empty: as its name tells. Fixed once data is there (PD-18, PD-30)"
    )
    min: float | None = Field(None, description="lower end of the range; below it validation refuses the reading")
    max: float | None = Field(None, description="upper end of the range; above it validation refuses the reading")
    max_rate: float | None = Field(None, gt=0, description="largest believable change per second; faster is UNCERTAIN (suspect rate)")
    deadband: Deadband | None = Field(None, description="smaller changes are not reported")
    max_silence: Seconds | None = Field(None, description="with a deadband: report at least this often even without change")
    stale_after: Seconds | None = Field(None, description="seconds without a reading until UNCERTAIN (stale); default: from the source")
    time: Literal["device", "gateway"] = Field(
        "device", description="which clock stamps the history; 'gateway' for devices without a clock keeps the quality GOOD (D-16)"
    )

    @model_validator(mode="after")
    def _range(self) -> "TagConfig":
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"min ({self.min:g}) must be below max ({self.max:g})")
        if self.deadband and self.deadband.percent and (self.min is None or self.max is None):
            raise ValueError("a deadband in percent needs 'min' and 'max'")
        return self

    @property
    def value_kind(self) -> Kind:
        """The kind as the model's enumeration."""
        return KINDS[self.kind]


#: Multiples of 1024, as container platforms count them.
_SIZES: Final = {"": 0, "K": 1, "M": 2, "G": 3}


def _bytes(given: object) -> object:
    """Return the bytes that a text such as '256M' means; anything else is left to the field's own type."""
    if not isinstance(given, str):
        return given
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", given.strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f"{given!r} is no size: write bytes, or a number with K, M or G, such as '256M'")
    return int(float(found[1]) * 1024 ** _SIZES[found[2].upper()])


#: In front of a number of bytes: a text such as '256M' means one as well.
SizeText: Final = BeforeValidator(_bytes)


class Resources(Model):
    """What the process or container of an isolated source may use (W-57); `cpu_limit` and `memory_limit` are accepted as well."""

    cpu: float | None = Field(None, gt=0, le=256, description="share of one processor, for example 0.5")
    memory: Annotated[int, SizeText, Field(ge=64 * 1024**2)] | None = Field(
        None, description="resident memory, for example 256M (multiples of 1024); at least 64M"
    )

    @model_validator(mode="before")
    @classmethod
    def _limits(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        named = dict(given)
        for name in ("cpu", "memory"):
            if f"{name}_limit" in named:
                if name in named:
                    raise ValueError(f"give either '{name}' or '{name}_limit'")
                named[name] = named.pop(f"{name}_limit")
        return named


#: Whoever may write to one of these is root on the machine.
_ENGINE_SOCKETS: Final = tuple(f"{run}/{name}" for run in ("/run", "/var/run") for name in ("docker.sock", "podman/podman.sock"))


def _no_engine(text: str) -> str:
    path = posixpath.normpath(text)
    found = next((socket for socket in _ENGINE_SOCKETS if path == "/" or f"{socket}/".startswith(f"{path}/")), None)
    if found is not None:
        raise ValueError(f"{text} holds {found}, which is root on this machine to whoever has it: mount the one folder that is needed")
    return path


class Mount(Model):
    """A file or folder of the machine that a source's container sees."""

    outside: Annotated[str, Field(pattern="^/"), AfterValidator(_no_engine)] = Field(alias="from", description="path on the machine")
    to: str = Field(pattern="^/", description="path in the container")
    read_only: bool = Field(True, description="false lets the source write to it")


class Container(Model):
    """How the container of an isolated source is run; it is given what stands here and nothing else of the machine (D-7)."""

    image: str = Field(pattern=r"^[a-z0-9][A-Za-z0-9._/:@-]*$", description="image with Python, Trunkline and the source's package")
    pull: Literal["never", "missing"] = Field("never", description="'missing' has the engine fetch an image that is not on the machine")
    devices: tuple[Annotated[str, Field(pattern=r"^/dev/[^:,\s]+(:/[^:,\s]+(:[rwm]{1,3})?)?$")], ...] = Field(
        (), description="devices of the machine that it may open, for example /dev/ttyUSB0, or /dev/ttyUSB3:/dev/ttyUSB0:rw"
    )
    network: str = Field(
        "bridge",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="'bridge', 'host', 'none' or the name of one of the engine's networks",
    )
    mounts: tuple[Mount, ...] = Field((), description="files and folders of the machine that it sees")
    user: str = Field(
        "", pattern=r"^(\d+(:\d+)?)?$", description="numbers of user and group; empty: the gateway's own, or 10001:10001 where that is root"
    )
    runtime: Literal["docker", "podman"] | None = Field(None, description="engine; default: what is found, Docker before Podman")


class SourceConfig(Model):
    """One connection to a device, broker or server. Plugins add how to reach it and override `tags`."""

    id: Identifier = Field(description="name of the source, unique within its gateway")
    type: str = Field(description="protocol: the name of an installed source plugin")
    enabled: bool = Field(True, description="false keeps it in the file without connecting")
    stale_after: Seconds = Field(10.0, description="seconds of silence until a tag turns UNCERTAIN (stale)")
    lost_after: Seconds = Field(60.0, description="seconds of silence until a tag turns BAD (communication lost)")
    isolate: Literal["none", "process", "container"] = Field(
        "none",
        description="'process' runs it in a process of its own, so that it cannot hurt the others, 'container' in a container of its own "
        "(docs/how-to/isolate-sources.md)",
    )
    resources: Resources = Field(Resources(), description="of an isolated source: what its process or container may use")
    container: Container | None = Field(None, description="with 'isolate: container': how it is run")
    tags: tuple[TagConfig, ...] = Field((), description="what to read")

    @model_validator(mode="after")
    def _isolated(self) -> "SourceConfig":
        if self.isolate == "none" and self.resources != Resources():
            raise ValueError("'resources' limit a process of its own: add 'isolate: process'")
        if self.isolate == "container" and self.container is None:
            raise ValueError("'isolate: container' needs an image: add 'container: {image: ...}'")
        if self.isolate != "container" and self.container is not None:
            raise ValueError("'container' says how a container is run: add 'isolate: container'")
        return self
