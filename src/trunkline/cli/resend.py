"""`trunkline outbox resend`: records that the site log refused, and what was forwarded in a time, go to the site log again."""

import re
import time
from pathlib import Path
from typing import Annotated, Final
from uuid import uuid4

import typer

from trunkline.cli.moment import moment
from trunkline.cli.output import emit, people
from trunkline.cli.telling import telling
from trunkline.config.loading import load
from trunkline.gateway.outbox import Outbox
from trunkline.gateway.resending import Resend, Resent, answer_to, ask
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import edge_journal, layout_of, open_edge_journal
from trunkline.log.port import TopicPartition
from trunkline.log.topics import Layout
from trunkline.model.errors import Misconfigured, RetryLater

#: A gateway whose link is up takes a request within a second or two.
_WAIT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2
_PLACE: Final = re.compile(r"(?P<topic>[^/@]+)/(?P<partition>\d+)@(?P<offset>\d+)")


def resend(
    file: Annotated[Path, typer.Argument(help="the site file")],
    gateway: Annotated[str, typer.Option(help="id of the gateway")],
    failed: Annotated[bool, typer.Option("--failed", help="records that the site log refused and that are out of tries")] = False,
    record: Annotated[list[str] | None, typer.Option(help="a record set aside, as 'outbox list' names it: telemetry.raw/0@17")] = None,
    since: Annotated[str, typer.Option("--from", help="what was journalled from then on: an ISO time, or a span such as 3h")] = "",
    until: Annotated[str, typer.Option("--until", help="with --from: only what was journalled before")] = "",
    topic: Annotated[list[str] | None, typer.Option(help="only this topic")] = None,
    wait: Annotated[float, typer.Option(help="seconds to wait for the gateway to take it")] = _WAIT_SECONDS,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout")] = False,
) -> None:
    """Send again what the site log refused, or what was forwarded in a time and is still kept. Nothing is doubled."""
    with telling():
        site = load(file)
        path = edge_journal(site.data_dir, site.gateway(gateway).id)
        if not path.is_file():
            raise Misconfigured(f"there is no journal {path}: gateway {gateway!r} has never run on this machine")
        request = _request(layout_of(site.config.log), since, until, topic or [], record or [], failed=failed)
        with open_edge_journal(site.config.log, site.data_dir, gateway) as journal:
            if not ask(journal, request):
                raise RetryLater(f"gateway {gateway!r} has not taken the request before this one: is it running, and its link up?")
            answer = _answer(journal, request, wait)
    if as_json:
        emit({"gateway": gateway, "request": request.id, "taken": answer is not None, "records": answer.records if answer else None})
    elif answer is None:
        people.print(f"{gateway} takes it as soon as it runs and its link is up")
    else:
        people.print(f"{gateway} sends {answer.records:,} records again")


def show(
    file: Annotated[Path, typer.Argument(help="the site file")],
    gateway: Annotated[str, typer.Option(help="id of the gateway")],
    record: Annotated[str, typer.Option(help="as 'outbox list' names it: telemetry.raw/0@17")],
    to: Annotated[Path | None, typer.Option(help="write its bytes to this file")] = None,
) -> None:
    """Show a record of the edge journal that the site log refused: why, how often, when it was journalled; and give out its bytes."""
    with telling():
        site = load(file)
        topic, partition, offset = _place(record)
        at = TopicPartition(topic, partition)
        if not edge_journal(site.data_dir, site.gateway(gateway).id).is_file():
            raise Misconfigured(f"gateway {gateway!r} has never run on this machine")
        with open_edge_journal(site.config.log, site.data_dir, gateway) as journal:
            aside = next((one for one in Outbox(journal).lane(at).poison if one.offset == offset), None)
            found = [one for one in journal.read(at, offset, 1) if one.offset == offset] if aside else []
        if aside is None or not found:
            raise Misconfigured(f"{record} is not set aside: see 'trunkline outbox list {file} --gateway {gateway}'")
        if to is not None:
            to.write_bytes(found[0].value)
    facts = {
        "record": record,
        "journalled_us": found[0].timestamp,
        "bytes": len(found[0].value),
        "headers": [name for name, _ in found[0].headers],
    }
    emit({**facts, "status": "FAILED" if aside.failed else "PENDING", "tries": aside.tries, "due_us": aside.due, "reason": aside.reason})


def _request(layout: Layout, since: str, until: str, topics: list[str], places: list[str], *, failed: bool) -> Resend:
    """Return what the command line asks for. Raises Misconfigured, ValueError."""
    if (failed or bool(places)) == bool(since):
        raise Misconfigured("say what to send again: --failed or --record for what was refused, or --from for what was forwarded in a time")
    if until and not since:
        raise Misconfigured("--until goes with --from")
    known = (*layout.categories("raw"), layout.overflow)
    for name in topics:
        if name not in known:
            raise Misconfigured(f"topic {name!r} is not forwarded with an identity: choose from {', '.join(known)}")
    return Resend(
        id=str(uuid4()),
        topics=topics,
        failed=failed or bool(places),
        places=[_place(text) for text in places],
        since_us=moment(since) if since else None,
        until_us=moment(until) if until else None,
    )


def _place(text: str) -> tuple[str, int, int]:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise Misconfigured(f"{text!r} names no record: write topic/partition@offset, as 'trunkline outbox list' shows it")
    return found["topic"], int(found["partition"]), int(found["offset"])


def _answer(journal: Journal, request: Resend, wait: float) -> Resent | None:
    deadline = time.monotonic() + wait
    while (answer := answer_to(journal, request)) is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return answer
