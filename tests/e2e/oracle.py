"""What the first example must say at any instant, by brute force over the rows of its Parquet
files.

It shares nothing with the product: schedules, windows and delays are written out here by hand, from
the words of the example's definitions, and every window looks at every row of its days. Instants
are microseconds since the epoch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the files' times are UTC without a zone, as DuckDB's are
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

Values = dict[str, Any]


def micros(instant: datetime) -> int:
    """Microseconds since the epoch; one without a zone is UTC."""
    return (instant.replace(tzinfo=None) - EPOCH) // timedelta(microseconds=1)


def naive(instant: int) -> datetime:
    """The instant as DuckDB gives and takes it."""
    return EPOCH + timedelta(microseconds=instant)


@cache
def at(text: str) -> int:
    """The instant that an ISO 8601 text says."""
    return micros(datetime.fromisoformat(text))


START = at("2013-01-01T00:00:00")


class Flight(NamedTuple):
    """A row of the flights; `departed` is None where it was cancelled."""

    flight_id: int
    scheduled: int
    departed: int | None
    carrier: str
    tailnum: str | None
    origin: str
    dest: str
    dep_delay: float | None
    arr_delay: float | None
    distance: int


class Weather(NamedTuple):
    """A row of the weather."""

    origin: str
    observed: int
    temp: float | None
    wind_speed: float | None
    precip: float | None
    visib: float | None


class Plane(NamedTuple):
    """A row of the registry of aircraft."""

    tailnum: str
    built: int | None
    manufacturer: str | None
    seats: int | None


def columns(path: Path, names: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of a Parquet file as tuples of some columns."""
    table = pq.read_table(path)
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)


def departed_at(scheduled: int, delay: float | None) -> int | None:
    """When it left: delays are whole minutes."""
    if delay is None:
        return None
    assert delay.is_integer()
    return scheduled + int(delay) * MINUTE


def read_flights(path: Path) -> list[Flight]:
    """All flights in the order of their numbers."""
    names = [
        "time_hour",
        "minute",
        "carrier",
        "flight",
        "origin",
        "tailnum",
        "dest",
        "dep_delay",
        "arr_delay",
    ]
    rows = [
        (at(hour) + minute * MINUTE, *rest)
        for hour, minute, *rest in columns(path, [*names, "distance"])
    ]
    rows.sort(key=lambda row: row[:4])  # scheduled_at, carrier, flight, origin
    return [
        Flight(
            number,
            scheduled,
            departed_at(scheduled, delay),
            carrier,
            tail,
            origin,
            dest,
            delay,
            late,
            distance,
        )
        for number, (scheduled, carrier, _, origin, tail, dest, delay, late, distance) in enumerate(
            rows, 1
        )
    ]


