"""Secret references: the site file says where a secret is, never what it is (W-167, D-42).

`${secret:NAME}` is the file NAME in the site's secrets directory (mode 0600), `${env:NAME}` an environment variable and `${file:PATH}` any
file, relative to the site file: what container platforms mount. `${NAME}` in capitals is `${env:NAME}` (D-43). A reference may be part of a
longer text. Values are put in on a copy, at the last moment, in the process that needs them.
"""

import base64
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, cast

from trunkline.config.problems import Location
from trunkline.model.errors import Misconfigured

REDACTED: Final = "***"
SCHEMES: Final = ("secret", "env", "file")

_REFERENCE = re.compile(r"\$\{(?:([a-z]+):([^${}]+)|([A-Z_][A-Z0-9_]*))\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_SECRET_KEY = re.compile(r"(^|_)(password|passwd|passphrase|secret|token|api_?key|private_key|credentials?)$", re.IGNORECASE)
_PUBLIC_KEY = re.compile(r"(_file|_path)$", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)([^\s@/]+)(@)", re.IGNORECASE)
_ASSIGNED = re.compile(r"(?i)(?<!\$\{)\b(password|passwd|passphrase|secret|token|api_?key)(\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&\"']+)")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_MAX_BYTES = 1_000_000
_KEY_BYTES = 32

T = TypeVar("T")


class SecretUnavailable(Misconfigured):
    """A reference cannot be resolved. The text names the reference and the mend, never a value."""


def key_bytes(text: str) -> bytes:
    """Return the 32 bytes of a key that a secret holds in base64. Raises Misconfigured, which does not show it."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise Misconfigured("the key is not 32 random bytes in base64 (44 characters): make one with 'openssl rand -base64 32'")
    return raw


def is_secret_key(key: str) -> bool:
    """Return whether the value of such a key is to be hidden."""
    return bool(_SECRET_KEY.search(key)) and not _PUBLIC_KEY.search(key)


def references(text: str) -> list[str]:
    """Return the references in a text, each with its braces, unknown schemes included."""
    return [match[0] for match in _REFERENCE.finditer(text)]


def scheme_of(reference: str) -> str:
    """Return where a reference looks: one of SCHEMES, or what it says instead."""
    found = _REFERENCE.fullmatch(reference)
    return (found[1] or "env") if found is not None else ""


def texts(data: object, location: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield every text inside nested mappings and sequences with its place."""
    if isinstance(data, str):
        yield location, data
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from texts(value, (*location, str(key)))
    elif isinstance(data, list | tuple):
        for position, value in enumerate(data):
            yield from texts(value, (*location, position))


@dataclass(slots=True)
class SecretStore:
    """Resolves references for one site.

    Attributes:
        directory: where `${secret:NAME}` looks.
        base: what relative `${file:PATH}` references start from.
        environment: where `${env:NAME}` looks.
    """

    directory: Path
    base: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    _known: set[str] = field(default_factory=set, repr=False)

    def resolve(self, text: str) -> str:
        """Return the text with every reference replaced by its value.

        Raises:
            SecretUnavailable: names the reference and how to provide it.
        """
        return _REFERENCE.sub(lambda match: self._value(match[1] or "env", match[2] or match[3]), text)

    def resolve_all(self, data: T) -> T:
        """Return a copy of nested mappings and sequences with every reference replaced; `data` stays as it is (D-42).

        Raises:
            SecretUnavailable: as `resolve`.
        """
        return cast("T", _map(data, self.resolve))

    def redact(self, text: str) -> str:
        """Return a text without the values resolved so far and without anything that looks like a credential."""
        for value in sorted(self._known, key=len, reverse=True):
            text = text.replace(value, REDACTED)
        return redact_text(text)

    def put(self, name: str, value: str, *, overwrite: bool = False) -> Path:
        """Store a secret for `${secret:NAME}`, readable by this user only.

        Raises:
            ValueError: `name` is not a secret's name.
            FileExistsError: there is one already and `overwrite` is False: nothing is lost by accident (PD-15).
        """
        path = self._path(name)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                fresh.replace(path)
            else:
                path.hardlink_to(fresh)
        finally:
            fresh.unlink(missing_ok=True)
        return path

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a secret: use letters, digits, '_', '-' and '.', starting with a letter or digit")
        return self.directory / name

    def _value(self, scheme: str, name: str) -> str:
        reference = f"${{{scheme}:{name}}}"
        match scheme:
            case "secret":
                value = self._from_store(name, reference)
            case "env":
                value = self.environment.get(name, "")
                if not value:
                    raise SecretUnavailable(f"{reference}: the environment variable {name} is not set: set it for this process")
            case "file":
                value = _read(self.base / name, reference, "mount or create the file")
            case _:
                raise SecretUnavailable(f"{reference} is no secret reference: use ${{secret:NAME}}, ${{env:NAME}} or ${{file:PATH}}")
        if len(value) >= 4:
            self._known.add(value)
        return value

    def _from_store(self, name: str, reference: str) -> str:
        try:
            path = self._path(name)
        except ValueError as error:
            raise SecretUnavailable(f"{reference}: {error}") from None
        value = _read(path, reference, f"put the value into it and run 'chmod 600 {path}'")
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise SecretUnavailable(f"{reference}: other users may read {path} (mode {mode:04o}): run 'chmod 600 {path}'")
        return value


def _read(path: Path, reference: str, mend: str) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SecretUnavailable(f"{reference}: {path} is larger than a secret can be: name the right file")
        text = path.read_text("utf-8")
    except OSError as error:
        raise SecretUnavailable(f"{reference}: {path}: {(error.strerror or 'cannot be read').lower()}: {mend}") from None
    except UnicodeDecodeError:
        raise SecretUnavailable(f"{reference}: {path} is not UTF-8 text: {mend}") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretUnavailable(f"{reference}: {path} is empty: {mend}")
    return text


def _map(data: object, change: Callable[[str], str]) -> object:
    if isinstance(data, str):
        return change(data)
    if isinstance(data, Mapping):
        return {key: _map(value, change) for key, value in data.items()}
    if isinstance(data, list):
        return [_map(value, change) for value in data]
    if isinstance(data, tuple):
        return tuple(_map(value, change) for value in data)
    return data


def redact(data: object) -> object:
    """Return a copy for logs, diffs and reports: values of secret keys are hidden unless they are references only."""
    if isinstance(data, Mapping):
        return {
            key: REDACTED if isinstance(key, str) and is_secret_key(key) and not _harmless(value) else redact(value)
            for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [redact(value) for value in data]
    return redact_text(data) if isinstance(data, str) else data


def redact_text(text: str) -> str:
    """Return a text without passwords in URLs, `password=…` and bearer tokens. References stay: they give nothing away."""
    text = _URL_PASSWORD.sub(lambda m: m[0] if _harmless(m[2]) else f"{m[1]}{REDACTED}{m[3]}", text)
    text = _ASSIGNED.sub(lambda m: m[0] if _harmless(m[3].strip("\"'")) else f"{m[1]}{m[2]}{REDACTED}", text)
    return _BEARER.sub(lambda m: f"{m[1]} {REDACTED}", text)


def _harmless(value: object) -> bool:
    return (
        value is None
        or isinstance(value, bool)
        or value in ("", REDACTED)
        or (isinstance(value, str) and _REFERENCE.fullmatch(value) is not None)
    )
