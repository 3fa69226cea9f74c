"""Reading site files: right ones become typed, wrong ones tell everything at once."""

from pathlib import Path

import pytest
from tests.config.conftest import SiteWriter

from trunkline.config.loading import check, load
from trunkline.config.problems import InvalidSite, Problem, errors, render
from trunkline.model.errors import Misconfigured

GOOD = """\
site: plant-1
title: "Plant of Oslo"
timezone: Europe/Oslo
gateways:
  - id: edge-1
    sources:
      - id: meter-a
        type: meter
        host: 192.0.2.1
        tags:
          - {path: PLANT01.AREA02.UNIT_05.FLOW_RATE, node: 7, unit: m³/h, min: 0, max: 100}
          - path: PLANT01.AREA02.UNIT_05.PRESSURE
            node: 8
      - id: meter-b
        type: meter
        enabled: false
        tags:
          - {path: PLANT01.AREA02.UNIT_06.FLOW_RATE, node: 7, kind: integer}
  - id: edge-2
    sources:
      - id: meter-a
        type: meter
        tags: [{path: PLANT01.AREA03.UNIT_01.MODE, node: 1, kind: text}]
"""


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, render(problems)
    return problems[0]


def about(problems: list[Problem], path: str) -> Problem:
    found = [problem for problem in problems if problem.path == path]
    assert len(found) == 1, render(problems)
    return found[0]


def test_a_good_file_becomes_a_typed_site(site_file: SiteWriter) -> None:
    """Sources are of their plugin's own model; a site can be asked for gateways, sources and tags."""
    path = site_file(GOOD)
    assert check(path) == []
    site = load(path)
    assert site.name == "plant-1"
    assert site.data_dir == path.parent / "data"
    assert [gateway.id for gateway in site.config.gateways] == ["edge-1", "edge-2"]
    meter = site.sources("edge-1")[0]
    assert type(meter).__name__ == "MeterConfig"
    assert meter.tags[0].model_dump()["node"] == 7
    assert not site.sources("edge-1")[1].enabled
    tags = site.tags()
    assert len(tags) == 4
    where = tags["PLANT01.AREA03.UNIT_01.MODE"]
    assert (where.gateway, where.source.id, where.tag.kind) == ("edge-2", "meter-a", "text")


def test_unknown_gateway_names_those_there_are(site_file: SiteWriter) -> None:
    site = load(site_file(GOOD))
    with pytest.raises(Misconfigured, match="did you mean 'edge-1'"):
        site.sources("egde-1")


def test_every_error_is_reported_with_line_path_and_mend(site_file: SiteWriter) -> None:
    """Unknown keys, wrong types, wrong choices, missing keys, in the site and in sources, all in one go."""
    path = site_file("""\
site: Plant 1
tittle: x
timezone: Europe/Olso
api:
  port: eighty
gateways:
  - id: edge-1
    sources:
      - id: a
        type: meter
        hots: 192.0.2.1
        tags:
          - path: plant01.area.Flow Rate
            node: 1
          - path: PLANT01.B
            kind: dbl
            node: -1
          - path: PLANT01.C
      - id: b
        type: metre
""")
    problems = check(path)
    with pytest.raises(InvalidSite) as caught:
        load(path)
    assert len(errors(caught.value.problems)) == len(errors(problems)) == 10
    assert [problem.line for problem in problems] == sorted(problem.line for problem in problems)
    assert {problem.file for problem in problems} == {str(path)}

    site = about(problems, "site")
    assert (site.line, site.column) == (1, 7)
    assert "'plant-1'" in site.mend
    unknown = about(problems, "tittle")
    assert (unknown.line, unknown.column) == (2, 1)
    assert "did you mean 'title'?" in unknown.mend
    assert "Europe/Oslo" in about(problems, "timezone").mend
    port = about(problems, "api.port")
    assert (port.line, port.column) == (5, 9)
    assert "8400" in port.mend
    host = about(problems, "gateways[0].sources[0].hots")
    assert (host.line, host.column) == (11, 9)
    assert "did you mean 'host'?" in host.mend
    assert about(problems, "gateways[0].sources[0].tags[0].path").mend == "try 'PLANT01'"
    kind = about(problems, "gateways[0].sources[0].tags[1].kind")
    assert kind.line == 16
    assert "double, integer, text" in kind.mend
    assert "greater than or equal to 0" in about(problems, "gateways[0].sources[0].tags[1].node").message
    missing = about(problems, "gateways[0].sources[0].tags[2].node")
    assert (missing.line, missing.column) == (18, 13)
    assert "'node: 7'" in missing.mend
    assert "register of the meter" in missing.mend
    kind = about(problems, "gateways[0].sources[1].type")
    assert kind.line == 20
    assert "did you mean 'meter'?" in kind.mend


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("site: a\n\ttitle: x\n", 2, "a tab indents"),
        ("site: a\napi:\n   host: x\n  port: 1\n", 4, "not valid YAML"),
        ("site: a\ntitle: b: c\n", 2, "not valid YAML"),
        ('site: "a\n', 1, "not valid YAML"),
        ("site: a\ntitle: *none\n", 2, "no anchor &none"),
        ("site: a\n---\nsite: b\n", 2, "second document"),
        ("site: &a [*a]\n", 1, "inside what it names"),
        ("", 1, "empty"),
        ("# only a comment\n", 1, "empty"),
        ("- site\n", 1, "section of keys"),
        ("site: a\ngateways: " + "[" * 200 + "]" * 200, 2, "nested"),
        ("site: a\x00b\n", 1, "not valid YAML"),
        ("site: a\ntitle: !include x\n", 2, "tag"),
    ],
)
def test_malformed_text_is_explained(site_file: SiteWriter, text: str, line: int, says: str) -> None:
    problems = check(site_file(text))
    first = errors(problems)[0]
    assert says in first.message
    assert first.line == line
    assert first.mend


