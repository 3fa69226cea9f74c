"""`trunkline topics plan|apply|drift`: topics, users and access lists from the catalogue to the log (P-90, P-91, P-93, PD-13)."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from trunkline.cli.kafka_login import Login, cluster_admin, logged_in
from trunkline.cli.output import emit, people, plain
from trunkline.cli.telling import telling
from trunkline.config.kafka import Profile
from trunkline.config.loading import Site, load
from trunkline.config.secrets import SecretStore
from trunkline.log.journal.journal import Journal
from trunkline.log.kafka.access import User, site_users
from trunkline.log.kafka.admin import ClusterAdmin
from trunkline.log.kafka.plan import Plan, Step, describe, plan_journal, plan_rules, plan_topics, plan_users
from trunkline.log.opening import kafka_topics, layout_of, retention_of, site_journal
from trunkline.security.kafka_credentials import provision, secret_name
from trunkline.security.kafka_credentials import rotate as rotate_password

SiteFile = Annotated[Path, typer.Argument(help="the site file")]
ProfileName = Annotated[Profile | None, typer.Option(help="copies of each record: one or three; default: the site file's 'log.profile'")]
Users = Annotated[bool | None, typer.Option("--users/--no-users", help="also SCRAM users; default: where the site's brokers are secured")]
Acls = Annotated[bool | None, typer.Option("--acls/--no-acls", help="also access lists; default: where the site's brokers are secured")]
Readers = Annotated[list[str] | None, typer.Option("--reader", help="a consumer of others: user reader-NAME; may be repeated")]
Producers = Annotated[list[str] | None, typer.Option("--producer", help="a producer of others: user producer-NAME; may be repeated")]
Mirrors = Annotated[list[str] | None, typer.Option("--mirror", help="MirrorMaker 2 of an edge: user mirror-SITE; may be repeated")]
Shorten = Annotated[bool, typer.Option(help="allow a shorter retention, which deletes records")]
Revoke = Annotated[bool, typer.Option(help="take away rights that the table does not give")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object per line, then a summary")]


class Asked(NamedTuple):
    """What the options say. `people` is None where users and access lists are left alone."""

    profile: Profile | None
    users: bool | None
    acls: bool | None
    others: tuple[User, ...]
    shorten: bool = False
    revoke: bool = False


def plan(
    file: SiteFile,
    profile: ProfileName = None,
    users: Users = None,
    acls: Acls = None,
    reader: Readers = None,
    producer: Producers = None,
    mirror: Mirrors = None,
    shorten: Shorten = False,
    revoke: Revoke = False,
    login: Login = "",
    as_json: AsJson = False,
) -> None:
    """Say what 'apply' would do, and do nothing."""
    asked = Asked(profile, users, acls, _others(reader, producer, mirror), shorten, revoke)
    _, found = _looked(file, asked, login)
    _tell(found, as_json=as_json)
    if as_json:
        emit({"steps": len(found.steps), "findings": len(found.findings), "passed": True})


def drift(
    file: SiteFile,
    profile: ProfileName = None,
    users: Users = None,
    acls: Acls = None,
    reader: Readers = None,
    producer: Producers = None,
    mirror: Mirrors = None,
    login: Login = "",
    as_json: AsJson = False,
) -> None:
    """Exit 1 when the log differs from the catalogue in anything."""
    _, found = _looked(file, Asked(profile, users, acls, _others(reader, producer, mirror)), login)
    _tell(found, as_json=as_json)
    if as_json:
        emit({"steps": len(found.steps), "findings": len(found.findings), "passed": not found})
    raise typer.Exit(1 if found else 0)


def apply(
    file: SiteFile,
    profile: ProfileName = None,
    users: Users = None,
    acls: Acls = None,
    reader: Readers = None,
    producer: Producers = None,
    mirror: Mirrors = None,
    shorten: Shorten = False,
    revoke: Revoke = False,
    rotate: Annotated[list[str] | None, typer.Option(help="give this user another password; may be repeated")] = None,
    login: Login = "",
    as_json: AsJson = False,
) -> None:
    """Create what is missing and change settings. Nothing is deleted or made smaller; exits 1 when something is left to people."""
    asked = Asked(profile, users, acls, _others(reader, producer, mirror), shorten, revoke)
    site, found = _looked(file, asked, login)
    done: list[Step] = []
    rotated = list(rotate or [])
    try:
        with telling():
            if site.config.log.engine == "journal":
                _apply_to_journal(site, found, done.append)
            else:
                admin = cluster_admin(site)
                admin.apply(found, lambda user: password_of(site.secrets, user), done.append)
                for user in rotated:
                    give_another_password(admin, site.secrets, user)
    except typer.Exit:
        _tell(Plan(done), as_json=as_json, done=True)
        raise
    _tell(Plan(done, [one for one in found.findings if one.subject not in rotated]), as_json=as_json, done=True)
    left = [one for one in found.findings if one.subject not in rotated]
    if as_json:
        emit({"steps": len(done), "rotated": len(rotated), "findings": len(left), "passed": not left})
    raise typer.Exit(1 if left else 0)


def password_of(store: SecretStore, user: str) -> str:
    """Return a user's password, made and stored (0600) the first time it is asked for; it is never printed."""
    (provided,) = provision(store, [user])
    return store.resolve("${secret:" + provided.file.name + "}")


