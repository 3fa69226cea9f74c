"""The `trunkline` command with everything in it; `trunkline.cli.entry` takes shorter ways for roles."""

import typer

from trunkline import __version__
from trunkline.cli import run
from trunkline.cli.alarms import app as alarms_app
from trunkline.cli.check import check, schema
from trunkline.cli.deadletter import app as deadletter_app
from trunkline.cli.doctor import doctor, probe
from trunkline.cli.drill import app as drill_app
from trunkline.cli.journal import app as journal_app
from trunkline.cli.kafka import app as kafka_app
from trunkline.cli.kafka_edge import app as edge_app
from trunkline.cli.ledger import ledger
from trunkline.cli.migrate import migrate
from trunkline.cli.notify import app as notify_app
from trunkline.cli.output import people
from trunkline.cli.pki import app as pki_app
from trunkline.cli.quality import app as quality_app
from trunkline.cli.read import read
from trunkline.cli.rollups import app as rollups_app
from trunkline.cli.schemas import app as schemas_app
from trunkline.cli.sources import app as sources_app
from trunkline.cli.status import outbox, status
from trunkline.cli.step import app as step_app
from trunkline.cli.tail import tail
from trunkline.cli.topics import app as topics_app
from trunkline.cli.up import up
from trunkline.cli.users import app as users_app
from trunkline.lab.cli import app as lab_app

app = typer.Typer(
    name="trunkline",
    help="An open industrial data platform: reads field devices, loses nothing, proves it.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for command in (up, check, doctor, probe, status, ledger, read, tail, schema, migrate):
    app.command()(command)
app.add_typer(alarms_app, name="alarms")
app.add_typer(outbox, name="outbox")
app.add_typer(journal_app, name="journal")
app.add_typer(deadletter_app, name="deadletter")
app.add_typer(rollups_app, name="rollups")
app.add_typer(sources_app, name="sources")
app.add_typer(quality_app, name="quality")
app.add_typer(step_app, name="step")
app.add_typer(topics_app, name="topics")
app.add_typer(notify_app, name="notify")
app.add_typer(users_app, name="users")
app.add_typer(schemas_app, name="schemas")
app.add_typer(pki_app, name="pki")
app.add_typer(drill_app, name="drill")
app.add_typer(lab_app, name="lab", help="Simulated plants, faults on demand, ground truth.")
kafka_app.add_typer(edge_app, name="edge")
app.add_typer(kafka_app, name="kafka")
app.add_typer(run.app, name="run")


@app.command()
def version() -> None:
    """Print the version."""
    people.print(f"trunkline {__version__}")
