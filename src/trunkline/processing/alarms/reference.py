"""Writes the page of alarm states from its table: `python -m trunkline.processing.alarms.reference [--check] [FILE]`."""

import sys
from pathlib import Path
from typing import Final

from trunkline.model.alarms import GATEWAY_STATES, State
from trunkline.processing.alarms.machine import TABLE

DEFAULT: Final = Path("docs/reference/alarm-states.md")
_HEAD: Final = """\
<!-- Written by `python -m trunkline.processing.alarms.reference`; do not edit. -->
# States of an alarm

The state machine of ISA-18.2-2016 / IEC 62682:2014. This page is written from the table that the alarm step runs
(`trunkline.processing.alarms.machine.TABLE`); why it is so is told in [alarm philosophy](../explanation/alarm-philosophy.md).

Condition, acknowledgement and silencing are held apart (D-37). What silences an alarm may be several things at once (a shelf, a
suppression, maintenance): the state shows the strongest, and the alarm is heard again when the last of them ends.
The gateway's four names (W-135 to W-138):

| | state | at the gateway's API |
| --- | --- | --- |
"""
_TRANSITIONS: Final = """\


## Transitions

Rows of one state and trigger are tried from the top. What is not in the table is refused with a reason.

| from | trigger | if | to | meaning |
| --- | --- | --- | --- | --- |
"""


def markdown() -> str:
    """Return the page."""
    states = [f"| {letter} | `{state}` | `{GATEWAY_STATES[state]}` |" for letter, state in zip("ABCDEFGHI", State, strict=True)]
    rows = [
        f"| {', '.join(f'`{state}`' for state in row.states)} | `{row.trigger}` | {row.guard} | `{row.target}` | {row.meaning} |"
        for row in TABLE
    ]
    return _HEAD + "\n".join(states) + _TRANSITIONS + "\n".join(rows) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or with --check say whether it is up to date. Returns the exit status."""
    names = [name for name in arguments if not name.startswith("-")]
    file = Path(names[0]) if names else DEFAULT
    if "--check" in arguments:
        if file.is_file() and file.read_text("utf-8") == markdown():
            return 0
        sys.stderr.write(f"{file} is out of date: run 'python -m trunkline.processing.alarms.reference'\n")
        return 1
    file.write_text(markdown(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
