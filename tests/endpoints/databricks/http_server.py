"""The endpoint's front: Thrift and REST over HTTP, signing in, files of results, and the tests' own
control."""

from __future__ import annotations

import base64
import json
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from pyspark.sql import SparkSession

from tests.endpoints.databricks.engine import Engine
from tests.endpoints.databricks.faults import Dropped, Fault, Faults, Refused
from tests.endpoints.databricks.rest_service import RestService
from tests.endpoints.databricks.thrift_service import ThriftService

TOKENS = "dapi-of-the-tests"
"""What every token begins with that opens the door."""
CLIENT_ID, CLIENT_SECRET = "principal-of-the-tests", "secret-of-the-tests"
HTTP_PATH = "/sql/1.0/warehouses/tests"


class Server(ThreadingHTTPServer):
    """Listens on a free port of this machine, or on the one given."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, spark: SparkSession, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.engine = Engine(spark)
        self.faults = Faults()
        self.thrift = ThriftService(self.engine, self.faults, self.address)
        self.rest = RestService(self.engine, self.address)
        self.calls: list[tuple[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    server: Server

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        parts = path.strip("/").split("/")
        caller = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if parts[0] == "_control":
            self._json(*self._control(caller, method, parts[1], body))
            return
        self.server.calls.append((caller, f"{method} {path}"))
        if parts[0] == "files":
            self._send(
                200,
                self.server.thrift.file(parts[1], int(parts[2]), int(parts[3])),
                "application/octet-stream",
            )
        elif path == "/oidc/v1/token":
            self._json(*self._sign_in())
        elif not caller.startswith(TOKENS):
            self._refuse(403, "Invalid access token.")
        elif path == HTTP_PATH and method == "POST":
            self._thrift(body, caller)
        elif path.startswith("/api/2.0/sql/"):
            self._json(
                *self.server.rest.answer(
                    caller, method, parts[2:], json.loads(body) if body else {}
                )
            )
        else:
            self._refuse(404, "There is no such warehouse.")

    def _thrift(self, body: bytes, caller: str) -> None:
        try:
            self._send(200, self.server.thrift.answer(body, caller), "application/x-thrift")
        except Dropped:
            self.close_connection = True
            self.connection.shutdown(2)
        except Refused as refused:
            self._refuse(refused.status, refused.message or "")

    def _sign_in(self) -> tuple[int, Any]:
        pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {pair}":
            return 401, {"error": "invalid_client"}
        return 200, {
            "access_token": f"{TOKENS}-{uuid.uuid4()}",
            "token_type": "Bearer",
            "expires_in": 3600,
        }

    def _control(self, caller: str, method: str, what: str, body: bytes) -> tuple[int, Any]:
        """What tests ask and wish for; each caller sees and disturbs its own statements alone."""
        engine, faults = self.server.engine, self.server.faults
        match method, what:
            case "GET", "history":
                return 200, [entry for entry in engine.history if entry["caller"] == caller]
            case "GET", "running":
                running = [one for one in list(engine.operations.values()) if not one.done.is_set()]
                return 200, [one.sql for one in running if one.session.caller == caller]
            case "GET", "recorded":
                return 200, [sql for token, sql in engine.recorded if token == caller]
            case "GET", "calls":
                return 200, [call for token, call in self.server.calls if token == caller]
            case "POST", "faults":
                faults.coming.append(Fault(**json.loads(body), caller=caller))
                return 200, {}
            case "DELETE", "faults":
                faults.coming = [fault for fault in faults.coming if fault.caller != caller]
                return 200, {}
        return 404, {"message": f"no {method} {what}"}

    def _refuse(self, status: int, message: str) -> None:
        self._send(
            status, b"", "text/plain", {"x-databricks-reason-phrase": message} if message else {}
        )

    def _json(self, status: int, content: Any) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(
        self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
