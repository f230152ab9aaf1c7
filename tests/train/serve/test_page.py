"""`xrdtrain serve` as a running server, asked by HTTP and through a real browser."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect
from xrdtrain.fitting.fit import FitRequest, fit
from xrdtrain.inference.classifier import Precision

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MOST = 2_000_000


@dataclass(frozen=True)
class Server:
    """A running `xrdtrain serve`."""

    url: str
    run: Path

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """Return status and JSON of a request."""
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, make_fixed_set_in: Any) -> Iterator[Server]:
    """A page for a small network that has seen a few patterns."""
    folder = tmp_path_factory.mktemp("serve")
    real = make_fixed_set_in(folder)
    request = FitRequest(
        source=real, run=folder / "run", model="patch-resnet", tests=("none",), samples=128, batch=16,
        precision=Precision.FP32,
    )  # fmt: skip
    fit(request)
    log = folder / "serve.log"
    command = [str(Path(sys.executable).with_name("xrdtrain")), "serve", str(folder / "run"), "--port", "0"]
    with log.open("wb") as stream:
        process = subprocess.Popen([*command, "--max-upload", str(MOST)], stdout=stream, stderr=stream)
    end = time.monotonic() + 120.0
    while not (found := re.search(r"http://[\d.]+:\d+", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    yield Server(found[0], folder / "run")
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def pattern() -> bytes:
    """Two columns with some lines."""
    angles = np.arange(10.0, 60.0, 0.05)
    intensity = sum(
        height * np.exp(-(((angles - at) / 0.1) ** 2)) for at, height in ((20, 900), (31.5, 400), (44, 250))
    )
    lines = [f"{angle:.2f} {value:.1f}" for angle, value in zip(angles, np.asarray(intensity) + 20.0, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def test_it_answers_as_predict_does(server: Server, pattern: bytes, tmp_path: Path, run_command: Any) -> None:
    (tmp_path / "my pattern.xy").write_bytes(pattern)
    options = ("--wavelength", "CuKa", "--prior", "uniform", "--range", "12", "58", "--json")
    done = run_command("xrdtrain", "predict", server.run, tmp_path / "my pattern.xy", *options, timeout=300.0)
    expected = json.loads(done.stdout)
    query = "name=my%20pattern.xy&wavelength=CuKa&prior=uniform&range=12-58&top=5"
    status, answer = server.ask(f"/predict?{query}", pattern)
    assert (status, done.returncode) == (200, 0), (answer, done.stderr)
    assert answer[0].pop("file") == "my pattern.xy"
    expected[0].pop("file")
    for ours, theirs in zip(answer[0]["candidates"], expected[0]["candidates"], strict=False):
        assert ours["space_group"] == theirs["space_group"]
        assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-6)
    assert answer[0]["wavelength"] == expected[0]["wavelength"]
    assert answer[0]["remarks"] == [remark.replace(f"{tmp_path}/", "") for remark in expected[0]["remarks"]]


@pytest.mark.parametrize(
    ("query", "body", "status", "message"),
    [
        ("name=a.xy", b"\x89PNG\r\n" + b"0" * 500, 422, "a.xy"),
        ("name=a.xy", b"", 422, "a.xy"),
        ("name=a.xy&wavelength=UnKa", b"1 2\n", 422, "UnKa"),
        ("name=a.xy&colour=red", b"1 2\n", 422, "'colour' is no option"),
        ("name=a.xy&prior=/etc/passwd", b"1 2\n", 422, "give trained, uniform or minerals"),
        ("name=a.xy&range=60", b"1 2\n", 422, "two angles"),
        ("name=..%2F..%2Fetc%2Fpasswd", b"nothing\n", 422, "passwd"),
        ("name=a.xy&top=none", b"1 2\n", 422, "whole number"),
    ],
)
def test_junk_is_answered(server: Server, query: str, body: bytes, status: int, message: str) -> None:
    found, answer = server.ask(f"/predict?{query}", body)
    assert found == status, answer
    assert message in answer[0]["error"]
    assert answer[0]["candidates"] == []
    assert "/tmp" not in answer[0]["error"]
    assert server.ask("/network")[0] == 200  # still there


def test_an_upload_beyond_the_limit_is_refused_while_it_comes(server: Server) -> None:
    """A gigabyte is announced, sent in chunks without a length; the server stops reading after its limit."""
    status, answer = server.ask("/predict?name=big.xy", b"1 2\n" * (MOST // 4 + 1000))
    assert (status, answer[0]["error"][:27]) == (413, "big.xy: larger than 2 MB; s")
    host, port = server.url.removeprefix("http://").split(":")
    sent = 0
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /predict?name=big.xy HTTP/1.1\r\nHost: {host}:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        chunk = b"10000\r\n" + b"1" * 0x10000 + b"\r\n"
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 1_000_000_000:
                connection.sendall(chunk)
                sent += 0x10000
    assert sent < 200_000_000
    assert server.ask("/network")[0] == 200


def test_other_hosts_and_other_sites_are_refused(server: Server, pattern: bytes) -> None:
    port = server.url.rsplit(":", 1)[1]
    status, answer = server.ask("/network", Host="evil.example")
    assert (status, "evil.example" in answer["error"]) == (403, True)
    status, _ = server.ask("/predict?name=a.xy", pattern, Origin="http://evil.example")
    assert status == 403
    assert server.ask("/network", Host=f"localhost:{port}")[0] == 200
    assert server.ask("/predict?name=a.xy", pattern, Origin=server.url)[0] == 200


def test_the_page_asks_nobody_else(server: Server) -> None:
    with urllib.request.urlopen(server.url + "/") as response:
        page, policy = response.read().decode(), response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert not re.search(r'(src|href)="(?!/static/)', page)


def test_a_port_in_use_is_named(server: Server, run_command: Any) -> None:
    port = server.url.rsplit(":", 1)[1]
    done = run_command("xrdtrain", "serve", server.run, "--port", port)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in done.stderr
    assert "Traceback" not in done.stderr


class Browser:
    """A headless Chromium that is spoken to over its debugging socket."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection, self._number = connection, 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        await self._connection.write_message(json.dumps(message))
        while True:
            answer = await self._connection.read_message()
            assert answer is not None, "the browser went away"
            content = json.loads(answer)
            if content.get("id") == self._number:
                assert "error" not in content, content
                return dict(content["result"])

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def wait(self, condition: str, seconds: float = 60.0) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not await self.evaluate(condition):
            assert time.monotonic() < end, condition
            await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_in_a_browser_files_are_dropped_and_answered(server: Server, pattern: bytes, tmp_path: Path) -> None:
    (tmp_path / "good.xy").write_bytes(pattern)
    (tmp_path / "junk.xy").write_bytes(b"\x89PNG" + b"0" * 400)
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
        "--remote-allow-origins=*", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=400,900", "about:blank",
    ]  # fmt: skip
    with (tmp_path / "chromium.log").open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        end = time.monotonic() + 60.0
        while not (found := re.search(r"ws://\S+:(\d+)/", (tmp_path / "chromium.log").read_text(errors="replace"))):
            if process.poll() is not None or time.monotonic() > end:
                pytest.skip("chromium does not start here")
            time.sleep(0.1)
        asyncio.run(_drop_files(int(found[1]), server, tmp_path))
    finally:
        process.kill()
        process.wait()


