"""Real receivers on loopback that record what came and misbehave when told to."""

import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec


@dataclass
class Post:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])


@dataclass
class HttpReceiver:
    """Records every POST.

    Attributes:
        posts: what came and was answered with success.
        attempts: everything that came.
        script: what to do with the next ones: a status, (status, headers), 'reset', 'hang' or 'trickle'; 200 when it is empty.
        up: False answers everything with 503.
        body: of every answer.
        taking: called with each request that came, before it is answered; False: it is lost with the receiver, unanswered.
    """

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    attempts: list[Post] = field(default_factory=list)
    script: deque[int | tuple[int, dict[str, str]] | str] = field(default_factory=deque)
    taking: Callable[[Post], bool] | None = None
    up: bool = True
    body: bytes = b"ok"
    released: threading.Event = field(default_factory=threading.Event)


def _handler(receiver: HttpReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            post = Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            receiver.attempts.append(post)
            if receiver.taking is not None and not receiver.taking(post):
                self.close_connection = True
                return
            act = 503 if not receiver.up else receiver.script.popleft() if receiver.script else 200
            if act == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return
            if act in ("hang", "trickle"):
                self._stall(trickle=act == "trickle")
                return
            status, headers = act if isinstance(act, tuple) else (int(act), {})
            if 200 <= status < 300:
                receiver.posts.append(post)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(receiver.body)))
            self.end_headers()
            self.wfile.write(receiver.body)

        def _stall(self, *, trickle: bool) -> None:
            self.close_connection = True
            while not receiver.released.wait(0.05):
                if trickle:
                    try:
                        self.wfile.write(b"H")
                    except OSError:
                        return

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Keep quiet."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is what some tests are about."""


@contextmanager
def http_receiver(certificate: tuple[Path, Path] | None = None) -> Iterator[HttpReceiver]:
    """Run one; with a certificate and its key (PEM) it speaks TLS."""
    receiver = HttpReceiver()
    with _Server(("127.0.0.1", 0), _handler(receiver)) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        receiver.url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_address[1]}/hook"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.released.set()
            server.shutdown()
            thread.join()
