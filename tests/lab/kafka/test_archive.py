"""The archive of loaded classes: made once, whoever asks first; brokers start without where it cannot be made."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trunkline.lab.kafka import BrokerFailed, Jars, archive


@pytest.fixture
def own_jars(tmp_path: Path) -> Jars:
    """The installed jars in a folder of the test's, so that what is derived from them is the test's, too."""
    found = Jars.find()
    folder = tmp_path / "libs"
    folder.mkdir()
    for jar in found.libs:
        (folder / jar.name).symlink_to(jar)
    return Jars(tuple(sorted(folder.iterdir())), found.java)


def test_two_that_ask_at_once_make_it_once(own_jars: Jars, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def make(jars: Jars, cache: Path, target: Path) -> None:  # the real one needs seconds; every installation runs it
        made.append(len(jars.libs) if cache.is_dir() else 0)
        begun.set()
        assert go_on.wait(60)
        target.touch()

    monkeypatch.setattr(archive, "_make", make)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(archive.loaded_classes, own_jars)
        assert begun.wait(60)
        second = pool.submit(archive.loaded_classes, own_jars)
        go_on.set()
        assert first.result(60) == second.result(60)
    assert made == [len(own_jars.libs)]


def test_brokers_start_without_where_it_cannot_be_made(own_jars: Jars, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*_: object) -> None:
        raise BrokerFailed("no")

    monkeypatch.setattr(archive, "_make", make)
    assert archive.loaded_classes(own_jars) is None


def test_other_jars_have_another_archive(own_jars: Jars) -> None:
    assert own_jars.fingerprint != Jars.find().fingerprint
    assert Jars(own_jars.libs[1:], own_jars.java).fingerprint != own_jars.fingerprint
