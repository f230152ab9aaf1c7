"""Who may ask, and how much: the guards in front of the page's routes.

A page on localhost can be reached by every web site that its user visits, so requests must name a host that the server
was started for (against DNS rebinding), and a form sent from another site is refused (its Origin is not ours).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = ("localhost", "127.0.0.1", "::1")


class TooLargeError(Exception):
    """An upload is larger than the server takes."""


class Guard:
    """Refuses requests for another host, and those sent by a page of another site."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may be asked."""
        if scope["type"] == "http":
            request = Request(scope)
            refusal = self._refusal(request)
            if refusal:
                await JSONResponse({"error": refusal}, status_code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> str:
        """Return why a request is refused, or nothing."""
        host = request.headers.get("host", "")
        name = host_name(host)
        if name not in self._hosts:
            return f"host '{name}' is not one this server answers for; open the address that `xrdtrain serve` printed"
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return f"sent by a page of '{origin}', not by this server's own page"
        return ""


def host_name(host: str) -> str:
    """Return the name in a Host header, without its port, in small letters."""
    return (urlsplit(f"//{host}").hostname or "").lower()


def allowed_hosts(address: str) -> set[str]:
    """Return the names that a server listening on an address is reached by.

    An address of one interface is reached by itself; 0.0.0.0 and :: are all of them, whose names only the user knows.
    """
    try:
        everywhere = ipaddress.ip_address(address).is_unspecified
    except ValueError:
        everywhere = False
    return {*LOCAL} if everywhere else {*LOCAL, address.lower()}


async def read_upload(request: Request, limit: int) -> bytes:
    """Read a request's body, counting bytes: what it says of its length is not believed.

    Raises:
        TooLargeError: more than the limit.

    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLargeError
        parts.append(part)
    return b"".join(parts)
