"""The features of a model that predicts a late arrival two hours before the departure."""

from aircraft import aircraft_last_flight, aircraft_registry
from airports import OWNER, airport_delays, airport_weather, carrier_delays

from controlplane import FeatureService

late_arrival = FeatureService(
    "late_arrival",
    features=[
        airport_delays,
        carrier_delays,
        airport_weather,
        aircraft_last_flight.only("origin", "dep_delay", "departed_at"),
        aircraft_registry,
    ],
    owner=OWNER,
)
