"""Quality rules in the site file: what is wrong is told with line and mend."""

from pathlib import Path

import pytest

from trunkline.config.loading import check, load

SITE = """\
site: plant
validation: {members: MEMBERS}
log: {partitions: 4}
gateways:
  - id: gw-1
    sources:
      - id: sim
        type: simulated
        tags:
          - {path: P.A.FLOW, signal: {shape: walk}}
          - {path: P.A.STATUS, kind: integer, signal: {shape: counter}}
          - {path: P.B.FLOW, signal: {shape: walk}}
rules:
"""


def problems(tmp_path: Path, rules: str, members: int = 1) -> list[str]:
    file = tmp_path / "site.yaml"
    file.write_text(SITE.replace("MEMBERS", str(members)) + rules)
    return [f"{one.line}: {one.severity}: {one.message}" for one in check(file) if one.path.startswith("rules")]


def test_a_right_rule_is_read(tmp_path: Path) -> None:
    assert problems(tmp_path, "  - {id: a, kind: frozen, tags: ['**.FLOW'], seconds: 60}\n") == []
    (rule,) = load(tmp_path / "site.yaml").config.rules
    assert (rule.kind, rule.action) == ("frozen", "uncertain")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{id: a, kind: frozen, tags: ['**']}", "error: say when a value is frozen"),
        ("{id: a, kind: range, tags: ['**']}", "error: give 'min', 'max' or both"),
        ("{id: a, kind: range, tags: ['**'], min: 2, max: 1}", "error: min (2) must be below max (1)"),
        ("{id: a, kind: gap, tags: ['**']}", "error: give either 'expected_seconds'"),
        ("{id: a, kind: gap, tags: ['**'], expected_seconds: 1, longest_seconds: 2}", "error: give either 'expected_seconds'"),
        ("{id: a, kind: clock_skew, tags: ['**']}", "error: give 'ahead_seconds'"),
        ("{id: a, kind: status, tags: ['P.A.FLOW'], status: STATUS}", "error: give either 'bits' or 'values'"),
        ("{id: a, kind: rate, tags: ['**'], max_rate: 1, bad: keep}", "error: 'bad' says where BAD readings go"),
        ("{id: a, kind: rate, tags: ['P.a'], max_rate: 1}", "error: part 2 ('a') of tag pattern"),
        ("{id: a, kind: rate, tags: [], max_rate: 1}", "error: name at least one tag"),
        ("{id: a, kind: rate, tags: [P.A.FLOOW], max_rate: 1}", "error: no source has the tag P.A.FLOOW"),
        ("{id: a, kind: rate, tags: ['X.**'], max_rate: 1}", "warning: no tag fits X.**: the rule will judge nothing"),
        ("{id: a, kind: status, tags: ['**.FLOW'], status: STATUS, bits: 1}", "error: no source has the tag P.B.STATUS"),
        ("{id: a, kind: expression, tags: ['**.FLOW'], expression: FLOW > 0 when STATUS == 3}", "error: no source has the tag P.B.STATUS"),
        ("{id: a, kind: expression, tags: ['**.FLOW'], expression: FLOW + 1}", "error: the expression gives a number"),
        ("{id: a, kind: expression, tags: ['**.FLOW'], expression: 'FLOW >'}", "error: "),
        ("{id: a, kind: rate, tags: ['**'], max_rate: 1, colour: red}", "error: unknown key 'colour'"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, rule: str, says: str) -> None:
    (problem,) = problems(tmp_path, f"  - {rule}\n")
    assert problem.startswith(f"14: {says}")


def test_an_id_is_given_once(tmp_path: Path) -> None:
    rule = "  - {id: a, kind: rate, tags: ['**'], max_rate: 1}\n"
    assert problems(tmp_path, rule * 2) == ["15: error: rule id 'a' is given twice; first in line 14"]


def test_rules_across_tags_need_one_member(tmp_path: Path) -> None:
    rule = "  - {id: a, kind: status, tags: [P.A.FLOW], status: STATUS, bits: 4}\n"
    assert problems(tmp_path, rule) == []
    assert problems(tmp_path, rule, members=2) == ["14: error: rule 'a' looks at other tags, but 2 members share the tags"]
