"""The routes: the page, what it needs, and POST /predict.

    GET  /                  the page
    GET  /network           what answers: name, axis, wavelength, space groups
    POST /predict?name=F    body: the bytes of a file; answer: what `xrdtrain predict F --json` prints
         &wavelength= &axis= &columns= &scan= &range= &zero_shift= &background= &prior= &top=
         &patterns=1        with what was measured and what the network saw, for drawing

One file a request; a refusal is an answer with `error`, as on the command line, and status 422.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from xrdcommon.errors import InputError, XrdError
from xrdcommon.json_values import json_ready

from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.options import predict_options
from xrdtrain.inference.predict import Prediction, PredictOptions, predict
from xrdtrain.serve.limits import Guard, TooLargeError, read_upload

STATIC = Path(__file__).parent / "static"
Curve = NDArray[np.floating[Any]]

MOST_POINTS = 4000
"""Points of a drawn curve; longer ones are thinned, keeping the highest of every few."""

POLICY = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'"
"""What the page may load: nothing from elsewhere."""


def make_app(answerer: Answerer, names: list[str], hosts: set[str], most_bytes: int) -> Starlette:
    """Return the application.

    Args:
        answerer: the networks.
        names: of the networks, for people.
        hosts: names that the server answers for.
        most_bytes: largest upload.

    """

    async def page(_: Request) -> Response:
        return FileResponse(STATIC / "page.html", headers={"Content-Security-Policy": POLICY})

    async def network(_: Request) -> Response:
        first = answerer.measurements[0]
        return JSONResponse(
            {
                "names": names,
                "axis": str(first.grid),
                "wavelength": first.wavelength,
                "classes": answerer.groups.tolist(),
                "most_bytes": most_bytes,
            }
        )

    async def answer(request: Request) -> Response:
        query = dict(request.query_params)
        name = safe_name(query.pop("name", "pattern.xy"))
        try:
            with_patterns = query.pop("patterns", "0") == "1"
            top = _top(query.pop("top", "10"))
            options = options_of(query, keep_patterns=with_patterns)
            content = await read_upload(request, most_bytes)
        except TooLargeError:
            what = f"{name}: larger than {most_bytes / 1e6:g} MB; start the server with a larger --max-upload"
            # closed, so that the rest is not read
            answered = [{"file": name, "candidates": [], "error": what}]
            return JSONResponse(answered, status_code=413, headers={"Connection": "close"})
        except XrdError as error:
            return _refused(name, error)
        item = await run_in_threadpool(answer_file, answerer, name, content, options)
        result = item.to_dict(top)
        if with_patterns:
            result["patterns"] = drawn(item)
        return JSONResponse([json_ready(result)], status_code=422 if item.error is not None else 200)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/network", network),
            Route("/predict", answer, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, hosts=hosts)],
    )


def _refused(name: str, error: XrdError) -> JSONResponse:
    """Answer a request that cannot be carried out."""
    return JSONResponse([{"file": name, "candidates": [], "error": " ".join(str(error).split())}], status_code=422)


def safe_name(name: str) -> str:
    """Return the last part of a file's name, with nothing in it that a file system could take amiss."""
    last = re.split(r"[\\/]", name)[-1]
    return re.sub(r"[^\w. ()+-]", "_", last)[-120:].lstrip(".") or "pattern.xy"


def options_of(query: dict[str, str], *, keep_patterns: bool) -> PredictOptions:
    """Return the options that a query names; those of `xrdtrain predict`.

    Raises:
        InputError: an option that is not known, or a wrong value.

    """
    query = {key: value.strip() for key, value in query.items() if value.strip()}
    known: dict[str, Callable[[str], Any]] = {
        "prior": _prior,
        "wavelength": str,
        "axis": str,
        "columns": str,
        "scan": _whole,
        "range": _range,
        "zero_shift": _number,
        "background": str,
    }
    for key in query:
        if key not in known:
            raise InputError(f"'{key}' is no option; known: {', '.join(known)}")
    values = {("two_theta_range" if key == "range" else key): known[key](value) for key, value in query.items()}
    return predict_options(**values, keep_patterns=keep_patterns)


def _prior(text: str) -> str:
    """Return the name of a prior; files of the server are not read for a page."""
    if text not in ("trained", "uniform", "minerals"):
        raise InputError(f"prior '{text}': give trained, uniform or minerals")
    return text


def _whole(text: str) -> int:
    """Return a whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"'{text}': give a whole number from 1")
    return int(text)


def _top(text: str) -> int:
    """Return how many candidates are asked for."""
    return min(_whole(text), 230)


def _number(text: str) -> float:
    """Return a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"'{text}': give a number")
    return value


def _range(text: str) -> tuple[float, float]:
    """Return two angles: 10-70 or 10,70."""
    words = text.replace(",", " ").replace("-", " ").replace(":", " ").split()
    if len(words) != 2:
        raise InputError(f"range '{text}': give two angles in degrees 2theta, such as 10-70")
    return _number(words[0]), _number(words[1])


def answer_file(answerer: Answerer, name: str, content: bytes, options: PredictOptions) -> Prediction:
    """Answer for one uploaded file."""
    with tempfile.TemporaryDirectory(prefix="xrdtrain-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            item = next(iter(predict(answerer, [path], options)))
        except XrdError as error:
            return Prediction(name, error=InputError(_without(str(error), folder)))
    refusal = None if item.error is None else InputError(_without(str(item.error), folder))
    remarks = tuple(_without(remark, folder) for remark in item.remarks)
    return Prediction(
        name, item.candidates, item.radiation, remarks, item.doubts, refusal, item.measured, item.prepared
    )


def _without(text: str, folder: str) -> str:
    """Return a message without the name of the folder that the upload lay in."""
    return text.replace(f"{folder}/", "")


def drawn(item: Prediction) -> dict[str, Any]:
    """Return the curves of a prediction: as measured, the background, what the network saw and where."""
    if item.measured is None or item.prepared is None:
        return {}
    measured, prepared = item.measured, item.prepared
    angular = len(measured.two_theta) > 0
    x = measured.two_theta if angular else 4.0 * np.pi * measured.s
    same = prepared.background is not None and len(prepared.background) == len(x)
    curves = [measured.intensity] + ([prepared.background] if same and prepared.background is not None else [])
    thin_x, thin = thinned(x, curves)
    seen_x, seen = thinned(prepared.axis, [prepared.values])
    places = np.searchsorted(prepared.axis, seen_x).clip(max=len(prepared.axis) - 1)
    return {
        "measured": {
            "axis": "2theta" if angular else "Q",
            "x": thin_x.tolist(),
            "intensity": thin[0].tolist(),
            "background": thin[1].tolist() if len(thin) > 1 else None,
        },
        "seen": {
            "x": seen_x.tolist(),
            "intensity": seen[0].tolist(),
            "measured": prepared.mask[places].astype(int).tolist(),
        },
    }


def thinned(x: Curve, curves: Sequence[Curve]) -> tuple[Curve, Sequence[Curve]]:
    """Return at most about `MOST_POINTS` points: of every few the one where the first curve is highest."""
    step = -(-len(x) // MOST_POINTS)
    if step <= 1:
        return x, curves
    starts = np.arange(0, len(x), step)
    chosen = np.array([start + int(np.argmax(curves[0][start : start + step])) for start in starts])
    return x[chosen], [curve[chosen] for curve in curves]
