from trunkline.ledger.balance import REPLAY_ORIGIN, Cell, Counts, balance, unbalanced
from trunkline.ledger.coverage import Range
from trunkline.model import times

NOW = times.from_iso("2026-01-01T12:30:00Z")
HOUR = times.hour_of(NOW)
CELL = Cell("gw1", "plc", "telemetry", HOUR)


def test_a_closed_ledger_balances() -> None:
    result = balance({CELL: Counts(read=100, forwarded=100, stored=90, rejected=7, deduplicated=3, kept=90)}, {}, [], NOW, up_to_date=True)
    assert result.balanced
    assert result.quiet
    assert result.totals["stored"] == 90
    assert unbalanced(result) == []


def test_data_under_way_is_accounted_for() -> None:
    result = balance({CELL: Counts(read=100, forwarded=80, dropped=5, stored=50)}, {CELL: 30}, [], NOW, up_to_date=True)
    (row,) = result.rows
    assert (row.waiting, row.in_transit, row.missing) == (15, 30, 0)
    assert result.balanced
    assert not result.quiet


def test_forwarded_but_nowhere_is_missing_and_named() -> None:
    result = balance({CELL: Counts(read=100, forwarded=100, stored=90)}, {CELL: 9}, [], NOW, up_to_date=True)
    assert not result.balanced
    assert result.rows[0].missing == 1
    assert unbalanced(result) == ["gateway gw1, source plc, telemetry, hour 2026-01-01T12: 1 missing"]


def test_a_row_deleted_behind_our_back_is_missing() -> None:
    result = balance({CELL: Counts(read=100, forwarded=100, stored=100, kept=60)}, {}, [], NOW, up_to_date=True)
    assert result.rows[0].missing == 40


def test_older_edge_counts_are_no_surplus_while_data_flows() -> None:
    """The edge's counts come through the log and are a little old."""
    other = Cell("gw1", "opc", "telemetry", HOUR)
    counts = {CELL: Counts(read=100, forwarded=100, stored=105), other: Counts(read=10, forwarded=5, stored=5)}
    assert balance(counts, {}, [], NOW, up_to_date=True).balanced
    quiet = balance({CELL: Counts(read=100, forwarded=100, stored=105)}, {}, [], NOW, up_to_date=True)
    older = balance({CELL: Counts(read=100, forwarded=100, stored=105)}, {}, [], NOW, up_to_date=False)
    assert older.balanced
    assert (older.rows[0].read, older.rows[0].forwarded) == (105, 105)
    assert quiet.rows[0].surplus == 5
    past = balance(
        {CELL._replace(hour=HOUR - 5): Counts(read=100, forwarded=100, stored=105), other: counts[other]}, {}, [], NOW, up_to_date=True
    )
    assert not past.balanced


def test_holes_have_an_address() -> None:
    """PD-6."""
    result = balance({}, {}, [("gw1", 3, Range(10, 20))], NOW, up_to_date=True)
    assert not result.balanced
    assert unbalanced(result) == ["gateway gw1, partition 3: positions 10 to 19 never arrived"]


def test_replayed_dead_letters_were_never_read_anew() -> None:
    cell = Cell(REPLAY_ORIGIN, "plc", "telemetry", HOUR)
    assert balance({cell: Counts(stored=3, kept=3)}, {cell: 1}, [], NOW, up_to_date=True).balanced
