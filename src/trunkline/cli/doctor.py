"""`trunkline doctor` and `trunkline probe`: before anything is started."""

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from trunkline.cli.output import emit, fail, people, plain
from trunkline.config.loading import Site, load
from trunkline.config.tags import SourceConfig
from trunkline.model import quality as q
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.model.reading import Reading
from trunkline.sources.port import Source, SourceContext, plugin
from trunkline.supervisor import logs
from trunkline.supervisor.doctor import examine

AsJson = Annotated[bool, typer.Option("--json", help="one JSON object per line, then a summary")]

_MARK: Final = {"ok": " ", "warning": "[yellow]![/]", "error": "[bold red]✕[/]"}


def doctor(
    file: Annotated[Path | None, typer.Argument(help="a site file: checks its ports and data directory, too")] = None,
    as_json: AsJson = False,
) -> None:
    """Check ports, clock, disk and versions. Exits 1 on errors."""
    try:
        site = load(file) if file is not None else None
    except Misconfigured as error:
        fail(str(error), 2)
    findings = examine(site, site.data_dir if site is not None else Path.cwd())
    broken = [one for one in findings if one.verdict == "error"]
    if as_json:
        for one in findings:
            emit(one._asdict())
        emit({"errors": len(broken), "warnings": sum(one.verdict == "warning" for one in findings), "passed": not broken})
    else:
        for one in findings:
            mend = f"\n    mend: {plain(one.mend)}" if one.mend else ""
            people.print(f"{_MARK[one.verdict]} {one.check:<12} {plain(one.detail)}{mend}", soft_wrap=True)
    raise typer.Exit(1 if broken else 0)


def probe(
    file: Annotated[Path, typer.Argument(help="the site file")],
    source: Annotated[str, typer.Argument(help="source id; gateway/source where ids repeat")],
    seconds: Annotated[float, typer.Option(help="how long to listen")] = 5.0,
    browse: Annotated[str | None, typer.Option(help="list what the device has below this address; '' is the top")] = None,
    as_json: AsJson = False,
) -> None:
    """Connect to one source and show what it says, without journal, log or database."""
    logs.configure(as_json=False)
    try:
        site = load(file)
        gateway, config = _find(site, source)
        seen = asyncio.run(_listen(site, gateway, config, seconds, browse))
    except (Misconfigured, RetryLater) as error:
        fail(f"{source}: {error}", 1)
    except NotImplementedError:
        fail(f"{source}: this protocol cannot be browsed", 2)
    for row in seen:
        if as_json:
            emit(row)
        else:
            people.print("  ".join(plain(value) for value in row.values()), soft_wrap=True)
    silent = [] if browse is not None else sorted({tag.path for tag in config.tags} - {row["tag"] for row in seen})
    if as_json:
        emit({"source": config.id, "seen": len(seen), "silent": silent, "passed": bool(seen)})
    elif silent:
        people.print(f"[yellow]!![/] {len(silent)} tags gave nothing in {seconds:g} s, for example {silent[0]}")
    raise typer.Exit(0 if seen else 1)


def _find(site: Site, name: str) -> tuple[str, SourceConfig]:
    wanted_gateway, _, wanted = name.rpartition("/")
    found = [
        (gateway.id, one)
        for gateway in site.config.gateways
        for one in site.sources(gateway.id)
        if one.id == wanted and wanted_gateway in ("", gateway.id)
    ]
    if len(found) != 1:
        known = ", ".join(f"{gateway.id}/{one.id}" for gateway in site.config.gateways for one in site.sources(gateway.id))
        raise Misconfigured(f"{'no' if not found else 'more than one'} source of that name; there are: {known}")
    return found[0]


async def _listen(site: Site, gateway: str, config: SourceConfig, seconds: float, browse: str | None) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as directory:
        context = SourceContext(gateway, Path(directory), times.now, site.secrets.resolve)
        source: Source = plugin(config.type).create(config, context)
        try:
            await source.connect()
            if browse is not None:
                return [{"address": node.address, "name": node.name, "kind": node.kind} for node in await source.browse(browse)]
            newest: dict[str, Reading] = {}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while True:
                        # not acknowledged: a probe takes nothing away from the gateway
                        newest.update({one.tag: one for one in (await source.read()).readings})
            return [_row(one) for one in newest.values()]
        finally:
            await source.close()


def _row(reading: Reading) -> dict[str, Any]:
    stamp = reading.gateway_time if reading.source_time is None else reading.source_time
    return {"tag": reading.tag, "value": reading.value, "quality": q.name(reading.quality), "time": times.to_iso(stamp)}
