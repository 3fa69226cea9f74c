"""A gateway in small, to be killed: reads, stores with fsync, then acknowledges. Run as a process by test_delivery.py.

Arguments: port, state folder, file to store in, protocol, QoS, order ('store-first', or 'acknowledge-first' as a planted defect).
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from trunkline.sources.mqtt.tests.support import source_on


async def main(port: str, folder: str, file: str, protocol: str, qos: str, order: str) -> None:
    source = source_on(int(port), Path(folder), protocol=protocol, qos=int(qos), max_in_flight=50)
    await source.connect()
    chance = random.Random()
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        batch = await source.read()
        if order == "acknowledge-first":
            await batch.ack()
            await asyncio.sleep(3600)
        os.write(descriptor, "".join(f"{reading.value}\n" for reading in batch.readings).encode())
        os.fsync(descriptor)
        await asyncio.sleep(chance.random() * 0.005)  # to be killed between storing and acknowledging, too
        await batch.ack()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