def give_another_password(admin: ClusterAdmin, store: SecretStore, user: str) -> None:
    """Replace a user's password on the cluster and in the secrets, where a first one may be missing."""
    if (store.directory / secret_name(user)).is_file():
        rotate_password(store, user, admin.set_password)
    else:
        admin.set_password(user, password_of(store, user))


def _others(readers: list[str] | None, producers: list[str] | None, mirrors: list[str] | None) -> tuple[User, ...]:
    return (
        *(User(f"reader-{name}", "external-reader") for name in readers or ()),
        *(User(f"producer-{name}", "external-producer") for name in producers or ()),
        *(User(f"mirror-{name}", "mirror") for name in mirrors or ()),
    )


def _looked(file: Path, asked: Asked, login: str) -> tuple[Site, Plan]:
    with telling():
        site = logged_in(load(file), login)
        return site, _journal_plan(site) if site.config.log.engine == "journal" else cluster_plan(site, asked)


def cluster_plan(site: Site, asked: Asked) -> Plan:
    """Return what a site's brokers lack of its catalogue; the site is logged in as administrator. Raises Misconfigured, RetryLater."""
    """Compare a site's brokers with the catalogue. Raises RetryLater while they are away, Misconfigured when they refuse."""
    config = site.config.log
    layout = layout_of(config)
    secured = config.security is not None
    users = [*site_users(gateway.id for gateway in site.config.gateways), *asked.others]
    named = [user.name for user in users]
    wanted = kafka_topics(config, asked.profile)
    with_users = secured if asked.users is None else asked.users
    with_acls = secured if asked.acls is None else asked.acls
    cluster = cluster_admin(site).look([topic.name for topic in wanted], named if with_users or with_acls else ())
    found = plan_topics(wanted, cluster, shorten=asked.shorten)
    if with_users:
        found += plan_users(users, cluster, lambda user: (site.secrets.directory / secret_name(user.name)).is_file())
    if with_acls:
        found += plan_rules(users, layout, cluster, revoke=asked.revoke)
    return found


def _journal_plan(site: Site) -> Plan:
    wanted = layout_of(site.config.log).catalogue(retention_of(site.config.log))
    path = site_journal(site.data_dir)
    if not path.is_file():
        return plan_journal(wanted, {})
    with Journal(path) as journal:
        return plan_journal(wanted, journal.topics())


def _apply_to_journal(site: Site, found: Plan, told: Callable[[Step], None]) -> None:
    wanted = {topic.name: topic for topic in layout_of(site.config.log).catalogue(retention_of(site.config.log))}
    with Journal(site_journal(site.data_dir)) as journal:
        for step in found.steps:
            journal.create([wanted[step.subject]])
            told(step)


def _tell(found: Plan, *, as_json: bool, done: bool = False) -> None:
    if as_json:
        for step in found.steps:
            emit(document(step))
        for one in found.findings:
            emit(dataclasses.asdict(one))
        return
    for step in found.steps:
        people.print(f"[green]{'✓' if done else '+'}[/] {plain(sentence(step))}", soft_wrap=True)
    for one in found.findings:
        people.print(f"[yellow]![/] [bold]{plain(one.subject)}[/] {plain(one.problem)}", soft_wrap=True)
        people.print(f"  {plain(one.mend)}", soft_wrap=True)
    if not found:
        people.print("nothing differs" if not done else "nothing to do")


def document(step: Step) -> dict[str, Any]:
    """Return a step for machines: only what it has."""
    found: dict[str, Any] = {"action": step.action, "subject": step.subject}
    if step.action == "create topic":
        found |= {"partitions": step.partitions, "replication": step.replication}
    if step.changes:
        found["changes"] = {key: {"from": old, "to": new} for key, (old, new) in step.changes.items()}
    if step.rules:
        found["rules"] = [describe(rule) for rule in step.rules]
    return found


def sentence(step: Step) -> str:
    """Return a step in words."""
    match step.action:
        case "create topic":
            copies = "1 copy" if step.replication == 1 else f"{step.replication} copies"
            return f"create topic {step.subject}: {step.partitions} partition{'s' if step.partitions != 1 else ''}, {copies}"
        case "change settings":
            changes = ", ".join(f"{key} {old} → {new}" for key, (old, new) in step.changes.items())
            return f"change {step.subject}: {changes}"
        case "create user":
            return f"create user {step.subject} (password in the secret {secret_name(step.subject)})"
        case _:
            return f"{step.action} {step.subject}: {len(step.rules)} right{'s' if len(step.rules) != 1 else ''}"