async def _drop_files(port: int, server: Server, folder: Path) -> None:
    """Speak to the browser's page."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as response:
        target = next(item for item in json.loads(response.read()) if item["type"] == "page")
    connection = await websocket_connect(target["webSocketDebuggerUrl"], max_message_size=50_000_000)
    try:
        await _use_page(Browser(connection), server, folder)
    finally:
        connection.close()


async def _use_page(browser: Browser, server: Server, folder: Path) -> None:
    """Choose two files, look at what the page shows, change an option, save the answer."""
    await browser.call("Page.enable")
    await browser.call("Page.navigate", url=server.url + "/")
    await browser.wait("document.getElementById('network')?.textContent.includes('space groups')")
    root = (await browser.call("DOM.getDocument"))["root"]["nodeId"]
    field = (await browser.call("DOM.querySelector", nodeId=root, selector="#files"))["nodeId"]
    files = [str(folder / name) for name in ("good.xy", "junk.xy")]
    await browser.call("DOM.setFileInputFiles", nodeId=field, files=files)
    await browser.wait("results.length === 2 && results.every((item) => item.answer)")
    rows = await browser.evaluate("document.querySelectorAll('#candidates tbody tr').length")
    first = await browser.evaluate("document.querySelector('#candidates tbody tr').textContent")
    assert rows >= 2
    assert re.search(r"\d.*\d\.\d %", first)
    assert await browser.evaluate("document.querySelectorAll('.u-wrap canvas').length") == 2
    assert "wavelength 1.5" in await browser.evaluate("document.getElementById('remarks').textContent")
    assert await browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    await browser.evaluate("results[1].answer && show(results[1])")
    assert "picture" in await browser.evaluate("document.getElementById('error').textContent")
    await browser.evaluate("show(results[0])")
    await browser.evaluate(
        "document.querySelector('[name=wavelength]').value = 'MoKa', "
        "document.querySelector('[name=wavelength]').dispatchEvent(new Event('change', {bubbles: true}))"
    )
    await browser.wait("results[0].answer && results[0].answer.wavelength < 1")
    saved = await browser.evaluate(
        "new Promise((done) => { URL.createObjectURL = (blob) => { blob.text().then(done); return 'blob:x'; };"
        "HTMLAnchorElement.prototype.click = function () {}; document.querySelector('[data-save=json]').onclick(); })"
    )
    assert json.loads(saved)[0]["candidates"]
    picture = await browser.call("Page.captureScreenshot", format="png")
    (folder / "page.png").write_bytes(base64.b64decode(picture["data"]))
    assert (folder / "page.png").stat().st_size > 10_000
