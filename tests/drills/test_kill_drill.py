"""`trunkline drill kill`, as users call it, in its short form."""

import pytest
from tests.drills.support import drill

#: A drill gives up by itself once nothing moves.
pytestmark = pytest.mark.timeout(310)


def test_whoever_is_killed_nothing_is_lost_or_doubled() -> None:
    """D-2, P-117, P-118, P-121, PD-6: gateway, validation, historian and database, once each; readings are stored again after every one."""
    code, told, text = drill("kill", "--tags", "20", "--kills", "4", "--seed", "3")
    assert code == 0, (told, text)
    assert (told["drill"], told["seed"], told["kills"], told["passed"]) == ("kill", 3, 4, True)
    assert told["kills_by"] == {"gateway": 1, "validation": 1, "historian": 1, "database": 1}
    assert all(told["recovery_s"].values())
    assert told["readings"] == told["acknowledged"] == told["stored"] > 20
    assert [told[name] for name in ("lost", "doubled", "invented", "changed", "dropped", "rejected")] == [0] * 6
    assert told["ledger_balanced"]


def test_a_deleted_segment_is_noticed() -> None:
    """The checker is shown a broken history."""
    code, told, text = drill("kill", "--tags", "5", "--kills", "1", "--sabotage", "segment")
    assert code == 0, (told, text)
    assert told["caught"]
    assert told["lost"] > 0
