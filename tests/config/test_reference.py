"""The reference of the site file is written from the models and is up to date."""

from pathlib import Path

import pytest

from trunkline.config import reference
from trunkline.config.site import SiteConfig


def test_every_key_is_described() -> None:
    page = reference.markdown()
    for name in SiteConfig.model_fields:
        assert f"| `{name}` |" in page
    assert "## Sources of type `modbus`" in page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    site = page.partition("## Sources of type")[0].splitlines()
    assert not [row for row in site if row.endswith("|  |")]


def test_only_own_plugins_are_in_it() -> None:
    assert "meter" not in reference.own_types()
    assert {"modbus", "opcua", "mqtt", "simulated"} <= set(reference.own_types())


def test_the_check_finds_an_old_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "site-file.md"
    assert reference.main(["--check", str(file)]) == 1
    assert "out of date" in capsys.readouterr().err
    assert reference.main([str(file)]) == 0
    assert reference.main(["--check", str(file)]) == 0


def test_the_page_in_the_tree_is_up_to_date() -> None:
    root = Path(__file__).parents[2]
    assert reference.main(["--check", str(root / reference.DEFAULT)]) == 0
