"""The feature service all, version fd289920, with types.

Created by `plane schema`: run it again instead of editing this file.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import NotRequired, TypedDict, cast

from controlplane import FeatureClient

AllKeys = TypedDict(
    "AllKeys",
    {
        "k": str | None,
    },
)
AllRequest = TypedDict(
    "AllRequest",
    {
        "amount": float,
        "r_i": NotRequired[int | None],
        "r_f": NotRequired[float | None],
        "r_d": NotRequired[Decimal | None],
        "r_s": NotRequired[str | None],
        "r_b": NotRequired[bool | None],
        "r_y": NotRequired[date | None],
        "r_x": NotRequired[bytes | None],
        "r_u": NotRequired[datetime | None],
        "tags": NotRequired[list[str | None] | None],
    },
)
AllFeatures = TypedDict(
    "AllFeatures",
    {
        "subject__f": float | None,
        "subject__d": Decimal | None,
        "risk": float | None,  # How an amount compares.
        "spread": float | None,
        "taxed": Decimal | None,
        "later": datetime | None,
        "words": list[str | None] | None,
        "worded": int | None,
    },
)


class AllClient:
    """Reads all online, with the names and types of its version fd289920."""

    service = "all"
    version = "fd289920"

    def __init__(self, client: FeatureClient) -> None:
        self._client = client

    def get(self, keys: AllKeys, request: AllRequest) -> AllFeatures:
        """The features of one entity."""
        vector = self._client.get(self.service, keys, request)
        return cast(AllFeatures, vector.plain)

    def get_many(
        self, keys: list[AllKeys], request: AllRequest | list[AllRequest]
    ) -> list[AllFeatures]:
        """The features of several entities, in their order; one request is for all of them."""
        found = self._client.get(self.service, keys, request)
        return [cast(AllFeatures, vector.plain) for vector in found]
