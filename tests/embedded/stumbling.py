"""An Airflow that fails once: what stands in front of a real one."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener


class Stumbling(ThreadingHTTPServer):
    """Passes requests on to Airflow, but for the first to start a run, which it answers as Airflow
    does when its database was locked all the time."""

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), PassedOn)
        self.url, self.refused = url, 0

    def __enter__(self) -> Stumbling:
        threading.Thread(target=self.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class PassedOn(BaseHTTPRequestHandler):
    """One request."""

    server: Stumbling

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/dagRuns") and not self.server.refused:
            self.server.refused += 1
            self.send_error(500)
        else:
            self._answer(body)

    def _answer(self, body: bytes | None) -> None:
        asked = Request(
            self.server.url + self.path, data=body, headers=dict(self.headers), method=self.command
        )
        with build_opener(ProxyHandler({})).open(asked) as answer:
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(answer.read())

    def log_message(self, *said: Any) -> None:
        """Say nothing."""
