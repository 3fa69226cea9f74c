"""NodeIds as text (OPC UA Part 6, 5.3.1.10 and 5.3.1.11), without any OPC UA library, so that a site file is checked quickly.

`nsu=http://plant.example/pumps;s=P101.Flow` names the namespace by its URI and survives a server that numbers its namespaces anew;
`ns=2;s=P101.Flow` names it by index. Identifiers are `i=` (number), `s=` (text), `g=` (GUID) or `b=` (bytes in base 64).
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

#: The namespace of the standard itself, always index 0.
STANDARD_NAMESPACE = "http://opcfoundation.org/UA/"

_SHAPE = re.compile(r"(?:nsu=(?P<uri>[^;]*);|ns=(?P<index>\d{1,5});)?(?P<kind>[isgb])=(?P<identifier>.*)", re.DOTALL)
_MAX_NUMBER = 2**32 - 1
_MAX_INDEX = 2**16 - 1


class UnknownNamespace(LookupError):
    """The server does not know the namespace of this address now."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A checked NodeId. Build it with `parse`.

    Attributes:
        namespace: URI (text) or index (number); the standard's namespace is index 0.
        identifier: int for 'i=', str for 's=', UUID for 'g=', bytes for 'b='.
    """

    namespace: int | str
    identifier: int | str | UUID | bytes

    @classmethod
    def parse(cls, text: str) -> "NodeAddress":
        """Parse and check. Raises ValueError that shows the right form."""
        found = _SHAPE.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is not a NodeId: write it as 'nsu=http://plant.example/pumps;s=P101.Flow' or 'ns=2;i=1001'")
        namespace = _namespace(text, found["uri"], found["index"])
        return cls(namespace, _identifier(text, found["kind"], found["identifier"]))

    def index(self, namespaces: Sequence[str]) -> int:
        """Return the namespace index on a server with this namespace table. Raises UnknownNamespace."""
        if isinstance(self.namespace, int):
            return self.namespace
        try:
            return namespaces.index(self.namespace)
        except ValueError:
            raise UnknownNamespace(f"the server has no namespace {self.namespace!r}; it has: {', '.join(namespaces)}") from None

    def __str__(self) -> str:
        match self.identifier:
            case int():
                rest = f"i={self.identifier}"
            case str():
                rest = f"s={self.identifier}"
            case UUID():
                rest = f"g={self.identifier}"
            case bytes():
                rest = f"b={base64.b64encode(self.identifier).decode()}"
        if isinstance(self.namespace, str):
            return f"nsu={self.namespace.replace('%', '%25').replace(';', '%3B')};{rest}"
        return rest if self.namespace == 0 else f"ns={self.namespace};{rest}"


def _namespace(text: str, uri: str | None, index: str | None) -> int | str:
    if uri is not None:
        if not uri:
            raise ValueError(f"{text!r} has an empty namespace URI after 'nsu='")
        plain = uri.replace("%3B", ";").replace("%3b", ";").replace("%25", "%")
        return 0 if plain == STANDARD_NAMESPACE else plain
    number = int(index or 0)
    if number > _MAX_INDEX:
        raise ValueError(f"namespace index {number} in {text!r} is above {_MAX_INDEX}")
    return number


_WANTED = {"i": f"a number from 0 to {_MAX_NUMBER}", "g": "a GUID", "b": "base 64", "s": "text"}


def _identifier(text: str, kind: str, identifier: str) -> int | str | UUID | bytes:
    try:
        match kind:
            case "i" if identifier.isdecimal() and int(identifier) <= _MAX_NUMBER:
                return int(identifier)
            case "g":
                return UUID(identifier)
            case "b":
                return base64.b64decode(identifier, validate=True)
            case "s" if identifier:
                return identifier
    except (ValueError, binascii.Error):
        pass
    raise ValueError(f"the identifier of {text!r} must be {_WANTED[kind]} after '{kind}='")
