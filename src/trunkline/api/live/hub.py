"""Who wants which tags, and what each still has to be told: the newest value only, however slow the client."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from trunkline.api.live.cache import LiveCache, LiveValue, is_under

MAX_TAGS: Final = 50_000
DEFAULT_EVERY: Final = 0.25
#: Values in one frame: a screen can show the first while the rest is on its way.
FRAME_VALUES: Final = 5_000

_HEAD: Final = b'{"type":"values","values":['
_TAIL: Final = b"]}"


class TooManyTags(Exception):
    """A client asked for more tags than one connection may have."""


class Client:
    """One connection. What it has not been sent yet is at most one value a tag and one notice a kind, so nothing piles up."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self.tags: set[str] = set()
        self.branches: set[str] = set()
        self.every = DEFAULT_EVERY
        self.wake = asyncio.Event()
        # in the order of arrival; a dict because a set has none
        self._pending: dict[str, None] = {}
        self._notices: dict[str, bytes] = {}

    def value_changed(self, tag: str) -> None:
        """Remember that the tag's newest value was not sent yet."""
        self._pending[tag] = None
        self.wake.set()

    def notice(self, kind: str, frame: bytes) -> None:
        """Queue a whole frame; a newer one of its kind takes its place."""
        self._notices[kind] = frame
        self.wake.set()

    def forget(self, tag: str) -> None:
        """Drop what is queued of a tag."""
        self._pending.pop(tag, None)

    def take(self) -> Iterator[tuple[bytes, int]]:
        """Yield the frames to send now and how many values each holds. What changes meanwhile is queued anew."""
        self.wake.clear()
        notices, self._notices = self._notices, {}
        for frame in notices.values():
            yield frame, 0
        while self._pending:
            tags = list(self._pending)[:FRAME_VALUES]
            for tag in tags:
                del self._pending[tag]
            cache = self._hub.cache
            yield _HEAD + b",".join([cache.encoded(tag) for tag in tags]) + _TAIL, len(tags)


class Hub:
    """Joins the cache and the clients. Used by the event loop's thread only."""

    def __init__(self, cache: LiveCache) -> None:
        self.cache = cache
        self.clients: set[Client] = set()
        self._by_tag: dict[str, set[Client]] = {}
        self._notices: dict[str, bytes] = {}

    def join(self) -> Client:
        """Return a new client, which is told at once what was last announced."""
        client = Client(self)
        self.clients.add(client)
        for kind, frame in self._notices.items():
            client.notice(kind, frame)
        return client

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self.clients.discard(client)
        self._release(client, client.tags)
        client.tags, client.branches = set(), set()

    def subscribe(self, client: Client, tags: Iterable[str]) -> None:
        """Tell a client of these tags from now on, beginning with what they are now. Raises TooManyTags; then nothing changed."""
        fresh = set(tags) - client.tags
        if len(client.tags) + len(fresh) > MAX_TAGS:
            raise TooManyTags(f"{MAX_TAGS} tags are the most that one connection may have")
        client.tags |= fresh
        for tag in fresh:
            self._by_tag.setdefault(tag, set()).add(client)
            if tag in self.cache:
                client.value_changed(tag)

    def follow(self, client: Client, branch: str) -> None:
        """Subscribe to every tag below a path, also to those that appear later. Raises TooManyTags."""
        self.subscribe(client, [value.tag for value in self.cache.under(branch)])
        client.branches.add(branch)

    def unsubscribe(self, client: Client, tags: Iterable[str]) -> None:
        """Tell a client no longer of these tags."""
        gone = client.tags.intersection(tags)
        client.tags -= gone
        self._release(client, gone)

    def unfollow(self, client: Client, branch: str) -> None:
        """Tell a client no longer of what is below a path."""
        client.branches.discard(branch)
        self.unsubscribe(client, [tag for tag in client.tags if is_under(tag, branch)])

    def put(self, values: Iterable[LiveValue], *, from_history: bool = False) -> None:
        """Take over new values and queue them for whoever wants them."""
        values = list(values)
        fresh = [value.tag for value in values if value.tag not in self.cache]
        changed = self.cache.fill(values) if from_history else self.cache.put(values)
        for tag in fresh:
            self._introduce(tag)
        for tag in changed:
            for client in self._by_tag.get(tag, ()):
                client.value_changed(tag)

    def announce(self, kind: str, frame: bytes) -> None:
        """Queue a frame for everybody, and for those who join later until a newer one of its kind."""
        self._notices[kind] = frame
        for client in self.clients:
            client.notice(kind, frame)

    def _introduce(self, tag: str) -> None:
        for client in self.clients:
            if len(client.tags) < MAX_TAGS and any(is_under(tag, branch) for branch in client.branches):
                client.tags.add(tag)
                self._by_tag.setdefault(tag, set()).add(client)

    def _release(self, client: Client, tags: Iterable[str]) -> None:
        for tag in tags:
            client.forget(tag)
            wanting = self._by_tag.get(tag)
            if wanting is not None:
                wanting.discard(client)
                if not wanting:
                    del self._by_tag[tag]
