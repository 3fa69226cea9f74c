"""`trunkline drill …`: rehearsals of the worst days, on a site of their own."""

import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from trunkline.cli.output import emit, fail, people, plain
from trunkline.config.loading import Site, load
from trunkline.config.site import GatewayConfig, SiteConfig
from trunkline.drills.badlink import BadLink
from trunkline.drills.clockstep import ClockStep, parse_steps
from trunkline.drills.feed import CHUNK
from trunkline.drills.fulldisk import ALARM_SECONDS, FullDisk, history_of
from trunkline.drills.killing import Kill
from trunkline.drills.offline import Offline, PowerCut
from trunkline.drills.plan import GATEWAY, Folder, Plan, PlannedTag, built_in_tags, document_of, gateway_of, make_plan, tags_of
from trunkline.drills.rehearsal import Rehearsal
from trunkline.drills.report import write_report
from trunkline.drills.stage import DrillFailed
from trunkline.drills.weather import Weather
from trunkline.model.errors import Misconfigured, TrunklineError
from trunkline.supervisor import logs

app = typer.Typer(
    help="Rehearse the worst days on a copy of your site: what would be lost? Nothing of yours is touched.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

_TERMINATED: Final = 128 + signal.SIGTERM
_DAY_SECONDS: Final = 86_400
#: What the devices have kept when clocks begin to step: a quarter of an hour.
_CLOCK_DAYS: Final = 0.01
_HANG_SECONDS: Final = 3.0
#: Backlogs grow in small blocks; with large ones a whole day would be a handful of calls, and hardly one of them would be lost.
_SMALL_CHUNK: Final = 500

SiteFile = Annotated[Path | None, typer.Argument(help="site file whose gateway is rehearsed; without it a gateway with made-up tags")]
Gateway = Annotated[str | None, typer.Option("--gateway", help="gateway of the site file, if it has several")]
Seed = Annotated[int, typer.Option(help="of values and faults: the same seed makes the same drill")]
Report = Annotated[Path | None, typer.Option("--report", help="write a page with pictures here", dir_okay=False)]
Keep = Annotated[Path | None, typer.Option("--keep", help="keep the drill's data and logs in this new folder", file_okay=False)]
Days = Annotated[float, typer.Option(min=0.001, max=366, help="how long the site is away")]
Virtual = Annotated[bool, typer.Option("--virtual", help="as quickly as this machine can; otherwise it takes the days")]
Tags = Annotated[int, typer.Option(min=1, max=100_000, help="made-up tags, without a site file")]
Period = Annotated[float, typer.Option(min=0.01, max=3600, help="seconds between two readings of a tag")]
Sabotage = Annotated[
    str | None,
    typer.Option(
        help="plant a defect that must be noticed: 'segment' deletes stored readings; 'lying-disk' with power-cut; 'alarm' with disk-full; "
        "'stamp' with clock-step; 'twice' with bad-link"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print the figures as JSON on stdout")]


@app.command()
def offline(
    file: SiteFile = None,
    gateway: Gateway = None,
    days: Days = 7.0,
    virtual: Virtual = False,
    tags: Tags = 100,
    period: Period = 1.0,
    kills: Annotated[int, typer.Option(min=0, max=1000, help="how often the gateway is killed by SIGKILL")] = 50,
    seed: Seed = 7,
    report: Report = None,
    keep: Keep = None,
    sabotage: Sabotage = None,
    as_json: AsJson = False,
) -> None:
    """Days without the site, with kills; then the backlog, live readings and two more cuts. Everything is compared at the end."""
    course = _Course(days, period, seed, paced=not virtual)
    make = partial(Offline, tell=_tell, kills=kills, sabotage=sabotage)
    _rehearse(_Subject(file, gateway, tags), course, _Output(report, keep, as_json), make)


@app.command("power-cut")
def power_cut(
    file: SiteFile = None,
    gateway: Gateway = None,
    days: Days = 1.0,
    virtual: Virtual = False,
    tags: Tags = 100,
    period: Period = 1.0,
    cuts: Annotated[int, typer.Option(min=0, max=1000, help="how often the gateway's power is cut")] = 20,
    seed: Seed = 7,
    report: Report = None,
    keep: Keep = None,
    sabotage: Sabotage = None,
    as_json: AsJson = False,
) -> None:
    """The same with power cuts: what was not synced to the disk is lost or torn. What was acknowledged must be there."""
    course = _Course(days, period, seed, paced=not virtual)
    make = partial(PowerCut, tell=_tell, kills=cuts, sabotage=sabotage)
    _rehearse(_Subject(file, gateway, tags), course, _Output(report, keep, as_json), make)


@app.command("disk-full")
def disk_full(
    file: SiteFile = None,
    gateway: Gateway = None,
    disk_mb: Annotated[int, typer.Option(min=32, max=10_000, help="size of the gateway's disk, MB")] = 64,
    mount: Annotated[
        bool, typer.Option(help="mount such a disk if you may (root on Linux); otherwise the gateway's files may not grow")
    ] = True,
    tags: Tags = 100,
    period: Period = 1.0,
    alarms: Annotated[int, typer.Option(min=1, max=100_000, help="alarms that come while the disk is full, 20 a second")] = 300,
    kills: Annotated[int, typer.Option(min=0, max=100, help="how often the gateway is killed while the disk is full")] = 2,
    seed: Seed = 7,
    report: Report = None,
    keep: Keep = None,
    sabotage: Sabotage = None,
    as_json: AsJson = False,
) -> None:
    """Another program fills the gateway's disk while the link is cut: telemetry waits, alarms get in, nothing is lost."""
    course = _Course(None, period, seed, paced=False, readings=history_of(disk_mb), alarm=ALARM_SECONDS)
    make = partial(FullDisk, tell=_tell, megabytes=disk_mb, alarms=alarms, kills=kills, mount=mount, sabotage=sabotage)
    _rehearse(_Subject(file, gateway, tags), course, _Output(report, keep, as_json), make)


@app.command()
def kill(
    file: SiteFile = None,
    gateway: Gateway = None,
    tags: Tags = 100,
    period: Period = 0.1,
    kills: Annotated[int, typer.Option(min=1, max=10_000, help="how often something is killed by SIGKILL")] = 20,
    seed: Seed = 7,
    report: Report = None,
    keep: Keep = None,
    sabotage: Sabotage = None,
    as_json: AsJson = False,
) -> None:
    """Gateway, validation, historian and database are killed while readings flow; each starts again, and all is stored once."""
    course = _Course(None, period, seed, paced=False, readings=1)
    make = partial(Kill, tell=_tell, kills=kills, sabotage=sabotage)
    _rehearse(_Subject(file, gateway, tags), course, _Output(report, keep, as_json), make)


@app.command("clock-step")
def clock_step(
    file: SiteFile = None,
    gateway: Gateway = None,
    steps: Annotated[str, typer.Option(help="of each clock, one after the other: h, m or s; at last it is set right")] = "+1h,-1h",
    hold: Annotated[float, typer.Option(min=1, max=86_400, help="seconds between two steps; skew is told within a minute")] = 70.0,
    tags: Tags = 100,
    period: Period = 1.0,
    seed: Seed = 7,
    report: Report = None,
    keep: Keep = None,
    sabotage: Sabotage = None,
    as_json: AsJson = False,
) -> None:
    """The devices' clock steps, then the gateway's, while readings flow and while the link is cut. The machine's own is left alone."""
    course = _Course(_CLOCK_DAYS, period, seed, paced=False)
    try:
        turns = parse_steps(steps)
    except Misconfigured as error:
        fail(str(error), 2)
    make = partial(ClockStep, tell=_tell, turns=turns, hold=hold, sabotage=sabotage)
    _rehearse(_Subject(file, gateway, tags), course, _Output(report, keep, as_json), make)


@app.command("bad-link")
def bad_link(
    file: SiteFile = None,
    gateway: Gateway = None,
    days: Days = 0.25,
    bandwidth: Annotated[int, typer.Option(min=1, max=1_000_000, help="kB/s that the link carries")] = 250,
    latency: Annotated[int, typer.Option(min=0, max=60_000, help="ms that a call takes on the way, give or take a half")] = 200,
    loss: Annotated[
        float, typer.Option(min=0, max=90, help="percent of calls that are lost; of every other append only the answer is")
    ] = 5.0,
    hangs: Annotated[float, typer.Option(min=0, max=100, help="percent of calls that hang for three seconds")] = 1.0,
    tags: Tags = 100,
    period: Period = 1.0,
    seed: Seed = 7,
    report: Report = None,
    keep: Keep = None,
    sabotage: Sabotage = None,
    as_json: AsJson = False,
) -> None:
    """A backlog and live readings over a link that is slow, is cut, hangs, and loses calls and answers: nothing may be lost or doubled."""
    course = _Course(days, period, seed, paced=False, chunk=_SMALL_CHUNK)
    weather = Weather(seed, bandwidth * 1000, latency / 1000, loss / 100, hangs / 100, _HANG_SECONDS, twice=sabotage == "twice")
    make = partial(BadLink, tell=_tell, weather=weather, sabotage=sabotage)
    _rehearse(_Subject(file, gateway, tags), course, _Output(report, keep, as_json), make)


class _Subject(NamedTuple):
    """Who is rehearsed."""

    file: Path | None
    gateway: str | None
    tags: int

    def find(self) -> tuple[SiteConfig | None, GatewayConfig, list[PlannedTag]]:
        """Return whose naming, which gateway and which tags. Raises Misconfigured."""
        if self.file is None:
            return None, GatewayConfig(id=GATEWAY), built_in_tags(self.tags)
        site = load(self.file)
        section = gateway_of(site, self.gateway)
        return site.config, section, tags_of(site, section.id)


@dataclass(frozen=True)
class _Course:
    """How long, how often, from which seed. Without `days` the history has so many `readings`.

    Attributes:
        alarm: seconds between two alarms; 0 for none.
        chunk: readings that become durable together.
    """

    days: float | None
    period: float
    seed: int
    paced: bool
    readings: int = 0
    alarm: float = 0.0
    chunk: int = CHUNK

    def plan(self, gateway: str, tags: list[PlannedTag]) -> Plan:
        """Return what is fed to a gateway."""
        days = self.days if self.days is not None else self.readings / len(tags) * self.period / _DAY_SECONDS
        return make_plan(
            gateway,
            tags,
            seed=self.seed,
            days=days,
            period=self.period,
            paced=self.paced,
            alarm=self.alarm,
            chunk=self.chunk,
        )


class _Output(NamedTuple):
    """Where what it came to goes."""

    report: Path | None
    keep: Path | None
    as_json: bool


def _rehearse(subject: _Subject, course: _Course, output: _Output, make: Callable[[Site, Folder], Rehearsal]) -> None:
    logs.configure(as_json=False)
    if output.keep is not None and output.keep.exists() and any(output.keep.iterdir()):
        fail(f"{output.keep} is not empty: name a new folder", 2)
    people.print(f"drill, seed {course.seed}", style="bold")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))  # everything that was started is stopped on the way out
    try:
        config, section, planned = subject.find()
        plan = course.plan(section.id, planned)
        place = tempfile.TemporaryDirectory(prefix="trunkline-drill-") if output.keep is None else nullcontext(str(output.keep))
        with place as name:
            folder = Folder(Path(name).absolute())
            site = folder.write(plan, document_of(section, planned, config, chunk=course.chunk))
            outcome = make(site, folder).run()
    except (TrunklineError, DrillFailed) as error:
        fail(str(error), 2)
    document = outcome.document()
    if output.report is not None:
        write_report(output.report, outcome)
        people.print(plain(f"report: {output.report}"), soft_wrap=True)
    if output.as_json:
        emit(document)
    else:
        people.print_json(data=document)
    raise typer.Exit(0 if outcome.passed else 1)


def _tell(words: str) -> None:
    people.print(plain(words), style="dim", soft_wrap=True)
