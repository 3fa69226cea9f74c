"""`trunkline pki` with a site: credentials of its principals, and brokers that take over renewed files."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from confluent_kafka.admin import AdminClient

from trunkline.cli.kafka_login import Login, cluster_admin, logged_in
from trunkline.cli.output import emit, fail, people, plain
from trunkline.config.loading import Site, load
from trunkline.log.kafka.access import site_users
from trunkline.log.kafka.settings import client_settings
from trunkline.model.errors import Misconfigured, TrunklineError
from trunkline.security import kafka_credentials
from trunkline.security.pki.authority import TRUST_FILE, CertificateAuthority
from trunkline.security.pki.bundle import Bundle
from trunkline.security.pki.profile import check_name
from trunkline.security.pki.reloading import Outcome, Shown, await_shown, reload, tls_listeners
from trunkline.security.pki.renewal import bundle_files

File = Annotated[Path, typer.Argument(help="the site file")]
_SHADE: Final = {Outcome.CURRENT: "green", Outcome.OUTDATED: "bold red", Outcome.UNREACHABLE: "yellow"}


def provision(site_file: File, directory: Path, passphrase: str) -> None:
    """Give every principal of a site a password and a client certificate; what is there is kept. Raises TrunklineError, ValueError."""
    site = load(site_file)
    names = [user.name for user in site_users(gateway.id for gateway in site.config.gateways)]
    authority = CertificateAuthority.open(directory, passphrase=passphrase)
    for one in kafka_credentials.provision(site.secrets, names):
        path = directory / f"{one.principal}.pem"
        fresh = not path.exists()
        if fresh:
            authority.issue(one.principal).write(path)
        words = f"{'new' if one.made else 'kept'} password, {'new' if fresh else 'kept'} certificate"
        people.print(f"[bold]{plain(one.principal)}[/]: {words}", soft_wrap=True)
    people.print("in the site file: password: ${secret:kafka-NAME}; on the brokers: trunkline topics apply", soft_wrap=True)


def password(file: File, user: Annotated[str, typer.Argument(help="whose password, such as gateway-g1")], login: Login = "") -> None:
    """Give a principal another password: on the brokers, then in the site's secrets. It is never shown.

    Restart what logs in with it, at the latest before `connections.max.reauth.ms` of the brokers has passed.
    """
    try:
        site = _kafka_site(file)
        path = kafka_credentials.rotate(site.secrets, user, cluster_admin(logged_in(site, login)).set_password)
    except (TrunklineError, ValueError) as error:
        fail(str(error), 2)
    people.print(f"new password of [bold]{plain(user)}[/] in {plain(path)}", soft_wrap=True)


def revoke(
    directory: Annotated[Path, typer.Argument(help="directory with the user's certificate", file_okay=False)],
    file: File,
    user: Annotated[str, typer.Argument(help="whose credentials, such as gateway-g1")],
    login: Login = "",
) -> None:
    """Take back a principal's credentials: its user on the brokers, its secret, its certificate.

    Connections that are open end within `connections.max.reauth.ms` of the brokers.
    """
    try:
        site = logged_in(_kafka_site(file), login)
        path = directory / f"{check_name(user)}.pem"
        if site.config.log.security and user == site.config.log.security.username:
            raise Misconfigured(f"{user!r} is the login that this command uses: choose another one with --as")
        known = kafka_credentials.revoke(site.secrets, user, AdminClient(client_settings(site.config.log, site.secrets)))
    except (TrunklineError, ValueError) as error:
        fail(str(error), 2)
    path.unlink(missing_ok=True)
    people.print(f"[bold]{plain(user)}[/] {'can log in no more' if known else 'was not known to the brokers'}", soft_wrap=True)


def reload_brokers(
    directory: Annotated[Path, typer.Argument(help="directory with ca.pem and the brokers' renewed files", file_okay=False)],
    file: File,
    login: Login = "",
    wait: Annotated[float, typer.Option(help="seconds for all listeners together")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per listener, then a summary")] = False,
) -> None:
    """Let the brokers take over renewed files without a restart. Exits 1 unless every listener that can be reached shows one of them."""
    try:
        site = logged_in(_kafka_site(file), login)
        admin = AdminClient(client_settings(site.config.log, site.secrets))
        wanted = [Bundle.load(path).certificate for path in bundle_files(directory)]
        if not wanted:
            raise Misconfigured(f"{directory} has no certificates beside {TRUST_FILE}: name the directory with the brokers' renewed files")
        principal = site.config.log.security.principal if site.config.log.security else ""
        listeners = tls_listeners(admin, principal)
        for broker in sorted({listener.broker for listener in listeners}):
            reload(admin, broker, principal)
        found = list(await_shown(listeners, wanted, wait))
    except (TrunklineError, ValueError) as error:
        fail(str(error), 2)
    outdated = sum(one.outcome is Outcome.OUTDATED for one in found)
    current = sum(one.outcome is Outcome.CURRENT for one in found)
    passed = bool(current) and not outdated
    for one in found:
        if as_json:
            emit(_described(one))
        else:
            place = f"broker {one.listener.broker} {one.listener.name} {one.listener.host}:{one.listener.port}"
            people.print(f"{plain(place)} [{_SHADE[one.outcome]}]{one.outcome.value}[/] {plain(one.problem)}", soft_wrap=True)
    if as_json:
        emit({"listeners": len(found), "current": current, "outdated": outdated, "passed": passed})
    raise typer.Exit(0 if passed else 1)


def _kafka_site(file: Path) -> Site:
    site = load(file)
    if site.config.log.engine != "kafka" or site.config.log.security is None:
        raise Misconfigured(f"{file}: its log is not a secured Kafka: there are no certificates or passwords of brokers")
    return site


def _described(one: Shown) -> dict[str, Any]:
    listener = one.listener
    return {
        "broker": listener.broker,
        "listener": listener.name,
        "address": f"{listener.host}:{listener.port}",
        "outcome": one.outcome.value,
        "problem": one.problem,
    }
