"""A client of the embedded Airflow's REST API: watch DAGs, start runs, wait, read logs.

It sends the password unencrypted, so it refuses any host except this machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from controlplane.base.types import format_instant, utc
from controlplane.errors import PermanentError, PlaneError, TransientError

Json = dict[str, Any]

_PAGE = 100  # the most items in one response of Airflow
_POLL = 0.5  # seconds
_FINISHED = {"success", "failed"}
_BAD_TOKEN = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}  # expired; signed by another Airflow


class AirflowClient:
    """Talks to the Airflow at `url`, such as `http://127.0.0.1:8080`.

    Every method raises `TransientError` if Airflow cannot be reached or fails, and `PermanentError`
    if it refuses. DAG runs, task instances and events have the form that Airflow's API documents.

    Args:
        url: the address of the api-server.
        username: the user to log in as; `health` needs none.
        password: the user's password.
        timeout: seconds that one request may take; more than Airflow waits for its database, see
            `embedded.airflow_settings`.

    Raises:
        ValueError: `url` is not on this machine.
    """

    def __init__(
        self, url: str, *, username: str = "", password: str = "", timeout: float = 90.0
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise ValueError(f"{url!r} is not an http address of this machine")
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._login = {"username": username, "password": password}
        self._token = ""
        # Without the environment's proxies, which can't reach this machine's loopback.
        self._open = build_opener(ProxyHandler({})).open

    def health(self) -> Json:
        """Return the health of each component; empty if Airflow does not answer."""
        try:
            return self._send("GET", "/api/v2/monitor/health", {}, timeout=5.0)
        except PlaneError:
            return {}

    def token(self) -> str:
        """Log in, and return the bearer token."""
        token: str = self._send("POST", "/auth/token", {}, self._login)["access_token"]
        return token

    def dags(self) -> list[Json]:
        """Return all DAGs that the dag-processor has read and that still exist."""
        return self._all("/dags", "dags")

    def import_errors(self) -> list[Json]:
        """Return the DAG files that can't be read: `filename`, `stack_trace` and more."""
        return self._all("/importErrors", "import_errors")

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG, so that its runs start."""
        self._call("PATCH", _path("dags", dag_id), {"is_paused": False})

    def pools(self) -> list[Json]:
        """Return all pools: `name`, `slots` and more."""
        return self._all("/pools", "pools")

    def set_pool(self, name: str, slots: int) -> None:
        """Create a pool, or change its slots."""
        pool = next((pool for pool in self.pools() if pool["name"] == name), None)
        if pool is None:
            self._call("POST", "/pools", {"name": name, "slots": slots})
        elif pool["slots"] != slots:
            # Airflow requires all fields of the pool, although the mask names the one to change.
            body = {"pool": name, "slots": slots, "include_deferred": pool["include_deferred"]}
            self._call("PATCH", f"{_path('pools', name)}?update_mask=slots", body)

    def trigger(
        self,
        dag_id: str,
        *,
        partition_key: str | None = None,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> str:
        """Start a run, of one partition if `partition_key` is set, and return its id."""
        body = {
            "dag_run_id": run_id,
            "logical_date": None,
            "partition_key": partition_key,
            "conf": dict(conf or {}),
        }
        run: str = self._call("POST", _path("dags", dag_id, "dagRuns"), body)["dag_run_id"]
        return run

    def run(self, dag_id: str, run_id: str) -> Json:
        """Return a run in its present state."""
        return self._call("GET", _path("dags", dag_id, "dagRuns", run_id))

    def runs(self, dag_id: str, **filters: str) -> list[Json]:
        """Return a DAG's runs, oldest first; filters are Airflow's, such as `state="failed"`."""
        return self._all(_path("dags", dag_id, "dagRuns"), "dag_runs", filters)

    def unfinished(self) -> set[tuple[str, str]]:
        """Return DAG and id of all runs, of any DAG, that wait or run."""
        runs = self._all("/dags/~/dagRuns", "dag_runs", {"state": ["queued", "running"]})
        return {(run["dag_id"], run["dag_run_id"]) for run in runs}

    def wait(
        self,
        dag_id: str,
        run_ids: Iterable[str],
        *,
        timeout: float,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> dict[str, str]:
        """Wait until runs have ended and return the state of each: `success` or `failed`.

        Args:
            dag_id: the DAG.
            run_ids: ids of its runs.
            timeout: seconds to wait at most.
            on_progress: called with a few words when a run changes its state.

        Raises:
            TransientError: some run has not ended in time.
        """
        states = dict.fromkeys(run_ids, "")
        deadline = time.monotonic() + timeout
        while True:
            for run_id in [run_id for run_id, state in states.items() if state not in _FINISHED]:
                if (now := self.run(dag_id, run_id)["state"]) != states[run_id]:
                    states[run_id] = now
                    on_progress(f"{dag_id} {run_id}: {now}")
            waiting = [
                f"{run_id} ({state})" for run_id, state in states.items() if state not in _FINISHED
            ]
            if not waiting:
                return states
            if time.monotonic() > deadline:
                raise TransientError(
                    f"{len(waiting)} of {len(states)} runs of {dag_id} have not ended after"
                    f" {timeout:.0f} s: " + ", ".join(waiting[:5]),
                    hint=f"see {self.url}/dags/{dag_id}/runs",
                )
            time.sleep(_POLL)

    def task_instances(self, dag_id: str, run_id: str) -> list[Json]:
        """Return the tasks of a run in their present state, each mapped one separately."""
        return self._all(
            _path("dags", dag_id, "dagRuns", run_id, "taskInstances"), "task_instances"
        )

    def log(
        self, dag_id: str, run_id: str, task_id: str, try_number: int, *, map_index: int = -1
    ) -> str:
        """Return the log of one try of a task, a line for each event; tries count from 1."""
        path = _path(
            "dags", dag_id, "dagRuns", run_id, "taskInstances", task_id, "logs", str(try_number)
        )
        query = urlencode({"full_content": "true", "map_index": map_index})
        return "\n".join(_line(event) for event in self._call("GET", f"{path}?{query}")["content"])

    def clear(
        self,
        dag_id: str,
        run_id: str,
        *,
        only_failed: bool = False,
        run_on_latest_version: bool = False,
    ) -> None:
        """Run a run's tasks again, with the run's own version of the DAG by default."""
        body = {
            "dry_run": False,
            "only_failed": only_failed,
            "run_on_latest_version": run_on_latest_version,
        }
        self._call("POST", _path("dags", dag_id, "dagRuns", run_id, "clear"), body)

    def backfill(
        self,
        dag_id: str,
        start: datetime,
        end: datetime,
        *,
        max_active_runs: int = 1,
        reprocess: str = "none",
    ) -> int:
        """Queue a run for each interval or partition from `start` to `end`.

        Returns the backfill's id. A DAG has one backfill at a time. Airflow refuses another until
        it has noticed, within half a minute, that the last one has ended.

        Args:
            dag_id: the DAG.
            start: the begin of the first interval.
            end: the begin of the last interval.
            max_active_runs: how many may run at the same time.
            reprocess: the intervals with a run that are run again: `none`, `failed` or `completed`
                (which includes failed ones).
        """
        body = {
            "dag_id": dag_id,
            "from_date": format_instant(start),
            "to_date": format_instant(end),
            "max_active_runs": max_active_runs,
            "reprocess_behavior": reprocess,
        }
        backfill: int = self._call("POST", "/backfills", body)["id"]
        return backfill

    def backfill_runs(self, backfill_id: int) -> list[Json]:
        """Return the newest run of each interval or partition in a backfill's range, in order.

        Airflow's API does not name the runs of a backfill, so these may include others.
        """
        backfill = self._call("GET", _path("backfills", str(backfill_id)))
        start, end = (
            utc(datetime.fromisoformat(backfill[bound])) for bound in ("from_date", "to_date")
        )
        newest: dict[datetime, Json] = {}
        for column, margin in (
            ("logical_date", timedelta()),
            ("partition_date", timedelta(days=1)),
        ):
            # The API filters partitions by calendar day in the DAG's time zone: ask for a day more
            # at both ends.
            bounds = {f"{column}_gte": start - margin, f"{column}_lte": end + margin}
            texts = {
                name: format_instant(bound)[: 10 if margin else None]
                for name, bound in bounds.items()
            }
            for run in sorted(
                self.runs(backfill["dag_id"], **texts), key=lambda run: str(run["queued_at"])
            ):
                if run[column] and start <= (begins := datetime.fromisoformat(run[column])) <= end:
                    newest[begins] = run
        return [newest[begins] for begins in sorted(newest)]

    def asset_events(self, *, dag_id: str | None = None, run_id: str | None = None) -> list[Json]:
        """Return the events of assets, oldest first: all, or those of a DAG or of one run."""
        filters = {"source_dag_id": dag_id, "source_run_id": run_id}
        return self._all(
            "/assets/events", "asset_events", {k: v for k, v in filters.items() if v is not None}
        )

    def _all(
        self, path: str, key: str, filters: Mapping[str, str | list[str]] | None = None
    ) -> list[Json]:
        """Return the items of all pages of a collection."""
        items: list[Json] = []
        while True:
            query = urlencode({**(filters or {}), "limit": _PAGE, "offset": len(items)}, doseq=True)
            page = self._call("GET", f"{path}?{query}")
            items += page[key]
            if not page[key] or len(items) >= page["total_entries"]:
                return items

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """Send a request to the API, and send it again if Airflow fails with status 500."""
        # Airflow writes its audit log from its event loop. If a task's request holds SQLite's lock
        # then, the two wait for each other until the database's timeout, and the audit log fails,
        # before the request has changed anything.
        try:
            return self._ask(method, path, body)
        except TransientError as error:
            if (
                not isinstance(error.__cause__, HTTPError)
                or error.__cause__.code != HTTPStatus.INTERNAL_SERVER_ERROR
            ):
                raise
        return self._ask(method, path, body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Json:
        """Send a request with a token, and again with a new token if the old one is refused."""
        fresh = not self._token
        self._token = self._token or self.token()
        try:
            return self._send(
                method, f"/api/v2{path}", {"Authorization": f"Bearer {self._token}"}, body
            )
        except PermanentError as error:
            if (
                fresh
                or not isinstance(error.__cause__, HTTPError)
                or error.__cause__.code not in _BAD_TOKEN
            ):
                raise
        self._token = ""
        return self._ask(method, path, body)

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> Json:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json", **headers}
        request = Request(  # noqa: S310 -- http, see __init__
            self.url + path, data=data, headers=headers, method=method
        )
        action = f"Airflow's {method} {urlsplit(path).path}"
        try:
            with self._open(request, timeout=timeout or self._timeout) as response:
                text = response.read()
        except HTTPError as error:
            with error:
                detail = _detail(error.read())
            if (
                error.code >= HTTPStatus.INTERNAL_SERVER_ERROR
                or error.code == HTTPStatus.TOO_MANY_REQUESTS
            ):
                raise TransientError(
                    f"{action} failed with {error.code}: {detail}", hint="see api-server.log"
                ) from error
            raise PermanentError(f"{action} was refused with {error.code}: {detail}") from error
        except OSError as error:  # urllib's own errors are OSErrors too
            raise TransientError(
                f"{action} got no answer: {error}", hint="check that Airflow runs"
            ) from error
        result: Json = json.loads(text) if text else {}
        return result


def _path(*parts: str) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _detail(answer: bytes) -> str:
    """Return the detail in Airflow's response to a failed request."""
    text = answer.decode("utf-8", "replace")
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        return text[:500]
    return detail if isinstance(detail, str) else json.dumps(detail)


def _line(event: Json | str) -> str:
    """Return a logged event as text, followed by its exceptions."""
    if isinstance(event, str):
        return event
    head = " ".join(str(event[key]) for key in ("timestamp", "level", "event") if event.get(key))
    details = event.get("error_detail") or []
    return "\n".join(
        [head, *(f"  {detail.get('exc_type')}: {detail.get('exc_value')}" for detail in details)]
    )