def test_every_tab_is_named(site_file: SiteWriter) -> None:
    problems = check(site_file("site: a\n\ttitle: x\n\ttimezone: UTC\n"))
    assert [problem.line for problem in problems] == [2, 3]


def test_a_duplicate_key_does_not_hide_other_errors(site_file: SiteWriter) -> None:
    problems = check(site_file("site: a\ntitle: x\ntitle: y\nzone: UTC\n"))
    assert "first in line 2" in about(problems, "title").message
    assert about(problems, "zone").line == 4


def test_unfolding_aliases_are_refused(site_file: SiteWriter) -> None:
    """Nine levels of nine aliases are 400 million values."""
    text = 'a: &a ["x","x","x","x","x","x","x","x","x"]\n'
    for above, below in zip("bcdefghi", "abcdefgh", strict=True):
        text += f"{above}: &{above} [" + ",".join([f"*{below}"] * 9) + "]\n"
    assert "unfold" in errors(check(site_file(text)))[0].message


def test_anchors_and_merge_keys_share_settings(site_file: SiteWriter) -> None:
    path = site_file("""\
site: a
gateways:
  - id: g
    sources:
      - id: m
        type: meter
        tags:
          - &flow {path: A.B.ONE, node: 1, unit: m³/h}
          - {<<: *flow, path: A.B.TWO}
""")
    assert check(path) == []
    assert load(path).tags()["A.B.TWO"].tag.unit == "m³/h"


def test_unreadable_files_are_explained(tmp_path: Path) -> None:
    assert "No such file" in only(check(tmp_path / "none.yaml")).message
    assert "directory" in only(check(tmp_path)).message
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("site: a\ntitle: gjæring\n".encode("latin-1"))
    problem = only(check(latin))
    assert "UTF-8" in problem.message
    assert (problem.line, problem.column) == (2, 10)


def test_words_that_yaml_1_1_would_change_stay_words(site_file: SiteWriter) -> None:
    site = load(site_file("site: no\ntitle: 12:30\n"))
    assert (site.name, site.config.title) == ("no", "12:30")


def test_numbers_where_text_is_wanted_are_to_be_quoted(site_file: SiteWriter) -> None:
    problem = about(check(site_file("site: 5\ntitle: 3.5\n")), "title")
    assert problem.mend == "put it in quotes"


def test_infinite_limits_are_refused(site_file: SiteWriter) -> None:
    path = site_file(GOOD.replace("min: 0,", "min: .nan,"))
    assert "finite" in only(errors(check(path))).message


def test_a_plugin_that_fails_is_named(site_file: SiteWriter) -> None:
    problem = only(errors(check(site_file("site: a\ngateways: [{id: g, sources: [{id: s, type: broken}]}]\n"))))
    assert "no driver here" in problem.message


def test_a_source_without_type_lists_the_types(site_file: SiteWriter) -> None:
    problem = only(errors(check(site_file("site: a\ngateways: [{id: g, sources: [{id: s}]}]\n"))))
    assert "meter" in problem.mend


def test_render_counts_and_limits(site_file: SiteWriter) -> None:
    problems = check(site_file("site: A\nx: 1\ny: 2\n"))
    text = render(problems, limit=2)
    assert "… and 1 more" in text
    assert text.endswith("3 errors")
    assert render([]) == "no problems"


def test_ten_thousand_tags_load(site_file: SiteWriter) -> None:
    rows = "".join(
        f"          - {{path: PLANT01.A{n // 100}.U{n % 100}.FLOW, node: {n}, unit: m³/h, min: 0, max: 100}}\n" for n in range(10_000)
    )
    path = site_file(f"site: big\ngateways:\n  - id: g\n    sources:\n      - id: s\n        type: meter\n        tags:\n{rows}")
    assert len(load(path).tags()) == 10_000
