"""The ledger as the API tells it."""

from typing import Any

import msgspec

from trunkline.api.services import Services
from trunkline.historian.account import take_account
from trunkline.ledger.balance import SUMMED, unbalanced


def account(services: Services, since: int | None = None, to: int | None = None) -> dict[str, Any]:
    """Balance the ledger, for hours that begin in [since, to); None is without end.

    Raises:
        RetryLater: the historian or the log is away.
    """
    balance = take_account(services.reader, services.log, services.layout)
    rows = [row for row in balance.rows if (since is None or row.hour_us >= since) and (to is None or row.hour_us < to)]
    totals = {name: sum(getattr(row, name) for row in rows) for name in SUMMED}
    wrong = unbalanced(balance)
    balanced = all(row.balanced for row in rows) and not balance.holes
    return {
        "balanced": balanced,
        "at_us": balance.at_us,
        "proof": _proof(totals) if balanced else "does not balance: " + "; ".join(wrong[:20]),
        "totals": totals,
        "rows": [{name: getattr(row, name) for name in row.__struct_fields__} for row in rows],
        "holes": msgspec.to_builtins(balance.holes),
    }


def _proof(totals: dict[str, int]) -> str:
    return (
        "read {read:,} = waiting {waiting:,} + forwarded {forwarded:,} + dropped {dropped:,}; "
        "forwarded {forwarded:,} = stored {stored:,} + rejected {rejected:,} + deduplicated {deduplicated:,} + in transit {in_transit:,}; "
        "missing {missing:,}"
    ).format(**totals)
