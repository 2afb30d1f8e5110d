"""The server: on this machine's own address alone, one thread for each request, nothing written anywhere."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from freewalk.harness.base.errors import one_line
from freewalk.harness.watching import guard
from freewalk.harness.watching.view import View
from freewalk.harness.watching.views import Views

ADDRESS = "127.0.0.1"
_PATIENCE_SECONDS = 10.0
"""After which a client that says or takes nothing is left."""


class Server(ThreadingHTTPServer):
    """Serves views under a token that nobody can guess.

    Parameters
    ----------
    views
        What there is to see.
    port
        Where to listen; 0 for a free one.

    Raises
    ------
    OSError
        If the port cannot be had.
    """

    daemon_threads = True
    views: Views
    token: str

    def __init__(self, views: Views, port: int = 0) -> None:
        self.views = views
        self.token = secrets.token_urlsafe(24)
        super().__init__((ADDRESS, port), _Handler)

    def server_bind(self) -> None:
        """Bind, and ask no name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.server_address[1]

    @property
    def url(self) -> str:
        """The address with its token."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that broke: its client knows."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = _PATIENCE_SECONDS

    def version_string(self) -> str:
        return "freewalk"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Write nothing: addresses have the token in them."""

    def do_GET(self) -> None:
        refused = guard.refusal(
            self.command, self.path, self.headers, token=self.server.token, port=self.server.server_port
        )
        if refused is not None:
            self._say(*refused)
            return
        try:
            self._show()
        except OSError:
            raise  # the client has left
        except Exception as error:  # whatever it is, it must not end in a traceback, here or there
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, one_line(error))

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Let every method be judged, whatever it is called."""
        if name.startswith("do_"):
            return self.do_GET
        raise AttributeError(name)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request."""
        self._say(HTTPStatus(code), "this request is not understood")

    def _show(self) -> None:
        parts = self.path.partition("?")[0].split("/")[2:]
        if not parts:  # the slash after the token is missing
            self._answer(HTTPStatus.FOUND, "text/plain", b"", guard.NO_PAGE, {"Location": f"/{self.server.token}/"})
            return
        *place, leaf = parts
        view = self.server.views.find(place)
        if view is None or leaf not in ("", "state", "report"):
            self._say(HTTPStatus.NOT_FOUND, "nothing is there; go back to the first page")
        elif leaf == "state":
            self._answer(HTTPStatus.OK, "application/json", json.dumps(view.state()).encode(), guard.NO_PAGE)
        elif leaf == "report":
            self._show_report(view)
        else:
            nonce = secrets.token_urlsafe(16)
            html, version = view.frame(nonce)
            self._answer(HTTPStatus.OK, "text/html", html.encode(), guard.live_policy(nonce), {"ETag": f'"{version}"'})

    def _show_report(self, view: View) -> None:
        page = view.page()
        if page is None:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, "the page is being made; ask again in a moment")
        else:
            self._answer(HTTPStatus.OK, "text/html", page.html, guard.REPORT, {"ETag": f'"{page.version}"'})

    def _say(self, status: HTTPStatus, text: str) -> None:
        allowed = {"Allow": ", ".join(guard.METHODS)} if status == HTTPStatus.METHOD_NOT_ALLOWED else {}
        self._answer(status, "text/plain", f"{text}\n".encode(), guard.NO_PAGE, allowed)

    def _answer(
        self, status: HTTPStatus, kind: str, content: bytes, policy: str, more: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(content)),
            "Content-Security-Policy": policy,
        }
        for name, value in {**headers, **guard.HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
