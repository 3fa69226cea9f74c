"""A historian with a planted defect, for drills only: it stores its log positions in a transaction of its own, before the data.

A SIGKILL between the two loses what was in between. The checker has to notice: `python -m drills --only kill-sabotaged`.
"""

import time
from typing import Any

from trunkline.cli.run import app
from trunkline.historian.writer import Writer

#: How long the data stays behind its positions: long enough for a kill to find the gap now and then.
_GAP_SECONDS = 0.5


def plant() -> None:
    """Make every writer of this process commit early."""
    honest: Any = Writer._store  # noqa: SLF001 - the defect has to be inside

    def store(self: Writer, connection: Any, prepared: Any, admission: Any) -> Any:  # noqa: ANN401 - passed through
        with connection.transaction(), connection.cursor() as cursor:
            self._advance(cursor, prepared.flush.positions)
        time.sleep(_GAP_SECONDS)
        return honest(self, connection, prepared, admission)

    Writer._store = store  # type: ignore[method-assign]  # noqa: SLF001 - see above


if __name__ == "__main__":
    plant()
    app()
