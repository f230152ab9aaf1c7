"""`xrdtrain serve`: load the networks, open the port, tell where the page is."""

from __future__ import annotations

import socket
import webbrowser
from collections.abc import Sequence

from xrdcommon import console
from xrdcommon.errors import InputError

from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.networks import DEFAULT, open_network
from xrdtrain.serve.limits import allowed_hosts

MIN_UPLOAD, MAX_UPLOAD = 1_000, 2_000_000_000


def serve(
    names: Sequence[str],
    *,
    host: str,
    port: int,
    more_hosts: Sequence[str] = (),
    most_bytes: int,
    open_browser: bool = False,
) -> None:
    """Answer until stopped.

    Args:
        names: networks; none: the one for measured patterns that comes with the package.
        host: address to listen on.
        port: to listen on; 0 takes a free one.
        more_hosts: further names that the server is reached by (a proxy's).
        most_bytes: largest upload.
        open_browser: show the page.

    Raises:
        InputError: no such address, the port is in use, or the extra packages are missing.
        MissingFileError, FormatError: a network cannot be loaded.

    """
    try:
        import uvicorn

        from xrdtrain.serve.app import make_app
    except ModuleNotFoundError as error:
        raise InputError(
            f"xrdtrain serve needs {error.name}, which is not installed: pip install 'xrdstream[serve]'"
        ) from error
    if not MIN_UPLOAD <= most_bytes <= MAX_UPLOAD:
        raise InputError(f"--max-upload {most_bytes} bytes: must be {MIN_UPLOAD} to {MAX_UPLOAD}")
    chosen = list(names) or [DEFAULT]
    answerer = Answerer([open_network(name) for name in chosen])
    listening = _listen(host, port)
    place, number = listening.getsockname()[:2]
    shown = f"[{place}]" if ":" in place else place
    app = make_app(answerer, chosen, allowed_hosts(host) | set(more_hosts), most_bytes)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=3)
    console.say(f"answering with {', '.join(chosen)} at http://{shown}:{number}/ (Ctrl-C ends it)")
    if open_browser:
        webbrowser.open(f"http://{shown}:{number}/")
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        InputError: no such address, or the port is in use.

    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: must be 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; take another --port (0: any free one)"
        ) from error
    return listening
