"""Interactions of made-up users, and what their features must be: plain loops over plain events."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from examples.interactions.features import WINDOWS

END = datetime(2026, 1, 2, tzinfo=UTC)
CATEGORIES = ("audio", "books", "garden", "kitchen", "shoes", "toys")
ACTIONS = ("show", "click", "cart", "buy")
SHARES = (70, 20, 7, 3)
SPANS = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
}
USERS = 50
RECENT_SHARE = 0.5
LONGEST_SECONDS = 2 * 86_400

Event = dict[str, Any]


def made_up(count: int, seed: int) -> list[Event]:
    """Events of two days, in no order: half of them fall into the last minutes."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        longest = 400.0 if draw.random() < RECENT_SHARE else LONGEST_SECONDS
        found.append(
            _event(draw, draw.randrange(USERS), END - timedelta(microseconds=int(draw.random() * longest * 1e6)))
        )
    return found


def interaction(user: int, at: datetime) -> Event:
    """One click of a user."""
    return _event(random.Random(user), user, at) | {"action": "click", "dwell": 1.5}


def expected(events: Iterable[Event], user: int, category: str) -> dict[str, Any]:
    """Features of a user and a category at the end of the events, by plain counting."""
    mine = [event for event in events if event["user_id"] == user]
    here = [event for event in mine if event["category"] == category]
    found: dict[str, Any] = {}
    for window in WINDOWS:
        tail = [event for event in here if event["at"] >= END - SPANS[window]]
        counts = Counter(event["action"] for event in tail)
        for action in ACTIONS:
            found[f"user_category_actions:{action}s_{window}"] = counts[action]
        found[f"user_category_actions:dwell_sum_{window}"] = _total(tail)
        shows = counts["show"]
        found[f"user_category_actions:ctr_{window}"] = counts["click"] / shows if shows else None
    found["user_actions:events"] = len(mine)
    for window in ("1h", "1d"):
        tail = [event for event in mine if event["at"] >= END - SPANS[window]]
        for action in ("click", "buy"):
            counts = Counter(event["category"] for event in tail if event["action"] == action)
            found[f"user_actions:{action}s_{window}_by_category"] = dict(counts) or None
        dwells = {each: _total([event for event in tail if event["category"] == each]) for each in CATEGORIES}
        found[f"user_actions:dwell_sum_{window}_by_category"] = {
            each: dwell for each, dwell in dwells.items() if any(event["category"] == each for event in tail)
        } or None
    day = [event["action"] for event in mine if event["at"] >= END - SPANS["1d"]]
    found["user_actions:count_1d_by_action"] = dict(Counter(day)) or None
    return found


def _total(events: Sequence[Event]) -> float | None:
    """Sum of the dwells, rounded once, or None if there are none."""
    dwells = [event["dwell"] for event in events if event["dwell"] is not None]
    return math.fsum(dwells) if dwells else None


def _event(draw: random.Random, user: int, at: datetime) -> Event:
    action = draw.choices(ACTIONS, SHARES)[0]
    return {
        "user_id": user,
        "item_id": draw.randrange(10_000),
        "category": draw.choice(CATEGORIES),
        "action": action,
        "dwell": round(draw.expovariate(1 / 30), 3) if action == "click" else None,
        "at": at,
    }
