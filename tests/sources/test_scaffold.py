"""`trunkline sources new`: what it writes, and what it refuses."""

import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from tests.cli.support import trunkline

from trunkline import __version__
from trunkline.sources.scaffold import LAYOUT, write_package

ROOT = Path(__file__).parents[2]


def test_every_file_is_written_and_every_word_filled_in(tmp_path: Path) -> None:
    folder = write_package("acme_flow-meter2", tmp_path / "new" / "place")
    written = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert written == {target.replace("$module", "trunkline_acme_flow_meter2") for target in LAYOUT}
    for name in written:
        text = (folder / name).read_text()
        assert text.strip()
        assert not any(f"${word}" in text for word in ("name", "module", "distribution", "{Class}", "version"))
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "trunkline-acme-flow-meter2"
    assert project["entry-points"]["trunkline.sources"] == {"acme_flow-meter2": "trunkline_acme_flow_meter2"}
    (needs,) = (Requirement(text) for text in project["dependencies"])
    assert needs.name == "trunkline"
    assert needs.specifier.contains(__version__)
    assert "license" not in project
    assert "class AcmeFlowMeter2Source:" in (folder / "src" / "trunkline_acme_flow_meter2" / "source.py").read_text()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Boiler", "try 'boiler'"),
        ("my plc", "try 'my-plc'"),
        ("a__b", "try 'a-b'"),
        ("-x", "try 'x'"),
        ("x-", "try 'x'"),
        ("7up", "try 'up'"),
        ("naïve", "try 'na-ve'"),
        ("../up", "try 'up'"),
        ("x\n", "try 'x'"),
        ("", "try 'my-device'"),
        ("a" * 41, "at most 40"),
        ("modbus", "a source named 'modbus' is installed"),
    ],
)
def test_names_that_cannot_be_used(tmp_path: Path, name: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = trunkline("sources", "new", "--", name)
    assert (said.code, said.out) == (2, "")
    assert says in said.text
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert trunkline("sources", "new", "demo").code == 0
    source = tmp_path / "trunkline-demo" / "src" / "trunkline_demo" / "source.py"
    source.write_text("mine\n")
    again = trunkline("sources", "new", "demo")
    assert again.code == 2
    assert "trunkline-demo is there and not empty: nothing was written" in again.text
    assert source.read_text() == "mine\n"
    (tmp_path / "file").write_text("mine\n")
    assert "nothing was written" in trunkline("sources", "new", "demo", "--dir", tmp_path / "file").text
    empty = tmp_path / "empty"
    empty.mkdir()
    assert trunkline("sources", "new", "demo", "--dir", empty).code == 0
    assert (empty / "pyproject.toml").exists()


def test_a_name_of_a_package_that_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trunkline_taken.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    said = trunkline("sources", "new", "taken", "--dir", tmp_path / "taken")
    assert said.code == 2
    assert "a package named trunkline_taken is installed" in said.text


def test_the_wheel_has_the_templates_and_the_contract(tmp_path: Path) -> None:
    """What is installed from a wheel can write packages and test them."""
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(ZipFile(wheel).namelist())
    assert {f"trunkline/sources/template/{template}" for template in LAYOUT.values()} <= names
    assert {f"trunkline/sources/testing/{name}.py" for name in ("__init__", "rig", "conformance", "suite")} <= names
    templates = {file.name for file in (ROOT / "src" / "trunkline" / "sources" / "template").iterdir()}
    assert templates == set(LAYOUT.values())
