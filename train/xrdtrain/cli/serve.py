"""The command `xrdtrain serve`."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]", help="Networks that answer together; default embedded:measured.", show_default=False
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every interface.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8470,
    name: Annotated[
        list[str] | None,
        typer.Option(help="A name by which other machines reach this one; repeatable.", show_default=False),
    ] = None,
    max_upload: Annotated[str, typer.Option(help="Largest file that is taken.")] = "64MB",
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Open a page on this machine to drop diffractograms on: it answers as `xrdtrain predict` does.

    The page shows the pattern, what the network saw of it, and the ranked space groups; wavelength, range, background
    and prior can be changed. POST /predict gives what `xrdtrain predict --json` prints. Nothing leaves this machine.

    \b
    Examples:
      xrdtrain serve --open
      xrdtrain serve runs/mine --port 9000
      curl --data-binary @scan.xrdml 'http://127.0.0.1:8470/predict?name=scan.xrdml'
    """
    from xrdcommon.spool.backlog import parse_bytes

    from xrdtrain.serve.server import serve as run

    run(
        networks or [],
        host=host,
        port=port,
        more_hosts=name or (),
        most_bytes=parse_bytes(max_upload),
        open_browser=open_browser,
    )
