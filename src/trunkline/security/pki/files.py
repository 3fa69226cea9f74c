"""PEM files: written whole or not at all, keys readable by their owner only."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from trunkline.security.pki.errors import CertificateProblem

#: More is no PEM file of ours: a wrong path must not fill the memory.
_MAX_BYTES: Final = 1_000_000


def write_file(path: Path, content: str, *, mode: int) -> None:
    """Replace a file: readers see the old content or the new one, and a power failure leaves one of the two.

    Raises:
        CertificateProblem: the directory cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.chmod(mode)
        draft.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise CertificateProblem(f"{path} cannot be written: {_reason(error)}: mend the directory's owner, mode or space") from error
    finally:
        draft.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Make names that came or went in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, mend: str) -> str:
    """Return a PEM file's text.

    Args:
        path: the file.
        mend: what to do when it is missing, for the message.

    Raises:
        CertificateProblem: it is missing, unreadable, or no PEM file.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CertificateProblem(f"{path} is larger than a PEM file can be: name the right file")
        return path.read_bytes().decode("ascii")
    except OSError as error:
        raise CertificateProblem(f"{path}: {_reason(error)}: {mend}") from error
    except UnicodeDecodeError as error:
        raise CertificateProblem(f"{path} is not a PEM file: {mend}") from error


def read_private_file(path: Path, mend: str) -> str:
    """Return the text of a PEM file with a key. Raises CertificateProblem as `read_file`, and when others may read the file."""
    text = read_file(path, mend)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise CertificateProblem(
            f"{path}: other users may read this private key (mode {mode:04o}): run 'chmod 600 {path}', "
            f"and issue it again if others have accounts on this machine"
        )
    return text


def read_certificates(path: Path, mend: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file in their order, at least one. Raises CertificateProblem."""
    return parse_certificates(read_file(path, mend), path, mend)


def parse_certificates(text: str, path: Path, mend: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates in a PEM text in their order, at least one. Raises CertificateProblem naming `path`."""
    try:
        return tuple(x509.load_pem_x509_certificates(text.encode("ascii")))
    except ValueError as error:
        raise CertificateProblem(f"{path} holds no readable certificate: {mend}") from error


def to_pem(certificates: Sequence[x509.Certificate]) -> str:
    """Return certificates as one PEM text in their order."""
    return "".join(certificate.public_bytes(Encoding.PEM).decode("ascii") for certificate in certificates)


def _reason(error: OSError) -> str:
    return (error.strerror or "cannot be used").lower()
