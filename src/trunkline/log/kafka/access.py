"""Who may do what on the brokers: least privilege, everything else denied (P-91, P-124, PD-13, PD-14, ED-21).

The table is derived from the catalogue of topics, which names the writers and readers of each, and from the names that the engine gives
to groups and transactional ids. The same table makes the access lists (`trunkline topics apply`), the page docs/reference/access.md and
the test that asks a real cluster about every role, resource and operation.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from trunkline.log.layouts.spec import Role
from trunkline.log.topics import Layout

Resource = Literal["topic", "group", "transactional-id", "cluster"]
Pattern = Literal["literal", "prefixed"]
Operation = Literal["read", "write", "create", "delete", "alter", "describe", "cluster-action", "describe-configs", "alter-configs"]
Operations = frozenset[Operation]

#: `Role` as principals have it, and `site`: gateways, steps, historian and api of one machine under one principal.
Principal = Role | Literal["site"]
ROLES: Final[tuple[Principal, ...]] = (
    "gateway",
    "validate",
    "evaluate",
    "notify",
    "historian",
    "api",
    "site",
    "external-reader",
    "external-producer",
    "mirror",
    "admin",
)
PURPOSES: Final[Mapping[Principal, str]] = {
    "gateway": "one gateway: `gateway-ID`",
    "validate": "the validation step",
    "evaluate": "derived tags, alarms and anomaly rules",
    "notify": "whoever tells people of alarms; each of its channels is a group `notify.CHANNEL`",
    "historian": "the writer of history and of rollups",
    "api": "API and page; reads, and asks the alarm step for what operators want",
    "site": "every role of one machine under one principal; separate principals are the better choice",
    "external-reader": "a consumer of others: `reader-NAME`; its groups are `reader-NAME` and `reader-NAME.…`",
    "external-producer": "a producer of others: `producer-NAME`",
    "mirror": "MirrorMaker 2 of an edge with a Kafka of its own: `mirror-SITE`",
    "admin": "people who run the cluster, and `trunkline topics`",
}
#: The user of role `site`, where one machine runs everything under one principal.
SITE_USER: Final = "site"
_SITE: Final[tuple[Role, ...]] = ("gateway", "validate", "evaluate", "notify", "historian", "api")
#: Consumer groups of the platform's own roles.
_GROUPS: Final[Mapping[Principal, tuple[str, ...]]] = {
    "validate": ("validate",),
    "evaluate": ("derive", "alarms", "anomaly"),
    "notify": ("notify",),
    "historian": ("historian",),
}
_STEPS: Final = tuple(group for groups in _GROUPS.values() for group in groups)
#: Groups of channels begin so.
_CHANNELS: Final = "notify."
#: What each kind of resource knows of (Apache Kafka, AclEntry.supportedOperations). `IdempotentWrite` is not used since Kafka 3.0 (PD-13).
SUPPORTED: Final[Mapping[Resource, Operations]] = {
    "topic": frozenset({"read", "write", "create", "delete", "alter", "describe", "describe-configs", "alter-configs"}),
    "group": frozenset({"read", "describe", "delete"}),
    "transactional-id": frozenset({"write", "describe"}),
    "cluster": frozenset({"create", "alter", "describe", "cluster-action", "describe-configs", "alter-configs"}),
}
CLUSTER: Final = "kafka-cluster"


@dataclass(frozen=True, slots=True)
class Grant:
    """Operations on a resource.

    Attributes:
        resource: what kind it is.
        name: its name, the beginning of it, or '*' for all.
        pattern: whether `name` is the whole name.
        operations: what is allowed; those that Kafka implies are not repeated.
    """

    resource: Resource
    name: str
    operations: Operations
    pattern: Pattern = "literal"

    def covers(self, resource: Resource, name: str) -> bool:
        """Return whether the grant speaks of this resource."""
        if resource != self.resource:
            return False
        return name.startswith(self.name) if self.pattern == "prefixed" else self.name in ("*", name)


@dataclass(frozen=True, slots=True)
class User:
    """A principal and the part it plays.

    Attributes:
        name: as it logs in.
        role: what it may do.
    """

    name: str
    role: Principal

    @property
    def principal(self) -> str:
        """As Kafka writes it."""
        return f"User:{self.name}"


#: Whoever shows people how the cluster is may ask how full its disks are.
_DISKS: Final = Grant("cluster", CLUSTER, frozenset({"describe"}))


def site_users(gateways: Iterable[str]) -> list[User]:
    """Return the principals that every site has: a role each, a gateway each (PD-14)."""
    own = [User(role, role) for role in ("validate", "evaluate", "notify", "historian", "api", "site", "admin")]
    return [*(User(f"gateway-{gateway}", "gateway") for gateway in gateways), *own]


def grants(user: User, layout: Layout) -> tuple[Grant, ...]:
    """Return everything that a user may do."""
    parts: Iterable[Grant]
    match user.role:
        case "admin":
            parts = _admin()
        case "mirror":
            parts = (*_topics("mirror", layout), *_bookkeeping(user))
        case "site":
            topics = (grant for role in _SITE for grant in _topics(role, layout))
            own = (*_groups(*_STEPS), *_groups(_CHANNELS, pattern="prefixed"), *_transactions("gateway-", *(f"{one}." for one in _STEPS)))
            parts = (_DISKS, *topics, *own)
        case "gateway" | "external-producer":
            parts = (*_topics(user.role, layout), *_transactions(f"{user.name}."))
        case "validate" | "evaluate" | "notify" | "historian":
            groups = _GROUPS[user.role]
            parts = (*_topics(user.role, layout), *_groups(*groups), *_transactions(*(f"{group}." for group in groups)))
            if user.role == "notify":
                parts = (*parts, *_groups(_CHANNELS, pattern="prefixed"))
        case "api":
            parts = (_DISKS, *_topics("api", layout), *(Grant("group", step, frozenset({"describe"})) for step in _STEPS))
        case "external-reader":
            parts = (*_topics("external-reader", layout), *_groups(user.name), *_groups(f"{user.name}.", pattern="prefixed"))
    return _merged(parts)


def mirror_alias(edge: str) -> str:
    """Return what MirrorMaker 2 calls the Kafka of an edge; its books at the centre have this name in theirs."""
    return f"edge-{edge}"


def allowed(user: User, layout: Layout, resource: Resource, name: str) -> Operations:
    """Return the operations that the brokers will let a user do on a resource, implied ones included."""
    found: set[Operation] = set()
    for grant in grants(user, layout):
        if grant.covers(resource, name):
            found |= grant.operations
    return implied(frozenset(found)) & SUPPORTED[resource]


def implied(operations: Operations) -> Operations:
    """Return the operations with those that Kafka's authorizer grants along with them."""
    more: set[Operation] = set(operations)
    if operations & {"read", "write", "delete", "alter"}:
        more.add("describe")
    if "alter-configs" in operations:
        more.add("describe-configs")
    return frozenset(more)


