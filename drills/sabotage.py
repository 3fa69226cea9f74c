"""A historian with a planted defect, for drills only: it stores its log positions in a transaction of its own, before the data.

A SIGKILL between the two loses what was in between. The checker has to notice: `python -m drills --only kill-sabotaged`.
"""

import os
import time
from pathlib import Path
from typing import Any

from trunkline.cli.run import app
from trunkline.historian.writer import Writer

#: How long the data stays behind its positions.
_GAP_SECONDS = 1.0
#: Names the file that is there while the data is behind: the drill kills at such a moment, so that the planted defect always does its harm.
GAP_FILE = "TRUNKLINE_DRILL_GAP"


def plant() -> None:
    """Make every writer of this process commit early."""
    honest: Any = Writer._store  # noqa: SLF001 - the defect has to be inside

    def store(self: Writer, connection: Any, prepared: Any, admission: Any) -> Any:  # noqa: ANN401 - passed through
        with connection.transaction(), connection.cursor() as cursor:
            self._advance(cursor, prepared.flush.positions)
        marker = Path(os.environ[GAP_FILE])
        if len(prepared.flush.columns):
            marker.touch()
            time.sleep(_GAP_SECONDS)
            marker.unlink(missing_ok=True)
        return honest(self, connection, prepared, admission)

    Writer._store = store  # type: ignore[method-assign]  # noqa: SLF001 - see above


if __name__ == "__main__":
    plant()
    app()
