"""The broker's own process: `python -m trunkline.lab.broker_process mosquitto PROGRAM CONFIG` or `… amqtt PORT`.

It asks the kernel for SIGTERM when the lab dies, so that not even a SIGKILL of the lab leaves a broker behind; mosquitto then still writes
its sessions to disk.
"""

import asyncio
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _die_with_parent(parent: int) -> None:
    """Ask for SIGTERM at the parent's death (Linux, prctl(2)); elsewhere the lab's orderly stop is the only one."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)


async def _amqtt(port: int) -> None:
    from amqtt.broker import Broker  # noqa: PLC0415 - mosquitto needs none of it

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await stop.wait()
    await broker.shutdown()


def main(arguments: list[str]) -> None:
    """Become the broker."""
    _die_with_parent(int(arguments[0]))
    match arguments[1:]:
        case ["mosquitto", program, config]:
            os.execv(program, [program, "-c", config])  # noqa: S606 - no shell is wanted
        case ["amqtt", port]:
            asyncio.run(_amqtt(int(port)))
        case _:
            sys.exit(f"unknown broker: {' '.join(arguments[1:])}")


if __name__ == "__main__":
    main(sys.argv[1:])