def _topics(role: Role, layout: Layout) -> Iterator[Grant]:
    for spec in layout.specs():
        operations: set[Operation] = set()
        if role in spec.writers:
            operations.add("write")
        if role in spec.readers:
            operations.add("read")
        if operations:
            yield Grant("topic", spec.name, frozenset(operations))


def _groups(*names: str, pattern: Pattern = "literal") -> Iterator[Grant]:
    for name in names:
        yield Grant("group", name, frozenset({"read"}), pattern)


def _transactions(*prefixes: str) -> Iterator[Grant]:
    """The engine names transactional ids `<writer>.<purpose>`."""
    for prefix in prefixes:
        yield Grant("transactional-id", prefix, frozenset({"write"}), "prefixed")


def _bookkeeping(user: User) -> Iterator[Grant]:
    """MirrorMaker 2 keeps offsets, settings and states on the target (D-20); those of one edge are nobody else's business."""
    keeping: Operations = frozenset({"create", "read", "write", "describe-configs"})
    alias = mirror_alias(user.name.removeprefix("mirror-"))
    for book in ("configs", "offsets", "status", "offset-syncs"):
        yield Grant("topic", f"mm2-{book}.{alias}.internal", keeping)
    yield Grant("topic", f"{alias}.checkpoints.internal", keeping)
    yield from _groups(f"{alias}-mm2")
    # each task writes records and their positions in one transaction, and so does the worker that leads
    yield from _transactions(f"{alias}-mm2-")
    yield Grant("transactional-id", f"connect-cluster-{alias}-mm2", frozenset({"write"}))


def _admin() -> Iterator[Grant]:
    yield Grant("topic", "*", frozenset({"read", "write", "create", "delete", "alter", "alter-configs"}))
    yield Grant("group", "*", frozenset({"read", "delete"}))
    yield Grant("transactional-id", "*", frozenset({"describe"}))
    yield Grant("cluster", CLUSTER, frozenset({"create", "alter", "alter-configs"}))


def _merged(parts: Iterable[Grant]) -> tuple[Grant, ...]:
    """Return one grant for each resource named."""
    found: dict[tuple[Resource, str, Pattern], Operations] = {}
    for grant in parts:
        key = (grant.resource, grant.name, grant.pattern)
        found[key] = found.get(key, frozenset()) | grant.operations
    return tuple(Grant(resource, name, operations, pattern) for (resource, name, pattern), operations in found.items())
