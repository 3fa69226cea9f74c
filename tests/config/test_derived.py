"""Derived tags in the site file: inputs, circles, units; and that the site knows them as tags."""

import pytest
from tests.config.conftest import SiteWriter

from trunkline.config.derived import DerivedConfig, in_order
from trunkline.config.loading import check, load
from trunkline.config.problems import Problem, errors, render
from trunkline.config.units import COMMON, UnitProblem, read_unit
from trunkline.supervisor.wiring import series_registry

_TAGS = """
site: a
gateways:
  - id: g
    sources:
      - id: s
        type: meter
        tags:
          - {path: P.A.U.FLOW_IN, node: 1, unit: "m³/h"}
          - {path: P.A.U.FLOW_OUT, node: 2, unit: "m3/h"}
          - {path: P.A.U.MAKE_UP, node: 3, unit: l/min}
          - {path: P.A.U.T1, node: 4, unit: "°C"}
          - {path: P.A.U.T2, node: 5, unit: "°C"}
          - {path: P.A.U.P1, node: 6, unit: bar(g)}
          - {path: P.A.U.PUMP, node: 7, kind: boolean}
          - {path: P.A.U.POWER, node: 8, unit: kW}
          - {path: P.A.U.ODD, node: 9, unit: furlongs}
          - {path: P.A.U.STRANGE, node: 10, unit: gizmo}
derived:
"""


def problems(site_file: SiteWriter, *derived: str) -> list[Problem]:
    return check(site_file(_TAGS + "".join(f"  - {{{one}}}\n" for one in derived)))


@pytest.mark.parametrize(
    "derived",
    [
        'path: P.A.U.LOSS, calc: FLOW_IN - FLOW_OUT, unit: "m³/h"',
        'path: P.A.U.DAY, calc: FLOW_IN * 24, unit: "m³/d"',
        "path: P.A.U.EFF, calc: FLOW_OUT / FLOW_IN * 100, unit: \"%\"",
        'path: P.A.U.SUM, calc: FLOW_IN + MAKE_UP * 0.06, unit: "m³/h"',
        'path: P.A.U.DT, calc: T1 - T2, unit: K',
        'path: P.A.U.DT, calc: T1 - T2, unit: "°C"',
        'path: P.A.U.MEAN, calc: (T1 + T2) / 2, unit: "°C"',
        'path: P.A.U.HOTTER, calc: "max(T1, T2)", unit: "°C"',
        'path: P.A.U.TK, calc: T1 + 273.15, unit: K',
        'path: P.A.U.TF, calc: T1 * 1.8 + 32, unit: "°F"',
        'path: P.A.U.HEAT, calc: FLOW_IN * (T1 - T2) * 1.163, unit: kW, check_units: false',
        'path: P.A.U.PER, calc: POWER / FLOW_IN, unit: kWh/m³',
        'path: P.A.U.RUN, calc: FLOW_IN > 0 when PUMP == off',
        'path: P.A.U.OLD, calc: age(FLOW_IN), unit: s',
        'path: P.B.LOSS, calc: P.A.U.FLOW_IN - `P.A.U.FLOW_OUT`, unit: "m³/h"',
    ],
)  # fmt: skip
def test_sound_definitions(site_file: SiteWriter, derived: str) -> None:
    found = problems(site_file, derived)
    assert found == [], render(found)


@pytest.mark.parametrize(
    ("derived", "place", "message", "mend"),
    [
        ("path: P.A.U.X, calc: FLOW_IN = 3", "calc", "column 9: '=' has no place", "write '=='"),
        ("path: P.A.U.X, calc: FLOW_INN * 2", "calc", "no tag P.A.U.FLOW_INN", "did you mean P.A.U.FLOW_IN?"),
        ("path: P.A.U.X, calc: 3 + 4", "calc", "names no tag", "a constant is no derived tag"),
        ("path: P.A.U.X, calc: X + 1", "calc", "P.A.U.X <- P.A.U.X", "take one of them out"),
        ("path: P.A.U.T1, calc: T2 * 2, unit: °C", "path", "read from a device already", "a name of its own"),
        ('path: P.A.U.X, calc: FLOW_IN + MAKE_UP, unit: "m³/h"', "calc", "m³/h and l/min differ in scale", "multiply the second by 0.06"),
        ("path: P.A.U.X, calc: FLOW_IN + T1, unit: K", "calc", "m³/h and °C do not go together", "check the tags"),
        ("path: P.A.U.X, calc: FLOW_IN * T1, unit: K", "calc", "°C has no true zero", "a difference"),
        ("path: P.A.U.X, calc: log(FLOW_IN)", "calc", "log takes a pure number, not m³/h", "check_units: false"),
        ("path: P.A.U.X, calc: T1, unit: K", "unit", "gives °C, not K", "add 273.15"),
        ("path: P.A.U.X, calc: P1, unit: bar", "unit", "gives bar(g), not bar", "add 1.01325"),
        ("path: P.A.U.X, calc: FLOW_IN, unit: l/min", "unit", "gives m³/h, not l/min", "multiply it by 16.6667"),
        ('path: P.A.U.X, calc: FLOW_OUT / FLOW_IN, unit: "%"', "unit", "not %", "multiply it by 100"),
        ("path: P.A.U.X, calc: FLOW_IN * 2, unit: bar", "unit", "which is no bar", "check_units: false"),
        ("path: P.A.U.X, calc: FLOW_IN, unit: m4/hh", "unit", "unit 'm4/hh' is not known", "write one such as m³/h"),
    ],
)  # fmt: skip
def test_errors_name_place_and_mend(site_file: SiteWriter, derived: str, place: str, message: str, mend: str) -> None:
    (found,) = problems(site_file, derived)
    assert (found.path, found.line, found.severity) == (f"derived[0].{place}", 20, "error")
    assert message in found.message
    assert mend in found.mend


