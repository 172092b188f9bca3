"""Delays of flights from New York: by carrier, by plane, by airport, and the airport's weather.

A flight is one event, and its time is the instant at which its delay is known: the actual departure, or for a
cancelled flight the scheduled one. What is known only on arrival is no part of the event.
"""

from twinbeam import Entity, FeatureService, FeatureView, Source, agg, latest

WINDOWS = ["1h", "24h", "7d", "30d"]
CUTOVER = "2013-12-01T05:00:00Z"  # midnight of December 1st in New York

carrier = Entity("carrier", keys={"carrier": "string"}, description="An airline")
plane = Entity("plane", keys={"tailnum": "string"}, description="An aircraft, by its tail number")
airport = Entity("airport", keys={"origin": "string"}, description="EWR, JFK or LGA")

flights = Source(
    "flights",
    fields={
        "carrier": "string",
        "flight": "int32",
        "tailnum": "string",
        "origin": "string",
        "dest": "string",
        "distance": "int32",
        "scheduled": "timestamp(us)",
        "departed": "timestamp(us)",
        "dep_delay": "float64",  # minutes; null for a cancelled flight
        "cancelled": "bool",
    },
    event_time="departed",
    files="data/flights/*.parquet",
    topic="flights",
    cutover=CUTOVER,
    encoding="avro",
)
weather = Source(
    "weather",
    fields={
        "origin": "string",
        "observed": "timestamp(us)",
        "temp": "float64",
        "wind_speed": "float64",
        "precip": "float64",
        "pressure": "float64",
        "visib": "float64",
    },
    event_time="observed",
    files="data/weather/*.csv",
    topic="weather",
    cutover=CUTOVER,
    encoding="json",
)

carrier_delays = FeatureView(
    "carrier_delays",
    entity=carrier,
    source=flights,
    features=[
        agg.count(name="flights"),
        agg.count(over=WINDOWS),
        agg.mean("dep_delay", over=WINDOWS),
        agg.max("dep_delay", over=["24h", "7d"]),
        agg.approx_percentile("dep_delay", q=0.9, over="7d", name="dep_delay_p90_7d"),
        agg.count(over=["24h", "7d"], where="cancelled", name="cancelled_{window}"),
    ],
    derive={"cancelled_share_7d": "cancelled_7d / NULLIF(count_7d, 0)"},
    owner="operations",
    tags={"tier": "1"},
    description="Departures of an airline",
)
plane_delays = FeatureView(
    "plane_delays",
    entity=plane,
    source=flights,
    features=[
        agg.count(over=WINDOWS),
        agg.mean("dep_delay", over=WINDOWS),
        agg.sum("distance", over="30d"),
        agg.last_k("dest", k=3),
    ],
    owner="operations",
    description="Departures of an aircraft",
)
airport_delays = FeatureView(
    "airport_delays",
    entity=airport,
    source=flights,
    features=[
        agg.count(name="flights"),
        agg.count(over=WINDOWS),
        agg.mean("dep_delay", over=WINDOWS),
        agg.count(over=["24h", "7d"], by="dest"),
        agg.mean("dep_delay", over="24h", by="dest"),
        agg.count(over="24h", where="cancelled", name="cancelled_{window}"),
    ],
    owner="operations",
    description="Departures from an airport",
)
airport_weather = FeatureView(
    "airport_weather",
    entity=airport,
    source=weather,
    ttl="6h",
    features=[
        "temp",
        "wind_speed",
        "pressure",
        "visib",
        latest("precip", default=0.0, description="Inches"),
        agg.count(name="observations"),
    ],
    owner="weather",
    description="Newest hourly observation at an airport",
)

departures = FeatureService(
    "departures",
    features=[carrier_delays, plane_delays, airport_delays, airport_weather],
    description="What is known before a flight leaves",
)
