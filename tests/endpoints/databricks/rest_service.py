"""The Statement Execution API over the engine: what is not asked through the driver."""

from __future__ import annotations

import time
import uuid
from typing import Any

from pyspark.errors import PySparkException

from tests.endpoints.databricks.engine import Engine, Operation, SqlError, sql_error
from tests.endpoints.databricks.results import as_text

CHUNK_ROWS = 200_000
STATES = {
    "RUNNING": "RUNNING",
    "FINISHED": "SUCCEEDED",
    "ERROR": "FAILED",
    "TIMED_OUT": "CANCELED",
    "CANCELED": "CANCELED",
}
Answer = tuple[int, dict[str, Any]]


class RestService:
    """Answers `/api/2.0/sql/statements...`.

    Results are `JSON_ARRAY` inline, or `ARROW_STREAM` behind links.
    """

    def __init__(self, engine: Engine, address: str) -> None:
        self._engine = engine
        self._address = address

    def answer(self, caller: str, method: str, parts: list[str], body: dict[str, Any]) -> Answer:
        """Status and content for a request on the path behind `/api/2.0/`.

        `caller` is the token that it came with.
        """
        match method, parts:
            case "POST", ["sql", "statements"]:
                return self._execute(caller, body)
            case "GET", ["sql", "statements", name]:
                return self._known(name, self._statement)
            case "POST", ["sql", "statements", name, "cancel"]:
                self._engine.cancel(uuid.UUID(name))
                return 200, {}
            case "GET", ["sql", "statements", name, "result", "chunks", index]:
                return self._known(
                    name, lambda operation: (200, self._chunk(operation, int(index)))
                )
        return 404, {
            "error_code": "ENDPOINT_NOT_FOUND",
            "message": f"No API found for '{method} /{'/'.join(parts)}'",
        }

    def _known(self, name: str, answer: Any) -> Answer:
        operation = self._engine.operations.get(uuid.UUID(name))
        if operation is None:
            return 404, {
                "error_code": "NOT_FOUND",
                "message": f"The statement {name} was not found.",
            }
        found: Answer = answer(operation)
        return found

    def _execute(self, caller: str, body: dict[str, Any]) -> Answer:
        form: tuple[str, str] = body.get("format", "JSON_ARRAY"), body.get("disposition", "INLINE")
        if form not in {("JSON_ARRAY", "INLINE"), ("ARROW_STREAM", "EXTERNAL_LINKS")}:
            return 400, {
                "error_code": "INVALID_PARAMETER_VALUE",
                "message": f"this endpoint has no {' in '.join(form)}",
            }
        if body.get("parameters") or body.get("row_limit"):
            return 400, {
                "error_code": "INVALID_PARAMETER_VALUE",
                "message": "this endpoint takes no parameters",
            }
        try:
            session = self._engine.open_session(caller, {}, body.get("catalog"), body.get("schema"))
        except (PySparkException, SqlError) as error:
            return 400, {"error_code": "BAD_REQUEST", "message": str(sql_error(error))}
        tags = ",".join(
            f"{tag['key']}:{tag.get('value', '')}" for tag in body.get("query_tags") or []
        )
        operation = self._engine.submit(session, body["statement"], tags)
        operation.form = {
            "arrow": form[1] == "EXTERNAL_LINKS",
            "lz4": body.get("result_compression") == "LZ4_FRAME",
        }
        operation.done.wait(float(body.get("wait_timeout", "10s").rstrip("s")))
        return self._statement(operation)

    def _statement(self, operation: Operation) -> Answer:
        state = STATES[operation.state] if operation.done.is_set() else "RUNNING"
        answer: dict[str, Any] = {"statement_id": str(operation.id), "status": {"state": state}}
        if operation.error:
            answer["status"]["error"] = {
                "error_code": "BAD_REQUEST",
                "message": str(operation.error),
            }
            answer["status"]["sql_state"] = operation.error.state
        if state == "SUCCEEDED":
            total = operation.rows.num_rows
            starts = range(0, total, CHUNK_ROWS)
            answer["manifest"] = {
                "format": "ARROW_STREAM" if operation.form["arrow"] else "JSON_ARRAY",
                "schema": {
                    "column_count": len(operation.schema.fields),
                    "columns": [
                        {
                            "name": column.name,
                            "position": i,
                            "type_text": column.dataType.simpleString().upper(),
                        }
                        for i, column in enumerate(operation.schema.fields)
                    ],
                },
                "total_row_count": total,
                "total_chunk_count": len(starts),
                "truncated": False,
                "chunks": [
                    {
                        "chunk_index": i,
                        "row_offset": start,
                        "row_count": min(CHUNK_ROWS, total - start),
                    }
                    for i, start in enumerate(starts)
                ],
            }
            answer["result"] = self._chunk(operation, 0)
        return 200, answer

    def _chunk(self, operation: Operation, index: int) -> dict[str, Any]:
        start = index * CHUNK_ROWS
        rows = operation.rows.slice(start, CHUNK_ROWS)
        chunk: dict[str, Any] = {
            "chunk_index": index,
            "row_offset": start,
            "row_count": rows.num_rows,
        }
        if start + CHUNK_ROWS < operation.rows.num_rows:
            following = f"/api/2.0/sql/statements/{operation.id}/result/chunks/{index + 1}"
            chunk |= {"next_chunk_index": index + 1, "next_chunk_internal_link": following}
        if not operation.form["arrow"]:
            cells = zip(*(column.to_pylist() for column in rows.itercolumns()), strict=True)
            return chunk | {
                "data_array": [[None if v is None else as_text(v) for v in row] for row in cells]
            }
        chunk |= {
            "external_link": f"{self._address}/files/{operation.id}/{start}/{rows.num_rows}",
            "expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 900)),
        }
        return {"external_links": [chunk] if rows.num_rows else []}
