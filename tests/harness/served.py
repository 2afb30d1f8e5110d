"""A server of `harness watch` in this process, and requests to it."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freewalk.harness.watching.pages import Pages
from freewalk.harness.watching.server import Server
from freewalk.harness.watching.views import Views

SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str


class Served:
    """A folder that is served."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.url, self.port, self.root = server.url, server.server_port, f"/{server.token}/"

    def ask(self, path: str = "", method: str = "GET", *, rooted: bool = True, **headers: str | None) -> Answer:
        """Ask for a path below the address, or for one as it is; headers with _ for -, None for one left out."""
        given: dict[str, str | None] = {"Host": f"127.0.0.1:{self.port}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.putrequest(method, self.root + path if rooted else path, skip_host=True)
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders()
            found = connection.getresponse()
            return Answer(found.status, dict(found.getheaders()), found.read().decode())
        finally:
            connection.close()

    def state(self, place: str = "") -> dict[str, Any]:
        """Return what a page is told."""
        answer = self.ask(f"{place}state")
        assert answer.status == 200, answer.text
        found: dict[str, Any] = json.loads(answer.text)
        return found

    def version_after(self, old: str, place: str = "") -> str:
        """Wait for another version of a page than an old one, and return it."""
        deadline = time.monotonic() + SECONDS
        while (version := self.state(place)["version"]) in ("", old):
            assert time.monotonic() < deadline, "no other version"
            time.sleep(0.02)
        return str(version)


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Serve a folder while the block runs, as quickly as pages can be made."""
    pages = Pages(seconds_between=0.1, share=0.0)
    with Server(Views(folder, pages)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield Served(server)
        finally:
            server.shutdown()
            thread.join()
            pages.close()
