"""What users do with items of a shop, counted by category within a second: windows of a minute to a day.

An interaction is one event: an item was shown to a user, clicked, put into the cart or bought. A click's `dwell` is how
long the user stayed, in seconds; it is known when he leaves, which is the event's time.
"""

from twinbeam import Entity, FeatureService, FeatureView, Source, agg

WINDOWS = ["1m", "5m", "1h", "6h", "1d"]

user = Entity("user", keys={"user_id": "int64"}, description="A visitor of the shop")
user_category = Entity(
    "user_category", keys={"user_id": "int64", "category": "string"}, description="A visitor and a category of items"
)

interactions = Source(
    "interactions",
    fields={
        "user_id": "int64",
        "item_id": "int64",
        "category": "string",
        "action": "string",  # show, click, cart or buy
        "dwell": "float64",  # seconds; null but for clicks
        "at": "timestamp(us)",
    },
    event_time="at",
    topic="interactions",
    encoding="json",
)

user_category_actions = FeatureView(
    "user_category_actions",
    entity=user_category,
    source=interactions,
    features=[
        agg.count(over=WINDOWS, where="action = 'show'", name="shows_{window}"),
        agg.count(over=WINDOWS, where="action = 'click'", name="clicks_{window}"),
        agg.count(over=WINDOWS, where="action = 'cart'", name="carts_{window}"),
        agg.count(over=WINDOWS, where="action = 'buy'", name="buys_{window}"),
        agg.sum("dwell", over=WINDOWS),  # dwell_sum_1m ... dwell_sum_1d
    ],
    derive={f"ctr_{window}": f"clicks_{window} / NULLIF(shows_{window}, 0)" for window in WINDOWS},
    owner="recommendations",
    tags={"tier": "1"},
    description="What a user does with items of a category",
)
user_actions = FeatureView(
    "user_actions",
    entity=user,
    source=interactions,
    features=[
        agg.count(name="events"),
        agg.count(over=["1h", "1d"], by="category", where="action = 'click'", name="clicks_{window}_by_category"),
        agg.count(over=["1h", "1d"], by="category", where="action = 'buy'", name="buys_{window}_by_category"),
        agg.sum("dwell", over=["1h", "1d"], by="category"),
        agg.count(over="1d", by="action"),
    ],
    owner="recommendations",
    description="What a user does, a map by category: all categories in one read",
)

ranking = FeatureService(
    "ranking",
    features=[user_category_actions, user_actions],
    description="What a ranker asks for a user and a category",
)
