"""Alarm definitions beside the tags of the site file: what is wrong is told with line and mend."""

from pathlib import Path

import pytest

from trunkline.config.loading import check

SITE = """\
site: plant
gateways:
  - id: gw-1
    sources:
      - id: sim
        type: simulated
        tags:
          - {path: P.A.FLOW, signal: {shape: walk}}
          - {path: P.A.STATUS, kind: integer, signal: {shape: counter}}
          - {path: P.B.FLOW, signal: {shape: walk}}
derived:
  - {path: P.A.SUM, calc: "P.A.FLOW + P.B.FLOW"}
alarms:
  definitions:
"""


def problems(tmp_path: Path, definition: str) -> list[str]:
    file = tmp_path / "site.yaml"
    file.write_text(SITE + "    - " + definition + "\n")
    return [f"{one.line}: {one.severity}: {one.message}; {one.mend}" for one in check(file) if one.path.startswith("alarms")]


@pytest.mark.parametrize(
    "definition",
    [
        "{id: a, tags: ['**.FLOW'], kind: high, limit: 5}",
        "{id: a, tag: P.A.SUM, kind: high, limit: 5}",
        "{id: a, tags: ['P.*.FLOW'], kind: expression, expression: 'FLOW > 3 and P.A.STATUS == 1'}",
        "{id: a, tag: P.A.FLOW, kind: deviation, limit: 3, setpoint_tag: P.B.FLOW, suppressed_while: {tag: P.A.STATUS, equals: 0}}",
    ],
)
def test_a_right_definition_has_no_problem(tmp_path: Path, definition: str) -> None:
    assert problems(tmp_path, definition) == []


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ("{id: a, tag: P.A.FLOWS, kind: high, limit: 5}", "15: error: no source has the tag P.A.FLOWS; did you mean 'P.A.FLOW'"),
        ("{id: a, tags: ['P.C.**'], kind: high, limit: 5}", "15: warning: no tag fits P.C.**: it will alarm nothing"),
        ("{id: a, tag: P.A.FLOW, kind: deviation, limit: 3, setpoint_tag: P.A.SP}", "15: error: no source has the tag P.A.SP"),
        ("{id: a, tags: ['P.*.FLOW'], kind: expression, expression: 'STATUS == 1'}", "15: error: no source has the tag P.B.STATUS"),
        (
            "{id: a, tag: P.A.FLOW, kind: high, limit: 3, suppressed_while: {tag: P.A.RUNS, equals: 0}}",
            "15: error: no source has the tag P.A.RUNS",
        ),
        ("{id: a, tag: P.A.FLOW, kind: high}", "15: error: kind 'high' needs 'limit'; add it"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, definition: str, says: str) -> None:
    (found,) = problems(tmp_path, definition)
    assert found.startswith(says)
