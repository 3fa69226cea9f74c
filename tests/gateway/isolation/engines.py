"""Puts a program that stands in for Docker into PATH: no engine can run where the tests do."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.isolation import docker_program

IMAGE = "example/vendor-plc:1.2.0"
#: The words of the real client (28.2): the engine is away; and this user may not talk to it.
AWAY = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
DENIED = (
    "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: "
    'Head "http://%2Fvar%2Frun%2Fdocker.sock/_ping": dial unix /var/run/docker.sock: connect: permission denied'
)


class Docker:
    """What a test sees and changes of the stand-in.

    Args:
        state: its folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return what runs, by name."""
        return docker_program.containers(self._state)

    def commands(self, name: str) -> list[list[str]]:
        """Return the words of every command of that name, in order."""
        file = self._state / "commands"
        found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [words for words in found if words[0] == name]

    def refuse(self, words: str) -> None:
        """Let it refuse everything in these words; hang, when there are none."""
        (self._state / "broken").write_text(words)

    def end_all(self) -> None:
        """End what is left."""
        for one in self.containers().values():
            docker_program.kill(one)


def install(directory: Path, monkeypatch: pytest.MonkeyPatch, *, python: str | Path = sys.executable) -> Docker:
    """Put the program in front of PATH.

    Args:
        directory: where.
        python: what `python` is in its image.
    """
    state, programs = directory / "engine", directory / "programs"
    state.mkdir()
    programs.mkdir()
    program = programs / "docker"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {docker_program.__file__} {state} {python} {IMAGE} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return Docker(state)
