"""A web server for one user on this machine.

It listens on 127.0.0.1 only. A request needs the token in the URL that the command prints, which other users
and web pages do not know, and a Host header of this machine: with a name that an attacker's DNS points here,
a foreign page would count as the same origin.
"""

import hmac
import json
import logging
import queue
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from compare_gan.core import csp
from compare_gan.core.errors import UserError, reason
from compare_gan.core.limits import THREAD
from compare_gan.explore.views import VIEWS, Explorer
from compare_gan.report.shell import asset

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")
MAX_WAITING = 16  # requests
MAX_PARAMETERS = 20
TIMEOUT_S = 30  # of a connection that sends nothing
CLOSE_S = 2
SEARCH = "nearest"  # the view that may take long, for which others do not wait


def own(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def page() -> tuple[bytes, str]:
    """The page, and its policy: it runs its own script, and gets data from this server only."""
    style, script = asset("style.css") + own("page.css"), own("page.js")
    html = own("page.html").replace("{style}", style).replace("{script}", script)
    policy = (
        f"default-src 'none'; img-src data:; style-src {csp.source(style)}; script-src {csp.source(script)}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html.encode(), policy


class Worker:
    """A thread that does one call after the other, in the order in which they come."""

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[Future, Callable[[], Any]] | None] = queue.Queue()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def result(self, call: Callable[[], Any]) -> Any:
        """The result of a call, or its exception."""
        future: Future = Future()
        self.calls.put((future, call))
        return future.result()

    def close(self) -> None:
        """Ends the thread. If its call takes long, the process ends without it, see `limits.is_stuck`."""
        self.calls.put(None)
        self.thread.join(CLOSE_S)
        if self.thread.is_alive():
            self.thread.name = THREAD

    def _run(self) -> None:
        while (item := self.calls.get()) is not None:
            future, call = item
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)


class Server(ThreadingHTTPServer):
    """Answers requests for one explorer; images are generated in the order of the requests."""

    daemon_threads = True

    def __init__(self, explorer: Explorer, port: int):
        """Starts to listen.

        Args:
          explorer: the generator.
          port: 0: any free port.

        Raises:
          UserError: the port is in use or not allowed.
        """
        self.explorer = explorer
        self.token = secrets.token_urlsafe(24)
        self.page, self.policy = page()
        self.waiting = threading.BoundedSemaphore(MAX_WAITING)
        self.drawing, self.searching = Worker(), Worker()
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            raise UserError(
                f"--port {port}: {error.strerror}; choose another port, or 0 for any free one"
            ) from None

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/?token={self.token}"

    def compute(self, view: str, parameters: dict[str, str]) -> dict[str, Any]:
        """The result of a view, after those of earlier requests."""
        worker = self.searching if view == SEARCH else self.drawing
        return worker.result(lambda: VIEWS[view](self.explorer, parameters))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A closed connection is no error."""

    def server_close(self) -> None:
        super().server_close()
        for worker in (self.drawing, self.searching):
            worker.close()


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = TIMEOUT_S
    server_version, sys_version = "compare_gan", ""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        try:
            parameters = dict(parse_qsl(url.query, max_num_fields=MAX_PARAMETERS))
        except ValueError:
            return self.refuse(HTTPStatus.BAD_REQUEST, "too many parameters")
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in HOSTS:
            return self.refuse(HTTPStatus.FORBIDDEN, "this server answers this machine only")
        token = parameters.pop("token", "")
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            return self.refuse(HTTPStatus.FORBIDDEN, "open the URL that compare-gan explore printed")
        if url.path == "/":
            return self.answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
        if url.path[1:] not in VIEWS:
            return self.refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        if not self.server.waiting.acquire(blocking=False):
            return self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests; wait for the earlier ones")
        try:
            value = self.server.compute(url.path[1:], parameters)
        except UserError as error:
            return self.refuse(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:  # of the device, such as a lack of memory
            log.warning("%s failed: %s", url.path, error)
            return self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"failed ({reason(error, 200)})")
        finally:
            self.server.waiting.release()
        self.answer(HTTPStatus.OK, "application/json", json.dumps(value).encode())

    def refuse(self, status: HTTPStatus, why: str) -> None:
        self.answer(status, "application/json", json.dumps({"error": why}).encode())

    def answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": self.server.policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: their URLs contain the token."""