def test_what_cannot_be_checked_is_told(site_file: SiteWriter) -> None:
    strange, bare = problems(site_file, "path: P.A.U.X, calc: STRANGE * 2, unit: bar", "path: P.A.U.Y, calc: FLOW_IN + 0")
    assert (strange.severity, "the unit 'gizmo' of P.A.U.STRANGE is not known" in strange.message) == ("warning", True)
    assert (bare.severity, bare.mend) == ("warning", "write 'unit: m³/h'")


def test_circles_and_names(site_file: SiteWriter) -> None:
    found = problems(site_file, "path: P.A.U.X, calc: Y + 1", "path: P.A.U.Y, calc: Z + 1", "path: P.A.U.Z, calc: X + T1")
    (circle,) = [one for one in found if "made of each other" in one.message]
    assert "P.A.U.X <- P.A.U.Y <- P.A.U.Z <- P.A.U.X" in circle.message
    twice = problems(site_file, "path: P.A.U.X, calc: PUMP", "path: P.A.U.X, calc: PUMP")
    assert [(one.path, one.message) for one in errors(twice)] == [("derived[1].path", "tag P.A.U.X is derived twice; first in line 20")]
    named = check(site_file((_TAGS + "  - {path: P.A.U.X, calc: PUMP}\n").replace("id: g\n", "id: derived\n")))
    assert [one.path for one in named] == ["gateways[0].id"]


def test_an_error_of_a_source_hides_no_tags(site_file: SiteWriter) -> None:
    """While a source has an error nobody knows its tags: the derived ones are not blamed for it."""
    text = (_TAGS + "  - {path: P.A.U.X, calc: FLOW_IN, unit: m³/h}\n").replace("node: 10", "node: ten")
    assert [one.path for one in check(site_file(text))] == ["gateways[0].sources[0].tags[9].node"]


def test_derived_tags_are_tags_of_the_site(site_file: SiteWriter) -> None:
    """Validation, dead letters and the historian's table of series take every tag of a site from one place."""
    rules = '  - {path: P.A.U.LOSS, calc: FLOW_IN - FLOW_OUT, unit: "m³/h", min: 0}\n  - {path: P.A.U.DRY, calc: FLOW_IN < 1}\n'
    site = load(site_file(_TAGS + rules))
    entry = site.tags()["P.A.U.LOSS"]
    assert (entry.gateway, entry.source.id, entry.tag.kind, entry.tag.min) == ("derived", "derived", "double", 0)
    info = series_registry(site)["P.A.U.DRY"]
    assert (info.kind.name, info.gateway, info.source) == ("BOOLEAN", "derived", "derived")
    assert list(site.typed) == ["g"]


def test_order_of_a_long_chain() -> None:
    chain = tuple(DerivedConfig(path=f"P.D{number}", calc=f"P.D{number + 1} + 1") for number in range(3000))
    assert [one.path for one in in_order(chain)] == [one.path for one in reversed(chain)]


@pytest.mark.parametrize("unit", COMMON)
def test_common_units_are_known(unit: str) -> None:
    assert read_unit(unit).factor is not None


@pytest.mark.parametrize("unit", ["9**9**9", "m^99", "m^(2^9)", "m**2**2", "; import os", "__import__('os')", "m/0", "(", "10000000 m"])
def test_what_is_no_unit(unit: str) -> None:
    with pytest.raises(UnitProblem, match="is not known"):
        read_unit(unit)


def test_units_as_plants_write_them() -> None:
    """Where pint on its own would read something else: number metres, picohenries, bar times gram."""
    assert read_unit("m3/h").dimension == read_unit("m³/h").dimension
    assert read_unit("Nm³/h").dimension not in (read_unit("m³/h").dimension, read_unit("Sm³/h").dimension)
    assert read_unit("pH").dimension != read_unit("H").dimension
    assert read_unit("bar(g)").dimension == read_unit("barg").dimension == read_unit("psi").dimension
    assert (read_unit("bar(g)").offset, read_unit("bara").offset) == (101325, 0)
    assert read_unit("%RH").dimension == read_unit("%").dimension == frozenset()
