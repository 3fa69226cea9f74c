"""The state of roles, gateways and brokers: what the supervisor wrote, gateways reported, and was seen of the cluster."""

import logging
from pathlib import Path
from typing import Any, Final

import msgspec

from trunkline.gateway.forecast import buffer_problems
from trunkline.ledger.status import GatewayStatus

_log = logging.getLogger(__name__)

#: Written by the supervisor (`trunkline.supervisor.status`).
SUPERVISOR_FILE: Final = Path("run") / "supervisor.json"
_PRIVATE: Final = ("origin", "version", "counts", "counted_us")


class _Roles(msgspec.Struct):
    roles: list[dict[str, Any]]


class Board:
    """Newest state of every part. Gateways are told to it by one thread and asked for by another.

    Attributes:
        kafka: what was last seen of the cluster behind the site log; None before the first look, and while the log is embedded.
    """

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / SUPERVISOR_FILE
        self._gateways: dict[str, GatewayStatus] = {}
        self.kafka: dict[str, Any] | None = None

    def gateway(self, status: GatewayStatus) -> None:
        """Take over a gateway's report unless a newer one is known."""
        known = self._gateways.get(status.gateway)
        if known is None or known.at_us <= status.at_us:
            self._gateways[status.gateway] = status

    def gateways(self) -> list[dict[str, Any]]:
        """Return the newest report of each gateway, by name, with what there is to warn of."""
        return [
            {name: value for name, value in msgspec.to_builtins(status).items() if name not in _PRIVATE}
            | {"problems": buffer_problems(status.buffer, status.at_us)}
            for _, status in sorted(self._gateways.items())
        ]

    def gateway_of(self, origin: str) -> str:
        """Return the name of the gateway whose edge journal this is, or the origin itself when none reports under it now."""
        return next((status.gateway for status in list(self._gateways.values()) if status.origin == origin), origin)

    def roles(self) -> list[dict[str, Any]]:
        """Return the state of every role; none when no supervisor runs them."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Roles).roles
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.warning("the supervisor's state cannot be read: %s", error)
            return []

    def status(self) -> dict[str, Any]:
        """Return everything, as GET /status tells it."""
        return {"roles": self.roles(), "gateways": self.gateways(), "kafka": self.kafka}
