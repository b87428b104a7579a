"""A server to talk to, and definitions with every type."""

from __future__ import annotations

import http.client
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.shop import Hook, Shop, until

FACTS = """CREATE TABLE raw.facts AS SELECT * FROM (VALUES
    ('a b', DATE '2024-01-02', TIMESTAMP '2024-01-02 08:00', 12.50::DECIMAL(8, 2), TIMESTAMP '2024-01-01 00:00:00.5',
     DATE '1999-12-31', true, 'hi'::BLOB, 'NaN'::DOUBLE, ['x', NULL], 9007199254740993),
    ('null', DATE '2024-01-02', TIMESTAMP '2024-01-02 09:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
) AS fact(tag, day, happened_at, price, seen, born, ok, raw, ratio, names, big)"""
DEFINITIONS = '''"""Facts of every type."""

from controlplane import Attribute, BatchSource, Entity, FeatureService, RequestSource, batch_feature_view, calculation

from shop import OWNER, spend

tagged = Entity("tagged", keys={"tag": "string", "day": "date"}, owner=OWNER)
facts = BatchSource("facts", table="raw.facts", timestamp="happened_at")


@batch_feature_view(
    entities=[tagged],
    sources=[facts],
    schedule="1d",
    start="2024-01-01",
    features=[
        Attribute("price", "decimal(8,2)"),
        Attribute("seen", "timestamp"),
        Attribute("born", "date"),
        Attribute("ok", "bool"),
        Attribute("raw", "binary"),
        Attribute("ratio", "float64"),
        Attribute("names", "array<string>"),
        Attribute("big", "int64"),
    ],
    owner=OWNER,
)
def fact(facts):
    """What is known of a tag."""
    return f"SELECT tag, day, happened_at, price, seen, born, ok, raw, ratio, names, big FROM {facts}"


everything = FeatureService("everything", features=[spend, fact], owner=OWNER)
offer = RequestSource("offer", fields={"price": "decimal(8,2)", "code": "string"}, nullable=["code"])
rate = calculation("rate", "float64", "CAST(price AS DOUBLE) / spend__amount_sum_2d")
number = calculation("number", "int64", "CAST(code AS BIGINT)")
priced = FeatureService("priced", features=[spend, rate, number], request=offer, owner=OWNER)
'''


class Answer(NamedTuple):
    """What the server answers."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Server:
    """`plane serve` of a project, on a free port."""

    def __init__(self, project: Shop, *options: str, hook: Hook | None = None) -> None:
        self.project = project
        self.running = project.start(
            "serve", "--port", "0", "--json", "--refresh", "0.1", *options, hook=hook
        )
        until(
            lambda: (
                self.running.process.exitcode is not None
                or self.running.out.read_text().endswith("}\n")
            )
        )
        assert self.running.process.exitcode is None, self.log
        self.url: str = json.loads(self.running.out.read_text())["url"]
        until(lambda: '"worker_started"' in self.log)

    @property
    def log(self) -> str:
        """What it logged."""
        return self.running.err.read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The same, line by line."""
        return [json.loads(line) for line in self.log.splitlines()]

    def connect(self) -> http.client.HTTPConnection:
        """A connection of one's own."""
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        over: http.client.HTTPConnection | None = None,
    ) -> Answer:
        """One request; a body that is no bytes is sent as JSON."""
        connection = over or self.connect()
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        try:
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            return Answer(
                answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
            )
        finally:
            if over is None:
                connection.close()

    def post(self, path: str, body: Any, **options: Any) -> Answer:
        """See `ask`."""
        return self.ask("POST", path, body, **options)

    def count(self, user: int = 1, **options: Any) -> Any:
        """A user's payments of the last day."""
        answer = self.post("/v1/services/shop", {"entities": [{"user_id": user}]}, **options)
        assert answer.status == 200, answer
        return answer.json["vectors"][0]["features"]["spend__count_1d"]

    def stop(self) -> int | None:
        """Stop it; its exit code."""
        if self.running.process.exitcode is None:
            self.running.process.terminate()
        return self.running.wait().code
