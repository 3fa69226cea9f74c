"""The generated user name and password of a site's registry."""

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from trunkline.model.errors import Misconfigured

_USER: Final = "trunkline"
_SECRET_BYTES: Final = 32


class Credential(NamedTuple):
    """User name and password of basic authentication."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r})"


def credential_in(file: Path) -> Credential:
    """Return the credential in a file, one line `user:password`; a missing file is made with a password of 256 random bits.

    Raises:
        Misconfigured: the file cannot be made, is readable by others, or holds something else.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _create(file)
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise Misconfigured(f"the registry's credential {file} can be read by others: chmod 600 {file}")
        username, colon, password = file.read_text().strip().partition(":")
    except OSError as error:
        raise Misconfigured(f"the registry's credential {file} cannot be read or made: {error}") from error
    if not (username and colon and password):
        raise Misconfigured(f"the registry's credential {file} is not one line 'user:password': mend it, or delete it to have it made anew")
    return Credential(username, password)


def _create(file: Path) -> None:
    """Make the file whole or not at all, once, whoever else is about to."""
    if file.exists():
        return
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # readable by its owner only
    try:
        with os.fdopen(descriptor, "w") as out:
            out.write(f"{_USER}:{secrets.token_urlsafe(_SECRET_BYTES)}\n")
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        Path(draft).unlink()


def credential_file(data_dir: Path) -> Path:
    """Return where a site's credential for its registry is kept."""
    return data_dir / "secrets" / "schema-registry"
