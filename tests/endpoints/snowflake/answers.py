"""What the protocol says of results and errors."""

from __future__ import annotations

import base64
import gzip
from typing import Any

from tests.endpoints.snowflake.account import OTHER, SELECT, Query, Result
from tests.endpoints.snowflake.encoding import encoded, stream
from tests.endpoints.snowflake.errors import SnowflakeError
from tests.endpoints.snowflake.session import Session

INLINE_ROWS = 1000
CHUNK_ROWS = 100_000
Answer = dict[str, Any]


def success(data: object = None) -> Answer:
    return {"data": data, "message": None, "code": None, "success": True}


def failure(error: SnowflakeError, number: str = "") -> Answer:
    code = f"{error.number:06d}"
    if error.state == "08001":
        return {"data": None, "code": str(error.number), "message": error.text, "success": False}
    data = {
        "errorCode": code,
        "sqlState": error.state,
        "queryId": number,
        "internalError": False,
        "age": 0,
    }
    return {"data": data, "code": code, "message": error.text, "success": False}


def in_progress(query: Query, *, detached: bool) -> Answer:
    data = {
        "queryId": query.number,
        "getResultUrl": f"/queries/{query.number}/result",
        "queryAbortsAfterSecs": 300,
    }
    code = "333334" if detached else "333333"
    return {"data": data, "message": "Query execution in progress.", "code": code, "success": True}


def monitored(query: Query | None) -> Answer:
    if query is None:
        return success({"queries": []})
    error = query.error
    told: Answer = {
        "id": query.number,
        "status": query.status(),
        "state": "",
        "sqlText": query.text,
        "stats": {},
    }
    told |= dict.fromkeys(
        ("sessionId", "startTime", "endTime", "totalDuration", "clientSendTime", "warehouseId"), 0
    )
    told |= {
        "errorCode": f"{error.number:06d}" if error else None,
        "errorMessage": error.text if error else None,
    }
    return success({"queries": [told]})


def outcome(query: Query, session: Session, url: str) -> Answer:
    """What became of a query that is done."""
    if query.error is not None or query.result is None:
        return failure(
            query.error or SnowflakeError(603, "XX000", "nothing came of it"), query.number
        )
    result = query.result
    data = {
        "parameters": [],
        "queryId": query.number,
        "total": result.total,
        "returned": result.total,
        "statementTypeId": result.kind,
        "finalDatabaseName": session.database,
        "finalSchemaName": session.schema,
        "finalWarehouseName": session.warehouse,
        "finalRoleName": session.role,
        "numberOfBinds": 0,
        "arrayBindSupported": False,
        "version": 1,
        "sqlState": "00000",
    }
    return success(data | _content(query, result, session, url))


def _content(query: Query, result: Result, session: Session, url: str) -> Answer:
    if result.kind == OTHER:
        told = {"rowtype": [_status("status", "text")], "rowset": [[result.text]], "total": 1}
        return {"queryResultFormat": "json", **told}
    if result.kind != SELECT:
        counted = {
            word: result.counts.get(f"number of rows {word}", 0)
            for word in ("inserted", "updated", "deleted")
        }
        stats = {f"numRows{word.title()}": count for word, count in counted.items()}
        columns = [_status(name, "fixed") for name in result.counts]
        rows = [[str(count) for count in result.counts.values()]]
        return {
            "queryResultFormat": "json",
            "rowtype": columns,
            "rowset": rows,
            "stats": {**stats, "numDmlDuplicates": 0},
        }
    if result.rows is None:
        return {"queryResultFormat": "arrow", "rowtype": result.columns, "rowsetBase64": ""}
    if result.told:
        texts = [list(row.values()) for row in result.rows.to_pylist()]
        return {"queryResultFormat": "json", "rowtype": result.columns, "rowset": texts}
    if not result.rows.num_rows:
        return {"queryResultFormat": "arrow", "rowtype": result.columns, "rowsetBase64": ""}
    first = encoded(
        result.rows.slice(0, INLINE_ROWS),
        result.columns,
        arrays_as_text=session.account.arrays_as_text,
    )
    content: Answer = {"queryResultFormat": "arrow", "rowtype": result.columns}
    content["rowsetBase64"] = base64.b64encode(stream(first)).decode()
    places = range(INLINE_ROWS, result.total, CHUNK_ROWS)
    if places:
        chunks = []
        for place in places:
            rows_here = min(CHUNK_ROWS, result.total - place)
            size = {
                "rowCount": rows_here,
                "uncompressedSize": rows_here * 8,
                "compressedSize": rows_here * 4,
            }
            chunks.append({"url": f"{url}/chunks/{query.number}/{place}", **size})
        content |= {"chunks": chunks, "chunkHeaders": {"x-local": "1"}, "returned": INLINE_ROWS}
    return content


def chunk(query: Query, place: int, *, arrays_as_text: bool) -> bytes:
    """A part of a result, as its own URL gives it."""
    if query.result is None or query.result.rows is None:
        raise KeyError(query.number)
    rows = query.result.rows.slice(place, CHUNK_ROWS)
    return gzip.compress(
        stream(encoded(rows, query.result.columns, arrays_as_text=arrays_as_text)), 1
    )


def _status(name: str, kind: str) -> Answer:
    numbers = (
        {"precision": 19, "scale": 0} if kind == "fixed" else {"precision": None, "scale": None}
    )
    length = None if kind == "fixed" else 16_777_216
    return {
        "name": name,
        "type": kind,
        "nullable": False,
        "length": length,
        "byteLength": length,
        **numbers,
    }
