"""Changes per second that the OPC UA source takes from one server by subscription, without losing one, on one core.

A server in a process of its own counts each of its variables up, at a steady pace above the limit; the source runs on a single core. Every
change is checked by its value: each variable must be seen at 1, 2, 3 … up to its last value, nothing missing, nothing twice.
"""

import argparse
import asyncio
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from asyncua import ua
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.server import Server

from bench.harness import SHORT, machine
from trunkline.model import times
from trunkline.sources.opcua.config import OpcUaConfig
from trunkline.sources.opcua.source import OpcUaSource
from trunkline.sources.port import SourceContext

VARIABLES = 1_000
LIMIT = 10_000
PACE = 11_000
#: Variables that change at the same moment.
PORTION = 50
#: Seconds in which the last changes must arrive after the server has stopped changing.
TAIL = 20.0


async def serve() -> None:
    """Serve the variables on a free port and print it; for each 'pace seconds' on stdin, count up for so long and print the last value."""
    logging.disable(logging.WARNING)
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:trunkline:bench")
    for number in range(VARIABLES):
        node = ua.NodeId(cast("ua.String", f"V{number}"), cast("ua.Int16", index))
        await server.nodes.objects.add_variable(node, f"V{number}", ua.Variant(0, ua.VariantType.Int64))
    await server.start()
    assert server.bserver is not None
    print(server.bserver.port, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        pace, seconds = line.split()
        (subscription,) = server.iserver.subscription_service.subscriptions.values()
        print(await count_up(subscription, int(pace), float(seconds)), flush=True)
    await server.stop()


async def count_up(subscription: InternalSubscription, pace: int, seconds: float) -> int:
    """Give every variable its next value, round by round, in small portions as a plant changes; return the last value.

    The changes go straight to the queues of the monitored items: the server's address space would be slower than what is measured.
    """
    items = list(subscription.monitored_item_srv._monitored_items.items())  # noqa: SLF001 - there is no public way past the address space
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        count += 1
        value = ua.Variant(cast("ua.Int64", count), ua.VariantType.Int64)
        for position, (number, item) in enumerate(items):
            if position % PORTION == 0:
                due = begin + ((count - 1) * VARIABLES + position) / pace
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                stamp = cast("ua.DateTime", times.to_datetime(times.now()))
            change = ua.MonitoredItemNotification(cast("ua.IntegerId", item.client_handle), ua.DataValue(value, SourceTimestamp=stamp))
            await subscription.enqueue_datachange_event(number, change, item.queue_size)
    return count


@dataclass
class Outcome:
    """One run: changes, seconds from the first to the last, CPU seconds, changes missing or twice."""

    changes: int
    seconds: float
    cpu: float
    missing: int
    twice: int


async def run(port: int, device: subprocess.Popen[str], pace: int, seconds: float) -> Outcome:
    """Subscribe, have the server count up, and check every change."""
    tags = [{"path": f"BENCH.V{number}", "kind": "integer", "node": f"nsu=urn:trunkline:bench;s=V{number}"} for number in range(VARIABLES)]
    section: dict[str, Any] = {"id": "bench", "type": "opcua", "endpoint": f"opc.tcp://127.0.0.1:{port}", "tags": tags}
    context = SourceContext("bench", Path(tempfile.gettempdir()), times.now, str)
    source = OpcUaSource(OpcUaConfig.model_validate(section), context)
    await source.connect()
    seen: dict[str, int] = {}
    while len(seen) < VARIABLES:
        for reading in (await source.read()).readings:
            seen[reading.tag] = int(reading.value or 0)
    to_device, from_device = cast("IO[str]", device.stdin), cast("IO[str]", device.stdout)
    cpu, begin = time.process_time(), time.perf_counter()
    print(pace, seconds, file=to_device, flush=True)
    finished = asyncio.create_task(asyncio.to_thread(from_device.readline))
    changes = missing = twice = last = 0
    end = begin
    while not finished.done() or (min(seen.values()) < last and time.perf_counter() - end < TAIL):
        batch = await source.read()
        for reading in batch.readings:
            value = int(reading.value or 0)
            missing += max(0, value - seen[reading.tag] - 1)
            twice += value <= seen[reading.tag]
            seen[reading.tag] = value
        changes += len(batch.readings)
        await batch.ack()
        if batch.readings:
            end = time.perf_counter()
        if finished.done():
            last = int(finished.result())
    missing += sum(last - value for value in seen.values())
    outcome = Outcome(changes, end - begin, time.process_time() - cpu, missing, twice)
    await source.close()
    return outcome


def on_core(number: int) -> None:
    """Stay on one core, where the system can say so."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[number % len(cores)]})


def main() -> int:
    """Print the result as one JSON line; exit 1 if a change is missing or the limit is not reached."""
    parser = argparse.ArgumentParser(description="changes per second of the OPC UA source")
    parser.add_argument("--runs", type=int, default=1 if SHORT else 3)
    parser.add_argument("--seconds", type=float, default=8.0 if SHORT else 30.0)
    parser.add_argument("--pace", type=int, default=PACE, help="changes per second that the server makes")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        on_core(1)
        asyncio.run(serve())
        return 0
    outcomes = []
    with subprocess.Popen(
        [sys.executable, "-m", "bench.source_opcua", "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as device:
        try:
            on_core(0)
            port = int(cast("IO[str]", device.stdout).readline())
            for number in range(arguments.runs):
                one = asyncio.run(run(port, device, arguments.pace, arguments.seconds))
                outcomes.append(one)
                print(
                    f"run {number + 1}: {one.changes:,} changes in {one.seconds:.1f} s, {one.changes / one.seconds:,.0f}/s, "
                    f"{one.cpu / one.seconds:.0%} of a core, {one.missing} missing, {one.twice} twice",
                    file=sys.stderr,
                )
        finally:
            device.terminate()
    rate = statistics.median(one.changes / one.seconds for one in outcomes)
    missing, twice = sum(one.missing for one in outcomes), sum(one.twice for one in outcomes)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "bench": "source.opcua",
        "rate": round(rate),
        "unit": "changes/s",
        "peer": None,
        "limit": LIMIT,
        "goal": 1.0,
        "ratio": round(rate / LIMIT, 3),
        "runs": len(outcomes),
        "cpu_s": round(sum(one.cpu for one in outcomes), 1),
        "rss_mb": round(usage.ru_maxrss / 1024),
        "conditions": machine()
        | {
            "variables": VARIABLES,
            "pace": arguments.pace,
            "seconds": arguments.seconds,
            "cores_used": 1,
            "core_share": round(statistics.median(one.cpu / one.seconds for one in outcomes), 3),
            "changes": sum(one.changes for one in outcomes),
            "missing": missing,
            "twice": twice,
        },
        "passed": rate >= LIMIT and missing == twice == 0,
    }
    print(json.dumps(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
