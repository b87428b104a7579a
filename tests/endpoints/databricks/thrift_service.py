"""The Thrift service that the driver calls, handler by handler, over the engine."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql.types import StringType, StructField, StructType
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer

from tests.endpoints.databricks import results
from tests.endpoints.databricks.engine import Engine, Operation, SqlError, sql_error
from tests.endpoints.databricks.faults import Dropped, Faults, Refused

VERSION = ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V9
DIRECT_SECONDS = 1.0
"""How long the answer to a statement waits for its result."""
POLL_SECONDS = 0.5
FILE_BYTES = 8 * 1024 * 1024
FILES_FROM = 1024 * 1024
"""Results of so many bytes go into files behind links, if the client can fetch them."""
LINKS = 8
STATES = {
    "RUNNING": ttypes.TOperationState.RUNNING_STATE,
    "FINISHED": ttypes.TOperationState.FINISHED_STATE,
    "ERROR": ttypes.TOperationState.ERROR_STATE,
    "TIMED_OUT": ttypes.TOperationState.ERROR_STATE,
    "CANCELED": ttypes.TOperationState.CANCELED_STATE,
}
FINE = ttypes.TStatus(statusCode=ttypes.TStatusCode.SUCCESS_STATUS)


def _failed(error: SqlError, code: int = ttypes.TStatusCode.ERROR_STATUS) -> ttypes.TStatus:
    return ttypes.TStatus(
        statusCode=code, errorMessage=str(error), displayMessage=str(error), sqlState=error.state
    )


def _unknown(what: str, handle: uuid.UUID) -> ttypes.TStatus:
    return _failed(
        SqlError(f"Invalid {what}: {what} [{handle}]"), ttypes.TStatusCode.INVALID_HANDLE_STATUS
    )


def _handle(identifier: uuid.UUID) -> ttypes.THandleIdentifier:
    return ttypes.THandleIdentifier(guid=identifier.bytes, secret=identifier.bytes)


def _id(handle: ttypes.THandleIdentifier) -> uuid.UUID:
    return uuid.UUID(bytes=handle.guid)


class ThriftService:
    """Answers the driver's calls; the methods' names are the protocol's."""

    def __init__(self, engine: Engine, faults: Faults, address: str) -> None:
        self._engine = engine
        self._faults = faults
        self._address = address
        self._processor = TCLIService.Processor(self)
        self._calling = threading.local()

    def answer(self, body: bytes, caller: str) -> bytes:
        """The answer to one request; `caller` is the token that it came with.

        Raises:
            Dropped: there is to be none.
            Refused: an HTTP status is to be the answer.
        """
        self._calling.token = caller
        asked, answered = TMemoryBuffer(body), TMemoryBuffer()
        limits = {"string_length_limit": None, "container_length_limit": None}
        self._processor.process(TBinaryProtocol(asked, **limits), TBinaryProtocol(answered))
        answer: bytes = answered.getvalue()
        return answer

    def OpenSession(self, req: Any) -> Any:
        if refused := self._faults.take(self._calling.token, "OpenSession"):
            raise Refused(refused["status"].status, refused["status"].message)
        place = req.initialNamespace
        try:
            session = self._engine.open_session(
                self._calling.token,
                req.configuration or {},
                place and place.catalogName,
                place and place.schemaName,
            )
        except (PySparkException, Py4JJavaError, SqlError) as error:
            return ttypes.TOpenSessionResp(
                status=_failed(sql_error(error)), serverProtocolVersion=VERSION
            )
        return ttypes.TOpenSessionResp(
            status=FINE,
            serverProtocolVersion=VERSION,
            sessionHandle=ttypes.TSessionHandle(
                sessionId=_handle(session.id), serverProtocolVersion=VERSION
            ),
            configuration={},
            initialNamespace=place,
            canUseMultipleCatalogs=True,
        )

    def CloseSession(self, req: Any) -> Any:
        session_id = _id(req.sessionHandle.sessionId)
        if session_id not in self._engine.sessions:
            return ttypes.TCloseSessionResp(status=_unknown("SessionHandle", session_id))
        self._engine.close_session(session_id)
        return ttypes.TCloseSessionResp(status=FINE)

    def ExecuteStatement(self, req: Any) -> Any:
        struck = self._faults.take(self._calling.token, "ExecuteStatement", req.statement)
        session_id = _id(req.sessionHandle.sessionId)
        if "expire" in struck:
            self._engine.close_session(session_id)
        if "status" in struck:
            raise Refused(struck["status"].status, struck["status"].message)
        if "error" in struck:
            return ttypes.TExecuteStatementResp(status=_failed(SqlError(struck["error"].message)))
        session = self._engine.sessions.get(session_id)
        if session is None:
            return ttypes.TExecuteStatementResp(status=_unknown("SessionHandle", session_id))
        if req.parameters:
            unable = SqlError("[UNSUPPORTED_FEATURE] this endpoint takes no parameters", "0A000")
            return ttypes.TExecuteStatementResp(status=_failed(unable))
        tags = (req.confOverlay or {}).get("query_tags", "")
        operation = self._engine.submit(
            session, req.statement, tags, struck["slow"].seconds if "slow" in struck else 0.0
        )
        if "truncate" in struck:
            operation.short_by = 1
        if "drop" in struck:
            operation.done.wait()
            raise Dropped
        return self._begun(operation, req, ttypes.TExecuteStatementResp)

    def GetOperationStatus(self, req: Any) -> Any:
        operation = self._engine.operations.get(_id(req.operationHandle.operationId))
        if operation is None:
            closed = ttypes.TOperationState.CLOSED_STATE
            return ttypes.TGetOperationStatusResp(status=FINE, operationState=closed)
        operation.done.wait(POLL_SECONDS)
        return _status(operation)

    def CancelOperation(self, req: Any) -> Any:
        self._engine.cancel(_id(req.operationHandle.operationId))
        return ttypes.TCancelOperationResp(status=FINE)

    def CloseOperation(self, req: Any) -> Any:
        self._engine.cancel(_id(req.operationHandle.operationId))
        self._engine.operations.pop(_id(req.operationHandle.operationId), None)
        return ttypes.TCloseOperationResp(status=FINE)

    def GetResultSetMetadata(self, req: Any) -> Any:
        operation = self._engine.operations.get(_id(req.operationHandle.operationId))
        if operation is None or operation.state != "FINISHED":
            status = _unknown("OperationHandle", _id(req.operationHandle.operationId))
            return ttypes.TGetResultSetMetadataResp(status=status)
        return _metadata(operation)

    def FetchResults(self, req: Any) -> Any:
        operation = self._engine.operations.get(_id(req.operationHandle.operationId))
        if operation is None or operation.state != "FINISHED":
            return ttypes.TFetchResultsResp(
                status=_unknown("OperationHandle", _id(req.operationHandle.operationId))
            )
        struck = self._faults.take(self._calling.token, "FetchResults", operation.sql)
        response = self._part(operation, req.maxRows, req.maxBytes)
        response.resultSetMetadata = _metadata(operation)
        if "drop" in struck:
            raise Dropped
        return response

    def file(self, operation_id: str, start: int, count: int) -> bytes:
        """The file behind a link."""
        operation = self._engine.operations[uuid.UUID(operation_id)]
        rows = operation.rows.slice(start, count)
        if start + count == operation.rows.num_rows:
            rows = rows.slice(0, rows.num_rows - operation.short_by)
        return results.arrow_file(rows, operation.form["lz4"])

    def GetCatalogs(self, req: Any) -> Any:
        return self._listed(req, ttypes.TGetCatalogsResp, "SHOW CATALOGS", {"TABLE_CAT": "catalog"})

    def GetSchemas(self, req: Any) -> Any:
        return self._listed(
            req, ttypes.TGetSchemasResp, "SHOW SCHEMAS", {"TABLE_SCHEM": "namespace"}
        )

    def GetTables(self, req: Any) -> Any:
        query = f"SHOW TABLES IN `{req.schemaName or 'default'}`"
        return self._listed(
            req,
            ttypes.TGetTablesResp,
            query,
            {"TABLE_SCHEM": "namespace", "TABLE_NAME": "tableName"},
        )

    def GetColumns(self, req: Any) -> Any:
        query = f"DESCRIBE QUERY SELECT * FROM `{req.schemaName or 'default'}`.`{req.tableName}`"
        return self._listed(
            req,
            ttypes.TGetColumnsResp,
            query,
            {"COLUMN_NAME": "col_name", "TYPE_NAME": "data_type"},
        )

    def _listed(self, req: Any, response: type, query: str, names: Mapping[str, str]) -> Any:
        """A list of the catalog's as the result of a statement: the protocol's names of its
        columns, and Spark's."""
        session = self._engine.sessions.get(_id(req.sessionHandle.sessionId))
        if session is None:
            return response(status=_unknown("SessionHandle", _id(req.sessionHandle.sessionId)))
        operation = self._engine.submit(session, query)
        operation.done.wait()
        if operation.state == "FINISHED":
            operation.rows = operation.rows.select(list(names.values())).rename_columns(list(names))
            operation.schema = StructType([StructField(name, StringType()) for name in names])
        return self._begun(operation, req, response)

    def _begun(self, operation: Operation, req: Any, response: type) -> Any:
        """The answer to a statement, with its result where that is there soon."""
        operation.form = {
            "arrow": getattr(req, "canReadArrowResult", True),
            "lz4": bool(getattr(req, "canDecompressLZ4Result", False)),
            "links": bool(getattr(req, "canDownloadResult", False)),
        }
        answer = response(
            status=FINE,
            operationHandle=ttypes.TOperationHandle(
                operationId=_handle(operation.id),
                operationType=ttypes.TOperationType.EXECUTE_STATEMENT,
                hasResultSet=True,
            ),
        )
        if req.getDirectResults is None:
            return answer
        operation.done.wait(DIRECT_SECONDS)
        direct = ttypes.TSparkDirectResults(operationStatus=_status(operation))
        if operation.state == "FINISHED" and operation.done.is_set():
            direct.resultSetMetadata = _metadata(operation)
            direct.resultSet = self._part(
                operation, req.getDirectResults.maxRows, req.getDirectResults.maxBytes
            )
            if not direct.resultSet.hasMoreRows and not direct.resultSet.results.resultLinks:
                direct.closeOperation = ttypes.TCloseOperationResp(status=FINE)
                self._engine.operations.pop(operation.id, None)
        answer.directResults = direct
        return answer

    def _part(self, operation: Operation, most_rows: int, most_bytes: int) -> Any:
        """The next part of a result."""
        rows, start = operation.rows, operation.offset
        row_bytes = max(1, rows.nbytes // max(1, rows.num_rows))
        part = ttypes.TRowSet(startRowOffset=start, rows=[])
        form = _form(operation)
        if form == ttypes.TSparkRowSetType.URL_BASED_SET:
            part.resultLinks = []
            while operation.offset < rows.num_rows and len(part.resultLinks) < LINKS:
                part.resultLinks.append(
                    self._link(operation, max(1, FILE_BYTES // row_bytes), row_bytes)
                )
        else:
            count = min(most_rows, max(1, most_bytes // row_bytes), rows.num_rows - start)
            operation.offset += count
            these = rows.slice(start, count)
            if form == ttypes.TSparkRowSetType.ARROW_BASED_SET:
                part.arrowBatches = results.arrow_batches(these, operation.form["lz4"])
                if operation.short_by and operation.offset == rows.num_rows:
                    short = results.arrow_batches(
                        these.slice(0, count - operation.short_by), operation.form["lz4"]
                    )
                    for whole, batch in zip(part.arrowBatches, short, strict=True):
                        whole.batch = batch.batch
            else:
                part.columns = results.columns(these)
        return ttypes.TFetchResultsResp(
            status=FINE, hasMoreRows=operation.offset < rows.num_rows, results=part
        )

    def _link(self, operation: Operation, most_rows: int, row_bytes: int) -> Any:
        start = operation.offset
        count = min(most_rows, operation.rows.num_rows - start)
        operation.offset += count
        return ttypes.TSparkArrowResultLink(
            fileLink=f"{self._address}/files/{operation.id}/{start}/{count}",
            expiryTime=int(time.time()) + 900,
            startRowOffset=start,
            rowCount=count,
            bytesNum=count * row_bytes,
            httpHeaders={},
        )


def _status(operation: Operation) -> Any:
    response = ttypes.TGetOperationStatusResp(
        status=FINE,
        operationState=STATES[operation.state] if operation.done.is_set() else STATES["RUNNING"],
        hasResultSet=True,
        numModifiedRows=operation.modified,
        operationStarted=int(operation.started * 1000),
    )
    if operation.error and operation.done.is_set():
        response.errorMessage = response.displayMessage = str(operation.error)
        response.sqlState = operation.error.state
    return response


def _form(operation: Operation) -> int:
    if not operation.form["arrow"]:
        return ttypes.TSparkRowSetType.COLUMN_BASED_SET
    if operation.form["links"] and operation.rows.nbytes >= FILES_FROM:
        return ttypes.TSparkRowSetType.URL_BASED_SET
    return ttypes.TSparkRowSetType.ARROW_BASED_SET


def _metadata(operation: Operation) -> Any:
    return ttypes.TGetResultSetMetadataResp(
        status=FINE,
        schema=results.thrift_schema(operation.schema),
        resultFormat=_form(operation),
        lz4Compressed=operation.form["lz4"] and operation.form["arrow"],
        arrowSchema=operation.rows.schema.serialize().to_pybytes()
        if operation.form["arrow"]
        else None,
        isStagingOperation=False,
    )
