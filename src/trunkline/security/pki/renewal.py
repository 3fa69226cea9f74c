"""Which certificates of a directory end soon, and their renewal: early enough that a missed run or two does no harm."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509

from trunkline.model.errors import NotConnected
from trunkline.security.pki import profile
from trunkline.security.pki.authority import TRUST_FILE, CertificateAuthority
from trunkline.security.pki.bundle import Bundle
from trunkline.security.pki.errors import CertificateProblem
from trunkline.security.pki.files import read_certificates
from trunkline.security.pki.verifying import issuer_of, served, verify

#: The part of its life after which a certificate is renewed.
RENEW_AFTER: Final = 2 / 3


class State(StrEnum):
    """How a certificate stands; `DUE` still works."""

    VALID = "valid"
    DUE = "due"
    EXPIRED = "expired"
    UNUSABLE = "unusable"


class Standing(NamedTuple):
    """One certificate of a directory.

    Attributes:
        place: file or server that it is in.
        state: how it stands.
        authority: an authority of the trust file, not a leaf.
        name: common name; empty when it cannot be read.
        hosts: DNS names and addresses.
        ends: end of its life, if it can be read.
        left: life left, negative when it has expired.
        problem: what is wrong, with the mend; empty when nothing is.
    """

    place: str
    state: State
    authority: bool = False
    name: str = ""
    hosts: tuple[str, ...] = ()
    ends: datetime | None = None
    left: timedelta | None = None
    problem: str = ""


class Renewal(NamedTuple):
    """What `renew_all` did with one file: `ends` is the new end when it was renewed, `problem` why it could not be."""

    file: Path
    name: str
    renewed: bool
    why: str = ""
    ends: datetime | None = None
    problem: str = ""


def renew_due(bundle: Bundle, now: datetime) -> bool:
    """Return whether a bundle has lived two thirds of its life."""
    return _due(bundle.certificate, now)


def bundle_files(directory: Path) -> list[Path]:
    """Return the bundle files of a directory by name: every `*.pem` but the trust file."""
    return sorted(path for path in directory.glob("*.pem") if path.name != TRUST_FILE)


def survey(directory: Path, now: datetime, servers: Sequence[str] = ()) -> Iterator[Standing]:
    """Yield how every certificate of a directory stands, authorities first. No key of an authority is needed.

    Args:
        directory: with a trust file and bundles.
        now: time of the check.
        servers: also what these running servers show, each `host:port`.

    Raises:
        CertificateProblem: the directory has no readable trust file.
        ValueError: a server is not `host:port`.
    """
    addresses = [_address(one) for one in servers]
    trust_file = directory / TRUST_FILE
    trusted = read_certificates(trust_file, "copy it from the authority, or make an authority with 'trunkline pki init'")
    for certificate in trusted:
        yield _authority_standing(trust_file, certificate, now)
    for path in bundle_files(directory):
        try:
            yield _standing(str(path), Bundle.load(path).certificate, trusted, now)
        except CertificateProblem as error:
            yield Standing(str(path), State.UNUSABLE, problem=str(error))
    for host, port in addresses:
        try:
            yield _standing(f"{host}:{port}", served(host, port), trusted, now, host)
        except NotConnected as error:
            yield Standing(f"{host}:{port}", State.UNUSABLE, problem=str(error))


def renew_all(authority: CertificateAuthority, *, now: datetime, everything: bool = False) -> Iterator[Renewal]:
    """Renew what is due in the authority's directory, and what a predecessor signed; yield what was done, file by file.

    A file that cannot be renewed does not keep the others from it. Only what a trusted authority signed is renewed: otherwise whoever can
    write a file could choose a name.

    Args:
        authority: signs them.
        now: time to count from.
        everything: also what is not due.
    """
    for path in bundle_files(authority.directory):
        try:
            bundle = Bundle.load(path)
            why = _why(authority, path, bundle, now, everything=everything)
            if why:
                fresh = authority.renew(bundle, now=now)
                fresh.write(path)
                yield Renewal(path, fresh.name, renewed=True, why=why, ends=fresh.certificate.not_valid_after_utc)
            else:
                yield Renewal(path, bundle.name, renewed=False, ends=bundle.certificate.not_valid_after_utc)
        except (CertificateProblem, ValueError) as error:
            yield Renewal(path, "", renewed=False, problem=str(error))


def left_behind(authority: CertificateAuthority) -> list[Path]:
    """Return the bundle files in the authority's directory that the authority which issues now did not sign, unreadable ones included."""
    return [path for path in bundle_files(authority.directory) if not _current(authority, path)]


def _current(authority: CertificateAuthority, path: Path) -> bool:
    try:
        return authority.signed(Bundle.load(path))
    except CertificateProblem:
        return False


def _why(authority: CertificateAuthority, path: Path, bundle: Bundle, now: datetime, *, everything: bool) -> str:
    if issuer_of(bundle.certificate, authority.trusted) is None:
        raise CertificateProblem(f"{path}: no authority of {authority.trust_file} signed it: issue it anew, or move it elsewhere")
    if renew_due(bundle, now):
        return "expired" if now > bundle.certificate.not_valid_after_utc else "due"
    if not authority.signed(bundle):
        return "new authority"
    return "asked for" if everything else ""


def _due(certificate: x509.Certificate, now: datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return now >= certificate.not_valid_before_utc + life * RENEW_AFTER


def _authority_standing(path: Path, certificate: x509.Certificate, now: datetime) -> Standing:
    ends = certificate.not_valid_after_utc
    name = profile.common_name(certificate)
    state, problem = State.VALID, ""
    if now > ends:
        state, problem = State.EXPIRED, f"{path}: the authority {name!r} expired: retire it, and renew what it signed with its successor"
    elif _due(certificate, now):
        state, problem = State.DUE, f"{path}: the authority {name!r} ends soon: make a successor with 'trunkline pki successor prepare'"
    return Standing(str(path), state, authority=True, name=name, ends=ends, left=ends - now, problem=problem)


def _standing(place: str, leaf: x509.Certificate, trusted: tuple[x509.Certificate, ...], now: datetime, host: str = "") -> Standing:
    name, ends = profile.common_name(leaf), leaf.not_valid_after_utc
    state, problem = State.VALID, ""
    try:
        verify(place, leaf, trusted, now, host=host)
    except CertificateProblem as error:
        state, problem = State.EXPIRED if now > ends else State.UNUSABLE, str(error)
    else:
        if _due(leaf, now):
            mend = "let the server read the renewed file" if host else "run 'trunkline pki renew'"
            state, problem = State.DUE, f"{place}: the certificate of {name!r} ends soon: {mend}"
    return Standing(place, state, name=name, hosts=profile.hosts_of(leaf), ends=ends, left=ends - now, problem=problem)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is no server: write host:port")
    return host.strip("[]"), int(port)
