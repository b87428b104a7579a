"""The protocol: logins, queries, results and their chunks over HTTP."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import secrets
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb

from tests.endpoints.snowflake import answers, statements
from tests.endpoints.snowflake.account import VERSION, Account, Query
from tests.endpoints.snowflake.errors import SnowflakeError, unsupported
from tests.endpoints.snowflake.login import user_of
from tests.endpoints.snowflake.session import Session, asked_parameters

HOLD = 20.0
"""Seconds that a query's request is held before the answer is that it is still running."""
Answer = dict[str, Any]


class Gone(Exception):
    """The answer is lost on its way: the connection closes."""


class Unavailable(Exception):
    """The answer is 503."""


class SnowflakeEndpoint:
    """An account that answers at `url`. Use it as a context manager.

    Args:
        path: DuckDB's file, or `:memory:`.
        port: where to listen; 0 takes a free one.
        database: the name of its database.
        wrapped: see `Account`.
    """

    def __init__(
        self,
        path: str = ":memory:",
        *,
        port: int = 0,
        database: str = "PLANE",
        wrapped: Callable[[duckdb.DuckDBPyConnection], Any] = lambda connection: connection,
    ) -> None:
        self.account = Account(path, database, wrapped)
        self.faults, self.recorded = self.account.faults, self.account.recorded
        self.sessions: dict[str, Session] = {}
        self._masters: dict[str, Session] = {}
        self._requests: dict[str, Query] = {}
        self._guard = threading.Lock()
        self._numbers = itertools.count(1001)
        handler = type("Handler", (_Handler,), {"endpoint": self})
        self._server = _Server(("127.0.0.1", port), handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def __enter__(self) -> SnowflakeEndpoint:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.close_all()
        for session in set(self.sessions.values()):
            session.end()
        self.account.close()

    def wait(self) -> None:
        """Serve until the process is stopped."""
        self._thread.join()

    @property
    def history(self) -> list[tuple[str, str]]:
        """Every statement that was run, and its tag."""
        return [(query.text, query.tag) for query in self.account.history]

    def options(self) -> dict[str, Any]:
        """What `connectors.snowflake.signin.connect` takes to log in here."""
        where = {"host": "127.0.0.1", "port": self.port, "protocol": "http", "account": "local"}
        who = {"user": "PLANE", "token": "a-token", "role": "PLANE_ROLE"}
        return {**where, **who, "warehouse": "COMPUTE", "database": self.account.database}

    def end_sessions(self) -> None:
        """End every session; what was not committed is undone."""
        for session in set(self.sessions.values()):
            session.end()
        self.sessions.clear()
        self._masters.clear()

    # What the protocol asks for.

    def log_in(self, asked: Mapping[str, str], given: Mapping[str, Any]) -> Answer:
        user = user_of(self.account, given)
        role = asked.get("roleName", "PLANE_ROLE").upper()
        if role not in self.account.roles:
            text = (
                f"Role '{role}' specified in the connect string does not exist or not authorized."
            )
            raise SnowflakeError(390189, "08001", text)
        database = asked.get("databaseName", self.account.database)
        if database.upper() != self.account.database:
            raise SnowflakeError(
                390201, "08004", "The requested database does not exist or not authorized."
            )
        warehouse = asked.get("warehouse")
        session = Session(
            self.account, next(self._numbers), user, role, warehouse.upper() if warehouse else None
        )
        for name, value in asked_parameters(given.get("SESSION_PARAMETERS")).items():
            session.set_parameter(name, value)
        if session.warehouse not in self.account.warehouses:
            session.warehouse = None
        token, master = self._tokens(session)
        about = {
            "databaseName": session.database,
            "schemaName": session.schema,
            "warehouseName": session.warehouse,
        }
        return answers.success(
            {
                "token": token,
                "masterToken": master,
                "validityInSeconds": 3600,
                "masterValidityInSeconds": 14_400,
                "displayUserName": user,
                "serverVersion": VERSION,
                "firstLogin": False,
                "remMeToken": None,
                "remMeValidityInSeconds": 0,
                "healthCheckInterval": 45,
                "newClientForUpgrade": None,
                "sessionId": session.number,
                "parameters": [
                    {"name": name, "value": value} for name, value in session.parameters.items()
                ],
                "sessionInfo": {**about, "roleName": role},
                "idToken": None,
                "idTokenValidityInSeconds": 0,
                "responseData": None,
                "mfaToken": None,
                "mfaTokenValidityInSeconds": 0,
            }
        )

    def _tokens(self, session: Session) -> tuple[str, str]:
        token, master = secrets.token_hex(16), secrets.token_hex(16)
        with self._guard:
            self.sessions[token] = self._masters[master] = session
        return token, master

    def renew(self, master: str) -> Answer:
        session = self._masters.get(master)
        if session is None or session.ended:
            raise SnowflakeError(
                390114,
                "08001",
                "Authentication token has expired.  The user must authenticate again.",
            )
        token, new_master = self._tokens(session)
        return answers.success(
            {
                "sessionToken": token,
                "validityInSecondsST": 3600,
                "masterToken": new_master,
                "validityInSecondsMT": 14_400,
                "sessionId": session.number,
            }
        )

    def session_of(self, token: str) -> Session:
        session = self.sessions.get(token)
        if session is None or session.ended:
            if any(not other.ended for other in self._masters.values()) and token in self._expired:
                raise SnowflakeError(390112, "08001", "Session token has expired.")
            raise SnowflakeError(390111, "08001", "Session no longer exists.  New login required.")
        return session

    _expired: frozenset[str] = frozenset()

    def query(self, token: str, session: Session, request: str, body: Mapping[str, Any]) -> Answer:
        text, faults = str(body["sqlText"]), self.faults
        if body.get("describeOnly"):
            result = session.guarded(statements.described, text)
            query = Query(str(uuid.uuid4()), text, "", session.user, result=result)
            return answers.outcome(query, session, self.url)
        with self._guard:
            query_ = self._requests.get(request)
            new = query_ is None
            if query_ is None:
                self._before(token, session, text)
                given = asked_parameters(body.get("parameters"))
                tag = str(given.pop("QUERY_TAG", session.parameters["QUERY_TAG"]) or "")
                if given:
                    raise unsupported(f"parameters of a statement: {', '.join(given)}")
                if body.get("bindings"):
                    raise unsupported("bindings")
                query_ = Query(str(uuid.uuid4()), text, tag, session.user)
                self._requests[request] = query_
                self.account.keep(query_)
        if new:
            threading.Thread(target=session.run, args=(query_, statements.run), daemon=True).start()
        if faults.take("drop", text):
            query_.done.wait(HOLD)
            raise Gone
        if body.get("asyncExec"):
            return answers.in_progress(query_, detached=True)
        return self.result(query_, session)

    def _before(self, token: str, session: Session, text: str) -> None:
        if self.faults.take("unavailable", text):
            raise Unavailable
        if self.faults.take("expire", text):
            self.sessions.pop(token, None)
            self._expired |= {token}
            raise SnowflakeError(390112, "08001", "Session token has expired.")
        if self.faults.take("lapse", text):
            session.end()
            raise SnowflakeError(390112, "08001", "Session token has expired.")
        if self.faults.take("end", text):
            session.end()
            raise SnowflakeError(390111, "08001", "Session no longer exists.  New login required.")

    def result(self, query: Query, session: Session) -> Answer:
        if not query.done.wait(HOLD):
            return answers.in_progress(query, detached=False)
        return answers.outcome(query, session, self.url)

    def abort(self, number: str) -> Answer:
        query = self.account.find(number)
        if query is None or query.done.is_set():
            return answers.failure(
                SnowflakeError(605, "02000", "Identified SQL statement is not currently executing.")
            )
        if query.stop is not None:
            query.stop()
        return answers.success()

    def abort_request(self, request: str) -> Answer:
        query = self._requests.get(request)
        return self.abort(query.number if query is not None else "")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_all(self) -> None:
        """Stop listening, and end the connections that clients keep open."""
        self.server_close()
        for request in list(self._open):
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20
    disable_nagle_algorithm = True
    endpoint: SnowflakeEndpoint

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Nothing is written of requests."""

    def do_POST(self) -> None:
        self._answer(self._posted)

    def do_GET(self) -> None:
        if match := re.match(r"/chunks/([^/]+)/(\d+)$", self.path):
            query = self.endpoint.account.find(match[1])
            if query is None:
                self._send(404, b"")
                return
            content = answers.chunk(
                query, int(match[2]), arrays_as_text=self.endpoint.account.arrays_as_text
            )
            self._send(200, content, {"Content-Encoding": "gzip"})
            return
        self._answer(self._got)

    def _answer(self, make: Any) -> None:
        try:
            answer = make()
        except SnowflakeError as error:
            answer = answers.failure(error)
        except Gone:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        except Unavailable:
            self._send(503, b"")
            return
        # A bug here must not look like a lost connection, for which the driver would ask again and
        # again.
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            answer = answers.failure(
                SnowflakeError(
                    603, "XX000", f"the endpoint failed: {type(error).__name__}: {error}"
                )
            )
        content, headers = json.dumps(answer).encode(), {"Content-Type": "application/json"}
        if len(content) > 10_000:
            content, headers["Content-Encoding"] = gzip.compress(content, 1), "gzip"
        self._send(200, content, headers)

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _token(self) -> str:
        found = re.search(r'Token="([^"]*)"', self.headers.get("Authorization") or "")
        return found[1] if found else ""

    def _body(self) -> dict[str, Any]:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        found: dict[str, Any] = json.loads(content) if content[:1] == b"{" else {}
        return found

    def _posted(self) -> Answer:
        url, body, endpoint = urlsplit(self.path), self._body(), self.endpoint
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/session/v1/login-request":
            return endpoint.log_in(asked, body["data"])
        if url.path == "/session/token-request":
            return endpoint.renew(self._token())
        if url.path.startswith("/telemetry/"):
            return answers.success("Log Received")
        session = endpoint.session_of(self._token())
        if url.path == "/session/heartbeat":
            return answers.success()
        if url.path == "/session" and asked.get("delete"):
            session.end()
            return answers.success()
        if url.path == "/queries/v1/query-request":
            return endpoint.query(self._token(), session, asked["requestId"], body)
        if url.path == "/queries/v1/abort-request":
            return endpoint.abort_request(str(body.get("requestId")))
        if match := re.match(r"/queries/([^/]+)/abort-request$", url.path):
            return endpoint.abort(match[1])
        raise unsupported(f"POST {url.path}")

    def _got(self) -> Answer:
        path, endpoint = urlsplit(self.path).path, self.endpoint
        session = endpoint.session_of(self._token())
        if match := re.match(r"/monitoring/queries/+([^/]+)$", path):
            query = endpoint.account.find(match[1])
            if query is not None:
                query.done.wait(0.02)
            return answers.monitored(query)
        if match := re.match(r"/queries/([^/]+)/result$", path):
            query = endpoint.account.find(match[1])
            if query is None:
                raise SnowflakeError(709, "02000", f"Statement {match[1]} not found")
            return endpoint.result(query, session)
        raise unsupported(f"GET {path}")
