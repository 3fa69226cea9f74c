"""A program that stands in for Docker's client and its engine, because no engine can run where the tests do (`engines.py` installs it).

It takes the flags that the real client takes and no others, complains in the real one's words (28.2), and runs the container's program as a
process of this machine in a session of its own, with no more environment than the flags give. What is missing is what the kernel isolates.
As with the real one a signal to the client ends no container, the end of the client's standard input reaches it, `--rm` removes it when
it ends, and one that takes more than `--memory` is killed.

Run as `python docker_program.py STATE PYTHON IMAGES WORDS...`: a folder for what it knows, the Python that its images have, their names,
and the client's words. A file `broken` in the folder holds the words with which it refuses everything; without words in it, it hangs.
"""

import argparse
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

_HELP = "\n\nRun 'docker run --help' for more information"
_MEMORY_LOOK = 0.05


def containers(state: Path) -> dict[str, dict[str, Any]]:
    """Return the containers that run, by name; one whose program has ended has been removed."""
    found = {}
    for file in state.glob("*.json"):
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            one = json.loads(file.read_text())
            if _runs(one["pid"]):
                found[file.stem] = one
    return found


def kill(one: dict[str, Any]) -> None:
    """End a container as the engine does."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(one["pid"], signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _refuse(text: str, status: int = 1) -> NoReturn:
    sys.stderr.write(text + "\n")
    sys.exit(status)


class _Flags(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split(" ")[0]
        _refuse(f"unknown flag: {unknown}\n\nUsage:  docker [OPTIONS] COMMAND [ARG...]", 125)


def _run(state: Path, python: str, images: list[str], words: list[str]) -> int:
    parser = _Flags(add_help=False, allow_abbrev=False)
    for flag in ("--rm", "--interactive", "--read-only", "--no-healthcheck"):
        parser.add_argument(flag, action="store_true", required=True)
    for flag in ("--name", "--pull", "--user", "--network", "--pids-limit", "--log-driver", "--entrypoint", "--tmpfs", "--cap-drop"):
        parser.add_argument(flag, required=True)
    for flag in ("--memory", "--memory-swap", "--cpus"):
        parser.add_argument(flag)
    for flag in ("--label", "--device", "--group-add", "--mount", "--env", "--security-opt"):
        parser.add_argument(flag, action="append", default=[])
    parser.add_argument("image")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    given = parser.parse_args(words)
    if given.image not in images and given.pull == "missing":
        sys.stderr.write(f"Unable to find image '{given.image}' locally\n")
    for complaint in _complaints(state, images, given):
        _refuse(f"docker: Error response from daemon: {complaint}{_HELP}", 125)
    return _become(state, python, given)


def _complaints(state: Path, images: list[str], given: argparse.Namespace) -> Iterator[str]:
    """Yield what the engine has against it, in its words."""
    if given.image not in images and given.pull == "missing":
        yield f"pull access denied for {given.image.partition(':')[0]}, repository does not exist or may require 'docker login'"
    elif given.image not in images:
        yield f"No such image: {given.image}"
    if (other := containers(state).get(given.name)) is not None:
        yield (
            f'Conflict. The container name "/{given.name}" is already in use by container "{other["id"]}". You have to remove (or rename) '
            "that container to be able to reuse that name."
        )
    if given.network not in ("bridge", "host", "none"):
        yield f"network {given.network} not found"
    for row in csv.reader(given.mount):
        source = next(part for part in row if part.startswith("source=")).removeprefix("source=")
        if not Path(source).exists():
            yield f'invalid mount config for type "bind": bind source path does not exist: {source}'
    for device in (one.partition(":")[0] for one in given.device):
        if not Path(device).exists():
            yield f'error gathering device information while adding custom device "{device}": no such file or directory'


def _become(state: Path, python: str, given: argparse.Namespace) -> int:
    """Run the program and carry its three streams, as client and engine do together."""
    image = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}  # what the image would bring along
    program = subprocess.Popen(
        [python if given.entrypoint == "python" else given.entrypoint, *given.words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**image, **dict(one.split("=", 1) for one in given.env)},
    )
    labels = dict(one.split("=", 1) for one in given.label)
    file = state / f"{given.name}.json"
    file.write_text(json.dumps({"pid": program.pid, "id": uuid.uuid4().hex * 2, "labels": labels}))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: program.send_signal(got))
    assert program.stdin is not None
    assert program.stdout is not None
    carried = threading.Thread(target=_carry, args=(program.stdout.fileno(), 1), daemon=True)
    carried.start()
    threading.Thread(target=_carry_and_close, args=(program.stdin,), daemon=True).start()
    if given.memory:
        threading.Thread(target=_hold, args=(program.pid, int(given.memory)), daemon=True).start()
    code = program.wait()
    carried.join()
    file.unlink()
    return code if code >= 0 else 128 - code


def _carry(source: int, target: int) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(source, 65_536):
            while data:
                data = data[os.write(target, data) :]


def _carry_and_close(stdin: Any) -> None:
    _carry(0, stdin.fileno())
    stdin.close()


def _hold(pid: int, most: int) -> None:
    """Do what the kernel does for a control group."""
    with contextlib.suppress(OSError, IndexError):
        while int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") <= most:
            time.sleep(_MEMORY_LOOK)
        os.killpg(pid, signal.SIGKILL)


def _ps(state: Path, words: list[str]) -> int:
    parser = _Flags(add_help=False, allow_abbrev=False)
    for flag in ("--all", "--quiet", "--no-trunc"):
        parser.add_argument(flag, action="store_true", required=True)
    parser.add_argument("--filter", action="append", default=[])
    wanted = [one.removeprefix("label=").split("=", 1) for one in parser.parse_args(words).filter]
    for one in containers(state).values():
        if all(one["labels"].get(key) == value for key, value in wanted):
            sys.stdout.write(one["id"] + "\n")
    return 0


def _kill(state: Path, words: list[str]) -> int:
    (name,) = words
    one = containers(state).get(name)
    if one is None:
        _refuse(f"Error response from daemon: cannot kill container: {name}: No such container: {name}")
    kill(one)
    return 0


def _rm(state: Path, words: list[str]) -> int:
    force, volumes, number = words
    assert (force, volumes) == ("--force", "--volumes")
    for name, one in containers(state).items():
        if one["id"] == number:
            kill(one)
            while _runs(one["pid"]):
                time.sleep(0.01)
            (state / f"{name}.json").unlink(missing_ok=True)
            return 0
    _refuse(f"Error response from daemon: No such container: {number}")


def main(state: Path, python: str, images: list[str], words: list[str]) -> int:
    """Do what the client is told. Returns its exit status."""
    with (state / "commands").open("a") as file:
        file.write(json.dumps(words) + "\n")
    command, rest = words[0], words[1:]
    broken = state / "broken"
    if broken.exists():
        if not broken.read_text():
            time.sleep(600)
        if command == "run":
            _refuse(f"docker: {broken.read_text()}{_HELP}", 126 if "denied" in broken.read_text() else 125)
        _refuse(broken.read_text())
    if command == "run":
        return _run(state, python, images, rest)
    if command == "info":
        sys.stdout.write("28.2.2 [name=seccomp,profile=builtin name=cgroupns]\n")
        return 0
    if command == "image":
        if rest[-1] not in images:
            _refuse(f"Error response from daemon: No such image: {rest[-1]}")
        return 0
    return {"ps": _ps, "kill": _kill, "rm": _rm}[command](state, rest)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(","), sys.argv[4:]))
