"""What a data directory was started with and cannot change: kept beside the data, compared at every check (PD-18)."""

import os
from pathlib import Path
from typing import Final

import msgspec

from trunkline.config.site import SiteConfig
from trunkline.model.errors import Misconfigured

FILE: Final = "site.json"


class StampUnreadable(Misconfigured):
    """The stamp is there and cannot be read."""


class Stamp(msgspec.Struct, frozen=True):
    """The settings that data already written depends on."""

    site: str
    partitions: int
    layout: str

    @classmethod
    def of(cls, config: SiteConfig) -> "Stamp":
        """Return the stamp that a site file asks for."""
        return cls(config.site, config.log.partitions, config.log.layout)


def read_stamp(data_dir: Path) -> Stamp | None:
    """Return the stamp of a data directory; None when nothing was started there yet.

    Raises:
        StampUnreadable: the file is damaged or not readable.
    """
    file = data_dir / FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Stamp)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise StampUnreadable(f"{file} cannot be read: {error}") from error


def write_stamp(data_dir: Path, config: SiteConfig) -> None:
    """Write the stamp at the first start; later calls change nothing.

    Raises:
        Misconfigured: the directory holds the data of other settings; `trunkline check` says which.
    """
    wanted = Stamp.of(config)
    found = read_stamp(data_dir)
    if found is not None:
        if found != wanted:
            raise Misconfigured(f"{data_dir} was started with {found}, the site file asks for {wanted}: run 'trunkline check'")
        return
    data_dir.mkdir(parents=True, exist_ok=True)
    fresh = data_dir / f".{FILE}.{os.getpid()}"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(wanted), indent=2) + b"\n")
    fresh.replace(data_dir / FILE)
