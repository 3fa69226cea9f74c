"""`trunkline drill …`: rehearsals of the worst days, on a site of their own."""

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Final

import typer

from trunkline.cli.output import emit, fail, people, plain
from trunkline.config.loading import load
from trunkline.config.site import GatewayConfig, SiteConfig
from trunkline.drills.offline import Offline
from trunkline.drills.plan import GATEWAY, Folder, PlannedTag, built_in_tags, document_of, gateway_of, make_plan, tags_of
from trunkline.drills.report import write_report
from trunkline.drills.stage import DrillFailed
from trunkline.model.errors import TrunklineError
from trunkline.supervisor import logs

app = typer.Typer(
    help="Rehearse the worst days on a copy of your site: what would be lost? Nothing of yours is touched.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

_SABOTAGE: Final = ("segment",)

SiteFile = Annotated[Path | None, typer.Argument(help="site file whose gateway is rehearsed; without it a gateway with made-up tags")]
Gateway = Annotated[str | None, typer.Option("--gateway", help="gateway of the site file, if it has several")]
Seed = Annotated[int, typer.Option(help="of values and faults: the same seed makes the same drill")]
Report = Annotated[Path | None, typer.Option("--report", help="write a page with pictures here", dir_okay=False)]
Keep = Annotated[Path | None, typer.Option("--keep", help="keep the drill's data and logs in this new folder", file_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="print the figures as JSON on stdout")]


@app.callback()
def _drills() -> None:
    """Keep the drill's name a word of its own."""


@app.command()
def offline(
    file: SiteFile = None,
    gateway: Gateway = None,
    days: Annotated[float, typer.Option(min=0.001, max=366, help="how long the site is away")] = 7.0,
    virtual: Annotated[bool, typer.Option("--virtual", help="as quickly as this machine can; otherwise it takes the days")] = False,
    tags: Annotated[int, typer.Option(min=1, max=100_000, help="made-up tags, without a site file")] = 100,
    period: Annotated[float, typer.Option(min=0.01, max=3600, help="seconds between two readings of a tag")] = 1.0,
    kills: Annotated[int, typer.Option(min=0, max=1000, help="how often the gateway is killed by SIGKILL")] = 50,
    seed: Seed = 7,
    report: Report = None,
    keep: Keep = None,
    sabotage: Annotated[str | None, typer.Option(help="'segment' deletes stored readings: the drill must notice")] = None,
    as_json: AsJson = False,
) -> None:
    """Days without the site, with kills; then the backlog, live readings and two more cuts. Everything is compared at the end."""
    logs.configure(as_json=False)
    if sabotage not in {None, *_SABOTAGE}:
        fail(f"--sabotage {sabotage} is not known: it can be {', '.join(_SABOTAGE)}", 2)
    if keep is not None and keep.exists() and any(keep.iterdir()):
        fail(f"{keep} is not empty: name a new folder", 2)
    people.print(f"drill offline, seed {seed}", style="bold")
    try:
        config, section, planned = _subject(file, gateway, tags)
        plan = make_plan(section.id, planned, seed=seed, days=days, period=period, paced=not virtual)
        with nullcontext(str(keep)) if keep is not None else tempfile.TemporaryDirectory(prefix="trunkline-drill-") as name:
            folder = Folder(Path(name).absolute())
            site = folder.write(plan, document_of(section, planned, config))
            outcome = Offline(site, folder, kills, lambda words: people.print(plain(words), style="dim"), sabotage).run()
    except (TrunklineError, DrillFailed) as error:
        fail(str(error), 2)
    document = outcome.document()
    if report is not None:
        write_report(report, outcome)
        people.print(plain(f"report: {report}"))
    if as_json:
        emit(document)
    else:
        people.print_json(data=document)
    raise typer.Exit(0 if outcome.passed else 1)


def _subject(file: Path | None, gateway: str | None, tags: int) -> tuple[SiteConfig | None, GatewayConfig, list[PlannedTag]]:
    """Return whose naming, which gateway and which tags are rehearsed. Raises Misconfigured."""
    if file is None:
        return None, GatewayConfig(id=GATEWAY), built_in_tags(tags)
    site = load(file)
    section = gateway_of(site, gateway)
    return site.config, section, tags_of(site, section.id)
