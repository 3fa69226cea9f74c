"""`trunkline journal export` and `import`: what waits at an edge, carried to the site by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from trunkline.cli.edge_key import naming_the_key, open_journal
from trunkline.cli.moment import moment
from trunkline.cli.output import emit, fail, people, plain
from trunkline.cli.telling import telling
from trunkline.config.loading import Site, load
from trunkline.gateway.copyin import check_set, copy_in, find_sets
from trunkline.gateway.copyout import copy_out
from trunkline.gateway.copyset import Manifest, set_key
from trunkline.gateway.copyset import Progress as Told
from trunkline.log.codec.forms import forms_of
from trunkline.log.journal.sealing import Key
from trunkline.log.opening import edge_journal, edge_key
from trunkline.model.errors import CorruptData, Misconfigured
from trunkline.supervisor.wiring import site_log

SiteFile = Annotated[Path, typer.Argument(help="the site file")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object a set")]


@contextmanager
def _bar(what: str) -> Iterator[Told]:
    with Progress(console=people, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


@contextmanager
def _telling_damage() -> Iterator[None]:
    with telling():
        try:
            yield
        except CorruptData as error:
            fail(str(error))


def _require_journal(site: Site, gateway: str) -> None:
    path = edge_journal(site.data_dir, site.gateway(gateway).id)
    if not path.is_file():
        raise Misconfigured(f"there is no journal {path}: gateway {gateway!r} has never run on this machine")


def _set_key(site: Site, manifest: Manifest) -> Key | None:
    if not manifest.key:
        return None
    with naming_the_key(site, manifest.gateway):
        return set_key(manifest, edge_key(site.gateway(manifest.gateway), site.secrets))


def export(
    file: SiteFile,
    gateway: Annotated[str, typer.Option(help="id of the gateway")],
    to: Annotated[Path, typer.Option(help="folder on the stick")],
    everything: Annotated[bool, typer.Option("--all/--waiting", help="also what was forwarded, or only what waits")] = False,
    since: Annotated[str, typer.Option("--from", help="only records journalled from then on: an ISO time, or a span such as 3d")] = "",
    until: Annotated[str, typer.Option("--until", help="only records journalled before")] = "",
    as_json: AsJson = False,
) -> None:
    """Copy what waits at the edge to a stick, read it back, and say what was copied. Called again, it goes on where it was interrupted."""
    with _telling_damage():
        site = load(file)
        _require_journal(site, gateway)
        bounds = [moment(text) if text else None for text in (since, until)]
        with open_journal(site, gateway) as journal, _bar("records") as progress:
            folder, manifest = copy_out(
                journal,
                gateway,
                site.config.log,
                to,
                everything=everything,
                since=bounds[0],
                until=bounds[1],
                progress=progress,
                key=edge_key(site.gateway(gateway), site.secrets),
            )
    size = sum(one.bytes for one in manifest.files)
    if as_json:
        emit(
            {
                "set": str(folder),
                "gateway": gateway,
                "records": manifest.records,
                "files": len(manifest.files),
                "bytes": size,
                "sealed": bool(manifest.key),
                "passed": True,
            }
        )
    else:
        text = f"{manifest.records:,} records in {len(manifest.files)} files, {size / 1e6:,.1f} MB, "
        text += f"{'sealed' if manifest.key else 'not encrypted'}, written and read back: {folder}"
        people.print(plain(text), soft_wrap=True)


def import_(file: SiteFile, folder: Annotated[Path, typer.Argument(help="the copy-out, or the stick")], as_json: AsJson = False) -> None:
    """Take a copy-out into the site log. What came already, or comes again with the link, is stored once."""
    with _telling_damage():
        site = load(file)
        names = [one.id for one in site.config.gateways]
        with _bar("checking") as progress:
            sets = [(one, check_set(one, site.config.log, names, progress, partial(_set_key, site))) for one in find_sets(folder)]
        for path, manifest in sets:
            forms = forms_of(site.config.log.form, {manifest.gateway: site.sources(manifest.gateway)})
            with site_log(site) as log, _bar("records") as progress:
                done = copy_in(log, site.config.log, forms, path, manifest, progress, _set_key(site, manifest))
            if as_json:
                emit({"set": str(path), "gateway": manifest.gateway, "records": done.records, "refused": done.refused, "passed": True})
            else:
                text = f"{done.records:,} records of {manifest.gateway} are in the site log"
                text += f", {done.refused:,} were refused and wait at the edge" if done.refused else ""
                people.print(plain(text), soft_wrap=True)