@dataclass
class Days:
    """Departures by key and day of the departure: a window then looks only at the days that it
    touches."""

    rows: dict[tuple[str, int], list[Flight]] = field(default_factory=lambda: defaultdict(list))

    def between(self, key: str, start: int, end: int) -> list[Flight]:
        """The key's departures in `[start, end)`."""
        days = range(start // DAY, end // DAY + 1)
        near = (flight for day in days for flight in self.rows.get((key, day), ()))
        return [
            flight
            for flight in near
            if flight.departed is not None and start <= flight.departed < end
        ]


def mean(values: list[float]) -> float | None:
    """Null over nothing."""
    return sum(values) / len(values) if values else None


class Oracle:
    """The five views of the example. A value is asked for by `values(view, key, instant)`."""

    def __init__(self, data: Path) -> None:
        self.flights = read_flights(data / "flights.parquet")
        self.departures = [flight for flight in self.flights if flight.departed is not None]
        weather = columns(
            data / "weather.parquet",
            ["origin", "time_hour", "temp", "wind_speed", "precip", "visib"],
        )
        self.weather = [Weather(origin, at(hour), *rest) for origin, hour, *rest in weather]
        planes = columns(data / "planes.parquet", ["tailnum", "year", "manufacturer", "seats"])
        self.planes = [
            Plane(tail, None if y is None else int(y), maker, seats)
            for tail, y, maker, seats in planes
        ]
        self._by_origin, self._by_carrier = Days(), Days()
        self._by_tail: dict[str, list[Flight]] = defaultdict(list)
        for flight in self.departures:
            assert flight.departed is not None
            self._by_origin.rows[flight.origin, flight.departed // DAY].append(flight)
            self._by_carrier.rows[flight.carrier, flight.departed // DAY].append(flight)
            if flight.tailnum is not None:
                self._by_tail[flight.tailnum].append(flight)
        self._weather: dict[str, list[Weather]] = defaultdict(list)
        for report in self.weather:
            self._weather[report.origin].append(report)
        self._planes = {plane.tailnum: plane for plane in self.planes}
        self._keys: dict[str, Mapping[str, list[int]]] = {}
        self._views: Mapping[str, Callable[[str | None, int], Values]] = {
            "airport_delays": self.airport_delays,
            "carrier_delays": self.carrier_delays,
            "airport_weather": self.airport_weather,
            "aircraft_last_flight": self.aircraft_last_flight,
            "aircraft_registry": self.aircraft_registry,
        }

    def values(self, view: str, key: str | None, instant: int) -> Values:
        """The features of one view for one key, as they may be known at the instant."""
        return self._views[view](key, instant)

    def airport_delays(self, origin: str | None, instant: int) -> Values:
        """Every hour, half an hour after its end: windows of 1, 3 and 24 hours."""
        end = (instant - 30 * MINUTE) // HOUR * HOUR
        day = (
            self._by_origin.between(origin, end - 24 * HOUR, end)
            if origin is not None and end > START
            else []
        )
        three = [
            flight
            for flight in day
            if flight.departed is not None and flight.departed >= end - 3 * HOUR
        ]
        one = [
            flight
            for flight in three
            if flight.departed is not None and flight.departed >= end - HOUR
        ]
        delays = {
            hours: [f.dep_delay for f in rows if f.dep_delay is not None]
            for hours, rows in ((1, one), (3, three), (24, day))
        }
        return {
            "count_1h": len(one),
            "count_3h": len(three),
            "count_24h": len(day),
            "dep_delay_mean_1h": mean(delays[1]),
            "dep_delay_mean_3h": mean(delays[3]),
            "dep_delay_mean_24h": mean(delays[24]),
            "dep_delay_max_3h": max(delays[3], default=None),
            "late_departures_3h": sum(delay > 15 for delay in delays[3]),
        }

    def carrier_delays(self, carrier: str | None, instant: int) -> Values:
        """Every hour, half an hour after its end: windows of 6 and 24 hours and of a week."""
        end = (instant - 30 * MINUTE) // HOUR * HOUR
        week = (
            self._by_carrier.between(carrier, end - 7 * DAY, end)
            if carrier is not None and end > START
            else []
        )
        day = [
            flight
            for flight in week
            if flight.departed is not None and flight.departed >= end - 24 * HOUR
        ]
        six = [
            flight
            for flight in day
            if flight.departed is not None and flight.departed >= end - 6 * HOUR
        ]
        delays = [
            [f.dep_delay for f in rows if f.dep_delay is not None] for rows in (six, day, week)
        ]
        return {
            "count_24h": len(day),
            "dep_delay_mean_6h": mean(delays[0]),
            "dep_delay_mean_24h": mean(delays[1]),
            "dep_delay_mean_7d": mean(delays[2]),
            "dep_delay_min_24h": min(delays[1], default=None),
            "distance_sum_24h": sum(flight.distance for flight in day) if day else None,
        }

    def airport_weather(self, origin: str | None, instant: int) -> Values:
        """The last report, a quarter of an hour after its hour ends, for six hours from then on."""
        visible = [
            (report.observed, report)
            for report in self._weather.get(origin or "", ())
            if report.observed // HOUR * HOUR + HOUR + 15 * MINUTE <= instant
        ]
        if not visible:
            return dict.fromkeys(("temp", "wind_speed", "precip", "visib"))
        observed, report = max(visible)  # no airport has two reports of one instant
        expired = instant >= observed // HOUR * HOUR + HOUR + 15 * MINUTE + 6 * HOUR
        names = ("temp", "wind_speed", "precip", "visib")
        return {name: None if expired else getattr(report, name) for name in names}

    def aircraft_last_flight(self, tailnum: str | None, instant: int) -> Values:
        """The last departure, half an hour after its hour ends.

        Of two at one instant, the one of higher number.
        """
        visible = [
            (flight.departed, flight.flight_id, flight)
            for flight in self._by_tail.get(tailnum or "", ())
            if flight.departed is not None
            and flight.departed // HOUR * HOUR + HOUR + 30 * MINUTE <= instant
        ]
        if not visible:
            return dict.fromkeys(("origin", "dest", "dep_delay", "departed_at"))
        departed, _, last = max(visible)
        return {
            "origin": last.origin,
            "dest": last.dest,
            "dep_delay": last.dep_delay,
            "departed_at": departed,
        }

    def aircraft_registry(self, tailnum: str | None, instant: int) -> Values:
        """The entry of the registry, which has no time of its own: there from the view's start."""
        plane = self._planes.get(tailnum or "") if instant >= START else None
        names = ("built", "manufacturer", "seats")
        return {name: None if plane is None else getattr(plane, name) for name in names}

    def keys(self, view: str) -> Mapping[str, list[int]]:
        """Every key of a view and the event times of its rows (a static table's rows: none)."""
        if view not in self._keys:
            self._keys[view] = self._find_keys(view)
        return self._keys[view]

    def _find_keys(self, view: str) -> Mapping[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        if view == "aircraft_registry":
            return {plane.tailnum: [] for plane in self.planes}
        if view == "airport_weather":
            for report in self.weather:
                found[report.origin].append(report.observed)
            return found
        column = {
            "airport_delays": "origin",
            "carrier_delays": "carrier",
            "aircraft_last_flight": "tailnum",
        }[view]
        for flight in self.departures:
            key = getattr(flight, column)
            if key is not None and flight.departed is not None:
                found[key].append(flight.departed)
        return found


ENTITY = {
    "airport_delays": "origin",
    "carrier_delays": "carrier",
    "airport_weather": "origin",
    "aircraft_last_flight": "tailnum",
    "aircraft_registry": "tailnum",
}
"""The key of each view."""

CHANGES = {
    "airport_delays": (30 * MINUTE, (0, HOUR, 3 * HOUR, 24 * HOUR)),
    "carrier_delays": (30 * MINUTE, (0, 6 * HOUR, 24 * HOUR, 7 * DAY)),
    "airport_weather": (15 * MINUTE, (0, 6 * HOUR)),
    "aircraft_last_flight": (30 * MINUTE, (0,)),
}
"""When an event changes values: so long after the end of its hour, and again when it leaves a
window or expires."""


def change_points(view: str, event: int) -> list[int]:
    """The instants at which one event changes what a view says."""
    delay, shifts = CHANGES[view]
    return [event // HOUR * HOUR + HOUR + delay + shift for shift in shifts]
