"""`trunkline pki`: certificates and passwords of brokers, gateways and services."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from cryptography.hazmat.primitives.hashes import SHA256
from rich.table import Table

from trunkline.cli import pki_site
from trunkline.cli.output import complain, emit, fail, people, plain
from trunkline.config.secrets import SecretStore, references
from trunkline.model.errors import Misconfigured
from trunkline.security.pki import profile
from trunkline.security.pki.authority import AUTHORITY_LIFE, LEAF_LIFE, CertificateAuthority
from trunkline.security.pki.errors import CertificateProblem
from trunkline.security.pki.files import read_certificates
from trunkline.security.pki.renewal import Standing, State, left_behind, renew_all, survey

app = typer.Typer(help="Certificates and passwords of brokers, gateways and services.", no_args_is_help=True)
successor_app = typer.Typer(help="Replace the authority without a stop: prepare, activate, retire.", no_args_is_help=True)
app.add_typer(successor_app, name="successor")
app.command("password")(pki_site.password)
app.command("revoke")(pki_site.revoke)
app.command("reload")(pki_site.reload_brokers)

Directory = Annotated[Path, typer.Argument(help="directory of the authority", file_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="one JSON object per certificate, then a summary")]
Passphrase = Annotated[
    str,
    typer.Option(help="where the passphrase of the authority's key is: ${env:NAME}, ${file:PATH} or ${secret:NAME}, kept beside DIRECTORY"),
]
_DAY: Final = timedelta(days=1)
_SHADE: Final = {State.VALID: "green", State.DUE: "yellow", State.EXPIRED: "bold red", State.UNUSABLE: "bold red"}

T = TypeVar("T")


@app.command()
def init(
    directory: Directory,
    name: Annotated[str, typer.Option(help="site or company, part of the authority's name")],
    passphrase: Passphrase = "",
    days: Annotated[float, typer.Option(help="life of the authority")] = AUTHORITY_LIFE / _DAY,
) -> None:
    """Make an authority. Keep a copy of DIRECTORY/authorities offline: who has a key there can be anybody."""
    life = timedelta(days=days)
    authority = _mended(lambda: CertificateAuthority.create(directory, name, passphrase=_secret(directory, passphrase), valid=life))
    people.print(f"made the authority [bold]{profile.common_name(authority.certificate)}[/]", soft_wrap=True)
    people.print(f"give [bold]{plain(authority.trust_file)}[/] to every broker and client", soft_wrap=True)


@app.command()
def issue(
    directory: Directory,
    name: Annotated[str, typer.Argument(help="common name: a principal such as gateway-g1, or kafka-broker")],
    host: Annotated[list[str] | None, typer.Option(help="name or address by which clients reach a server; several are possible")] = None,
    server: Annotated[bool, typer.Option("--server", help="accepts connections, as brokers do")] = False,
    days: Annotated[float, typer.Option(help="life of the certificate")] = LEAF_LIFE / _DAY,
    file: Annotated[str, typer.Option(help="name of the file without .pem, when several have the same common name")] = "",
    passphrase: Passphrase = "",
) -> None:
    """Issue a certificate with a new key into one file of DIRECTORY; an existing file is never overwritten."""

    def run() -> Path:
        path = directory / f"{profile.check_name(file or name)}.pem"
        if path.exists():
            raise CertificateProblem(
                f"{path} exists already: renew it with 'trunkline pki renew {directory} --all', or choose another --file"
            )
        authority = CertificateAuthority.open(directory, passphrase=_secret(directory, passphrase))
        return authority.issue(name, hosts=host or (), server=server, valid=timedelta(days=days)).write(path)

    people.print(f"issued [bold]{plain(_mended(run))}[/]: key, certificate and authority", soft_wrap=True)


@app.command()
def provision(directory: Directory, file: pki_site.File, passphrase: Passphrase = "") -> None:
    """Give every gateway and service of a site a password and a client certificate; what is there is kept, and nothing is shown."""
    _mended(lambda: pki_site.provision(file, directory, _secret(directory, passphrase)))


@app.command()
def renew(
    directory: Directory,
    everything: Annotated[bool, typer.Option("--all", help="also what is not due yet")] = False,
    passphrase: Passphrase = "",
    as_json: Json = False,
) -> None:
    """Renew what has lived two thirds of its life or comes from a predecessor. Exits 1 if something could not be renewed."""
    authority = _mended(lambda: CertificateAuthority.open(directory, passphrase=_secret(directory, passphrase)))
    results = list(renew_all(authority, now=profile.utc_now(), everything=everything))
    for one in results:
        if as_json:
            ends = one.ends.isoformat() if one.ends else None
            emit({**one._asdict(), "file": str(one.file), "ends": ends})
        elif one.problem:
            complain(one.problem)
        elif one.renewed and one.ends:
            people.print(f"renewed {plain(one.file)} ({one.why}), ends {one.ends:%Y-%m-%d %H:%M} UTC", soft_wrap=True)
    renewed, failed = sum(one.renewed for one in results), sum(bool(one.problem) for one in results)
    if as_json:
        emit({"files": len(results), "renewed": renewed, "failed": failed, "passed": not failed})
    else:
        people.print(f"{renewed} of {len(results)} renewed")
    raise typer.Exit(1 if failed else 0)


@app.command()
def check(
    directory: Directory,
    server: Annotated[list[str] | None, typer.Option(help="also what this running server shows, host:port; several are possible")] = None,
    as_json: Json = False,
) -> None:
    """List every certificate with the days it has left. Exits 1 when one has expired or cannot be used. Needs no key of an authority."""
    found = _mended(lambda: list(survey(directory, profile.utc_now(), server or ())))
    states = Counter(one.state for one in found)
    passed = not states[State.EXPIRED] and not states[State.UNUSABLE]
    if as_json:
        for one in found:
            emit(_described(one))
        emit({"certificates": len(found), **{state.value: states[state] for state in State}, "passed": passed})
    else:
        people.print(_table(found))
        for one in found:
            if one.problem:
                people.print(f"[{_SHADE[one.state]}]{one.state.value}[/] {plain(one.problem)}", soft_wrap=True)
    raise typer.Exit(0 if passed else 1)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="a PEM file: of a broker, a client, or ca.pem", dir_okay=False)],
    as_json: Json = False,
) -> None:
    """Show what the certificates of a file say. Keys are never shown."""
    certificates = _mended(lambda: read_certificates(file, "name a PEM file with certificates"))
    for certificate in certificates:
        client, server = profile.purposes_of(certificate)
        document: dict[str, Any] = {
            "name": profile.common_name(certificate),
            "issuer": profile.common_name_of(certificate.issuer),
            "hosts": list(profile.hosts_of(certificate)),
            "client": client,
            "server": server,
            "begins": certificate.not_valid_before_utc.isoformat(),
            "ends": certificate.not_valid_after_utc.isoformat(),
            "serial": f"{certificate.serial_number:x}",
            "fingerprint": f"sha256:{certificate.fingerprint(SHA256()).hex()}",
        }
        if as_json:
            emit(document)
        else:
            table = Table(box=None, show_header=False)
            for key, value in document.items():
                table.add_row(key, plain(", ".join(value) or "—" if isinstance(value, list) else value))
            people.print(table)
    if as_json:
        emit({"file": str(file), "certificates": len(certificates)})


@successor_app.command()
def prepare(
    directory: Directory,
    name: Annotated[str, typer.Option(help="site or company, part of the authority's name")],
    passphrase: Passphrase = "",
) -> None:
    """Make the next authority and trust it beside the present one, which still issues."""
    authority = _mended(lambda: CertificateAuthority.open(directory, passphrase=_secret(directory, passphrase)))
    made = _mended(lambda: authority.prepare_successor(name))
    people.print(f"prepared [bold]{profile.common_name(made)}[/]", soft_wrap=True)
    people.print(f"give [bold]{plain(authority.trust_file)}[/] to every broker and client before you activate it", soft_wrap=True)


@successor_app.command()
def activate(directory: Directory, passphrase: Passphrase = "") -> None:
    """Let the prepared authority issue. Every broker and client must have the new ca.pem by now."""
    authority = _mended(lambda: CertificateAuthority.open(directory, passphrase=_secret(directory, passphrase)))
    made = _mended(authority.activate_successor)
    people.print(f"[bold]{profile.common_name(made)}[/] issues now: run 'trunkline pki renew {plain(directory)}'", soft_wrap=True)


@successor_app.command()
def retire(directory: Directory, passphrase: Passphrase = "") -> None:
    """End the trust in the predecessor and delete its key. Refused while a file of DIRECTORY was signed by it."""
    authority = _mended(lambda: CertificateAuthority.open(directory, passphrase=_secret(directory, passphrase)))
    left = left_behind(authority)
    if left:
        names = ", ".join(path.name for path in left)
        fail(f"the predecessor signed {names}: run 'trunkline pki renew {directory}', or move away what is not needed", 2)
    gone = _mended(authority.retire)
    people.print(
        f"retired [bold]{profile.common_name(gone)}[/]: give {plain(authority.trust_file)} to every broker and client", soft_wrap=True
    )


def _described(one: Standing) -> dict[str, Any]:
    return {
        "place": one.place,
        "authority": one.authority,
        "name": one.name,
        "hosts": list(one.hosts),
        "ends": one.ends.isoformat() if one.ends else None,
        "days_left": round(one.left / _DAY, 2) if one.left is not None else None,
        "state": one.state.value,
        "problem": one.problem,
    }


def _table(found: list[Standing]) -> Table:
    table = Table(box=None)
    for column in ("certificate", "name", "hosts", "days left", "state"):
        table.add_column(column, justify="right" if column == "days left" else "left", overflow="fold")
    for one in found:
        days = f"{one.left / _DAY:.1f}" if one.left is not None else "—"
        state = f"[{_SHADE[one.state]}]{one.state.value}[/]"
        table.add_row(plain(Path(one.place).name), plain(one.name or "—"), plain(", ".join(one.hosts) or "—"), days, state)
    return table


def _secret(directory: Path, reference: str) -> str:
    """Return a passphrase: the command line is readable by every user of the machine, so it must be a reference."""
    if reference and references(reference) != [reference]:
        raise Misconfigured("--passphrase takes a reference such as '${env:NAME}' or '${file:PATH}': others can read a command line")
    return SecretStore(directory.absolute().parent / "secrets", Path.cwd()).resolve(reference)


def _mended(action: Callable[[], T]) -> T:
    try:
        return action()
    except (Misconfigured, ValueError) as error:
        fail(str(error), 2)
