"""Airflow's REST API, as far as a laptop needs it: watch DAGs, start runs, wait for them, read
their logs.

For the embedded Airflow alone: it sends the password unencrypted, so it refuses to talk to any host
but this one.
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

_PAGE = 100  # the most that Airflow gives at once
_POLL = 0.5
_FINISHED = {"success", "failed"}
_BAD_TOKEN = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}  # expired; signed by another Airflow


class AirflowClient:
    """Talks to the Airflow at `url`, such as `http://127.0.0.1:8080`.

    Every method raises `TransientError` if Airflow cannot be reached or fails, and `PermanentError`
    if it refuses. DAG runs, task instances and events come as Airflow's API documents them.

    Args:
        url: address of the api-server.
        username: who logs in; nobody needs to for `health`.
        password: of that user.
        timeout: seconds that one request may take; more than Airflow waits for its database, see
            `embedded.airflow`.

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
        self._open = build_opener(
            ProxyHandler({})
        ).open  # a proxy has no part in a talk within one machine

    def health(self) -> Json:
        """Health of each component; empty while nobody answers."""
        try:
            return self._send("GET", "/api/v2/monitor/health", {}, timeout=5.0)
        except PlaneError:
            return {}

    def token(self) -> str:
        """Log in, and return the bearer token that this gives."""
        token: str = self._send("POST", "/auth/token", {}, self._login)["access_token"]
        return token

    def dags(self) -> list[Json]:
        """All DAGs that the dag-processor has read and that still exist."""
        return self._all("/dags", "dags")

    def import_errors(self) -> list[Json]:
        """DAG files that cannot be read: `filename`, `stack_trace` and more."""
        return self._all("/importErrors", "import_errors")

    def unpause(self, dag_id: str) -> None:
        """Let a DAG's runs start."""
        self._call("PATCH", _path("dags", dag_id), {"is_paused": False})

    def pools(self) -> list[Json]:
        """All pools: `name`, `slots` and more."""
        return self._all("/pools", "pools")

    def set_pool(self, name: str, slots: int) -> None:
        """Make a pool, or give it these slots."""
        there = next((pool for pool in self.pools() if pool["name"] == name), None)
        if there is None:
            self._call("POST", "/pools", {"name": name, "slots": slots})
        elif there["slots"] != slots:
            # Airflow wants the whole pool again, though the mask says what changes.
            body = {"pool": name, "slots": slots, "include_deferred": there["include_deferred"]}
            self._call("PATCH", f"{_path('pools', name)}?update_mask=slots", body)

    def trigger(
        self,
        dag_id: str,
        *,
        partition_key: str | None = None,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> str:
        """Start a run, for one partition if `partition_key` is given, and return its id."""
        body = {
            "dag_run_id": run_id,
            "logical_date": None,
            "partition_key": partition_key,
            "conf": dict(conf or {}),
        }
        run: str = self._call("POST", _path("dags", dag_id, "dagRuns"), body)["dag_run_id"]
        return run

    def run(self, dag_id: str, run_id: str) -> Json:
        """One run as it stands."""
        return self._call("GET", _path("dags", dag_id, "dagRuns", run_id))

    def runs(self, dag_id: str, **filters: str) -> list[Json]:
        """A DAG's runs, oldest first.

        `filters` are those of Airflow's API, such as `state="failed"`.
        """
        return self._all(_path("dags", dag_id, "dagRuns"), "dag_runs", filters)

    def unfinished(self) -> set[tuple[str, str]]:
        """DAG and id of every run, of any DAG, that waits or runs."""
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
            on_progress: is told in a few words whenever a run changes its state.

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
        """The tasks of a run as they stand, mapped ones one by one."""
        return self._all(
            _path("dags", dag_id, "dagRuns", run_id, "taskInstances"), "task_instances"
        )

    def log(
        self, dag_id: str, run_id: str, task_id: str, try_number: int, *, map_index: int = -1
    ) -> str:
        """What one try of a task has logged, a line for each event; tries count from 1."""
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
        """Run a run's tasks again, with the DAG of then unless `run_on_latest_version`."""
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
        """Queue a run for every interval or partition from `start` to `end`, both included.

        Return the backfill's id.

        A DAG has one backfill at a time; Airflow refuses another until it has noticed, within half
        a minute, that the last one is over.

        Args:
            dag_id: the DAG.
            start: where the first interval begins.
            end: where the last interval begins.
            max_active_runs: how many may run at the same time.
            reprocess: which intervals that have a run already are run again: `none`, `failed` or
                `completed` ones too.
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
        """The newest run of each interval or partition in a backfill's range, in their order.

        Airflow's API does not say which runs a backfill made or took over, so these may include
        others.
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
            # Partitions are asked for by calendar day, in the DAG's own time zone.
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
        """Events of assets, oldest first: all of them, or those that a DAG or one of its runs
        emitted."""
        filters = {"source_dag_id": dag_id, "source_run_id": run_id}
        return self._all(
            "/assets/events", "asset_events", {k: v for k, v in filters.items() if v is not None}
        )

    def _all(
        self, path: str, key: str, filters: Mapping[str, str | list[str]] | None = None
    ) -> list[Json]:
        """All pages of a collection."""
        items: list[Json] = []
        while True:
            query = urlencode({**(filters or {}), "limit": _PAGE, "offset": len(items)}, doseq=True)
            page = self._call("GET", f"{path}?{query}")
            items += page[key]
            if not page[key] or len(items) >= page["total_entries"]:
                return items

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """One request to the API, once more if Airflow fails.

        Airflow logs who changes something from its event loop. Where a request of a task holds the
        lock of SQLite just then, each waits for the other until the database's patience is over,
        and the log fails: before anything is changed.
        """
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
        """One request, with a token that is fetched once, and again when it is not taken any
        more."""
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
        asked = {"Accept": "application/json", "Content-Type": "application/json", **headers}
        request = Request(self.url + path, data=data, headers=asked, method=method)  # noqa: S310 -- http, see __init__
        what = f"Airflow's {method} {urlsplit(path).path}"
        try:
            with self._open(request, timeout=timeout or self._timeout) as response:
                text = response.read()
        except HTTPError as error:
            with error:
                said = _detail(error.read())
            if (
                error.code >= HTTPStatus.INTERNAL_SERVER_ERROR
                or error.code == HTTPStatus.TOO_MANY_REQUESTS
            ):
                raise TransientError(
                    f"{what} failed with {error.code}: {said}", hint="see api-server.log"
                ) from error
            raise PermanentError(f"{what} was refused with {error.code}: {said}") from error
        except OSError as error:  # urllib's own errors are OSErrors too
            raise TransientError(f"{what} got no answer: {error}", hint="is Airflow up?") from error
        answer: Json = json.loads(text) if text else {}
        return answer


def _path(*parts: str) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _detail(answer: bytes) -> str:
    """What an error's answer says, in Airflow's own words."""
    text = answer.decode("utf-8", "replace")
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        return text[:500]
    return detail if isinstance(detail, str) else json.dumps(detail)


def _line(event: Json | str) -> str:
    """A logged event as text; an exception's traceback follows it."""
    if isinstance(event, str):
        return event
    head = " ".join(str(event[key]) for key in ("timestamp", "level", "event") if event.get(key))
    details = event.get("error_detail") or []
    return "\n".join(
        [head, *(f"  {detail.get('exc_type')}: {detail.get('exc_value')}" for detail in details)]
    )
