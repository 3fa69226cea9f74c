"""Writes the pages of topics and access from their tables: `python -m trunkline.log.reference [--check] [DIRECTORY]`."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from trunkline.log.kafka.access import PURPOSES, ROLES, Operations, Principal, User, grants
from trunkline.log.kafka.plan import COPIES, settings
from trunkline.log.layouts.spec import LayoutTable, TopicSpec
from trunkline.log.topics import TABLES, Layout
from trunkline.model import times

DEFAULT: Final = Path("docs/reference")
_MARK: Final = "<!-- Written by `python -m trunkline.log.reference`; do not edit. -->"
_TOPICS_HEAD: Final = f"""\
{_MARK}
# Topics

A site file names a layout (`log.layout`); the layout names every topic and its settings. `trunkline topics plan site.yaml` compares a
log with it, `trunkline topics apply site.yaml` creates what is missing and changes settings, `trunkline topics drift site.yaml` exits 1
when anything differs ([how to](../how-to/kafka-topics.md)).

* **Partitions**: topics marked `*` have the number that `log.partitions` gives; the figure here is the standard one for production.
  It is fixed once data is there: another number moves keys and breaks the order of tags (PD-18).
* **Copies**: profile `production` keeps three copies of which two must be there, `development` one. One broker of three lost is full
  service; two lost stop writes and lose nothing (PD-20).
* **Retention** of raw and clean telemetry follows `log.retention_hours` where the site file sets it, and on the embedded journal always.
  Whole segments expire, so a segment is written to for a twenty-fourth of the retention, at least a minute and at most a week (ED-14).
* **Form**: a *block* holds many readings of one partition as columns and is what gateways write; a *single* is one Avro record with
  Confluent framing; *json* is what it says.
"""
_ACCESS_HEAD: Final = f"""\
{_MARK}
# Access

Everything is denied that this table does not give (`StandardAuthorizer`, `allow.everyone.if.no.acl.found=false`).
`trunkline topics apply site.yaml` grants it and finds rights beyond it; `--revoke` takes those away. Every site has the users
`gateway-ID` for each of its gateways, `validate`, `historian`, `api`, `site` and `admin`; others are asked for with `--reader NAME`,
`--producer NAME` and `--mirror SITE`. Their passwords are made once and lie in the site's secrets as `kafka-USER`, mode 0600.

**W** write, **R** read; both include describe. `IdempotentWrite` is granted to nobody: since Kafka 3.0 the
right to write a topic is enough (PD-13).
`tests/log/test_access.py` asks three secured brokers about every role, resource and operation of this page.
"""


def topics_page() -> str:
    """Return docs/reference/topics.md."""
    parts = [_TOPICS_HEAD]
    for table in TABLES.values():
        parts += _layout(table)
    return "\n".join(parts) + "\n"


def access_page() -> str:
    """Return docs/reference/access.md."""
    parts = [_ACCESS_HEAD, "\n## Roles\n\n| role | who | groups | transactional ids | cluster |\n| --- | --- | --- | --- | --- |"]
    layout = Layout("gateway", 1)
    for role in ROLES:
        user = User(_example(role), role)
        cells = [_resources(user, layout, kind) for kind in ("group", "transactional-id", "cluster")]
        parts.append(f"| {role} | {PURPOSES[role]} | {' | '.join(cells)} |")
    for table in TABLES.values():
        parts.append(f"\n## Topics of layout `{table.name}`\n\n| topic | {' | '.join(ROLES)} |\n| --- |{' --- |' * len(ROLES)}")
        parts += _matrix(Layout(table.name, 1))
    return "\n".join(parts) + "\n"


def _layout(table: LayoutTable) -> Iterator[str]:
    yield f"\n## Layout `{table.name}`\n\n{table.purpose[0].upper()}{table.purpose[1:]}.\n"
    yield "| topic | partitions | retention | form | purpose | answers for it | writers | readers |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for spec in table.specs:
        cells = (
            f"`{spec.name}`",
            f"{spec.partitions}{'*' if spec.scaled else ''}",
            _span(spec.retention_us),
            spec.form,
            spec.purpose,
            spec.owner,
            ", ".join(spec.writers) or "—",
            ", ".join(spec.readers),
        )
        yield f"| {' | '.join(cells)} |"
    yield f"\nSettings of every topic, in the profile `production`: {_common(table)}."


def _common(table: LayoutTable) -> str:
    """Return the settings that all topics of a layout have, and that differ in none."""
    every = [settings(spec, COPIES["production"][1]) for spec in table.specs]
    same = {key: value for key, value in every[0].items() if all(one[key] == value for one in every)}
    return ", ".join(f"`{key}={value}`" for key, value in same.items())


def _matrix(layout: Layout) -> Iterator[str]:
    given = {role: {grant.name: grant.operations for grant in grants(User(_example(role), role), layout)} for role in ROLES}
    for spec in layout.specs():
        yield f"| `{spec.name}` | {' | '.join(_letters(given[role], spec) for role in ROLES)} |"
    mirror = User(_example("mirror"), "mirror")
    own = [grant for grant in grants(mirror, layout) if grant.resource == "topic" and layout.spec(grant.name) is None]
    for grant in own:
        cells = ["" if role != "mirror" else ", ".join(sorted(grant.operations)) for role in ROLES]
        cells[ROLES.index("admin")] = "all"
        yield f"| `{grant.name}{'…' if grant.pattern == 'prefixed' else ''}` | {' | '.join(cells)} |"


def _letters(given: Mapping[str, Operations], spec: TopicSpec) -> str:
    if "*" in given:
        return "all"
    operations = given.get(spec.name, frozenset())
    return "".join(letter for letter, operation in (("W", "write"), ("R", "read")) if operation in operations)


def _resources(user: User, layout: Layout, kind: str) -> str:
    found = [grant for grant in grants(user, layout) if grant.resource == kind]
    cells = []
    for grant in found:
        name = "" if kind == "cluster" else f"`{grant.name}{'…' if grant.pattern == 'prefixed' else ''}`: "
        cells.append(name + ", ".join(sorted(grant.operations)))
    return "; ".join(cells) or "—"


def _example(role: Principal) -> str:
    names: dict[Principal, str] = {
        "gateway": "gateway-ID",
        "external-reader": "reader-NAME",
        "external-producer": "producer-NAME",
        "mirror": "mirror-SITE",
    }
    return names.get(role, role)


def _span(us: int | None) -> str:
    if us is None:
        return "for ever"
    if us % (365 * times.DAY) == 0:
        years = us // (365 * times.DAY)
        return f"{years} year{'s' if years != 1 else ''}"
    if us > 2 * times.DAY and us % times.DAY == 0:
        return f"{us // times.DAY} days"
    return f"{us // times.HOUR} h"


PAGES: Final = {"topics.md": topics_page, "access.md": access_page}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check say whether they are up to date. Returns the exit status."""
    names = [name for name in arguments if not name.startswith("-")]
    directory = Path(names[0]) if names else DEFAULT
    stale = []
    for name, page in PAGES.items():
        file = directory / name
        if "--check" not in arguments:
            directory.mkdir(parents=True, exist_ok=True)
            file.write_text(page(), "utf-8")
        elif not file.is_file() or file.read_text("utf-8") != page():
            stale.append(file)
    for file in stale:
        sys.stderr.write(f"{file} is out of date: run 'python -m trunkline.log.reference'\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
