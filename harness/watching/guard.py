"""Who is answered: whoever knows the token, by this machine's own name, from our own pages, and only to read."""

from __future__ import annotations

import hmac
import re
from email.message import Message
from http import HTTPStatus
from typing import NamedTuple

from freewalk.results.report.page import SCRIPT_HASH

METHODS = ("GET", "HEAD")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""What every answer says: it is for this origin alone and kept nowhere, and the address with its token stays here."""

_NOTHING_ELSE = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
NO_PAGE = f"default-src 'none'; {_NOTHING_ELSE}"
"""Policy of what is no page."""
REPORT = f"default-src 'none'; style-src 'unsafe-inline'; script-src '{SCRIPT_HASH}'; img-src data:; {_NOTHING_ELSE}"
"""Policy of a report as a file: the one that it has in itself, and no frame around it."""


class Refusal(NamedTuple):
    """An answer that shows nothing."""

    status: HTTPStatus
    text: str


_FORBIDDEN = HTTPStatus.FORBIDDEN


def live_policy(nonce: str) -> str:
    """Return the policy of a page that asks again: its own style and script, the report's script, this server.

    Attributes may say how things look, as those of plots do; elements need the nonce.
    """
    return (
        f"default-src 'none'; style-src-elem 'nonce-{nonce}'; style-src-attr 'unsafe-inline'; "
        f"script-src 'nonce-{nonce}' '{SCRIPT_HASH}'; connect-src 'self'; img-src data: 'self'; {_NOTHING_ELSE}"
    )


def refusal(method: str, path: str, headers: Message, *, token: str, port: int) -> Refusal | None:
    """Return why a request is refused; None for one that may be answered.

    Parameters
    ----------
    method, path, headers
        Of the request; the path as it came.
    token : str
        What the path has to begin with.
    port : int
        Where the server listens.
    """
    hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
    # A name of somebody else's that was made to mean this machine is still in the header.
    given = headers.get_all("Host") or []
    if len(given) != 1 or given[0].strip().lower() not in hosts:
        return Refusal(_FORBIDDEN, f"ask for 127.0.0.1:{port}")
    # Browsers say so when another page asks, for whatever it is to be used.
    origins = headers.get_all("Origin") or []
    if any(origin not in [f"http://{host}" for host in hosts] for origin in origins):
        return Refusal(_FORBIDDEN, "other pages are not answered")
    if any(site not in ("none", "same-origin") for site in headers.get_all("Sec-Fetch-Site") or []):
        return Refusal(_FORBIDDEN, "other pages are not answered; paste the address into the browser")
    said = re.match(r"/([^/?#]*)", path)
    if said is None or not hmac.compare_digest(said[1].encode("utf-8", "replace"), token.encode()):
        return Refusal(_FORBIDDEN, "the address lacks its token: take the one that harness watch prints")
    if method not in METHODS:
        return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "there is only something to read")
    return None
