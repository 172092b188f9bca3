"""Feast's routes under bodies that nobody should send: told what is wrong, and never 500."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import httpx

from tests.served import project, serving

BODIES = 2_000
GROWTH = 10_000_000
VALUES: list[Any] = [
    None, True, 0, -1, 10**30, -(10**19), 2**63, 1.5, 1e308, "", "x", "\x00", "2026-11-30", "2026-11-30T00:00:00",
    "9999-12-31T23:59:59.999999Z", "NaN", [], [1], {}, {"a": 1}, [[1]], "AAA", "12.5", "\ud83d", 1e20, -62135596801,
    253402300800,
]  # fmt: skip
FEATURES = ["person:name", "person:seen", "person:photo", "spending:count_24h", "weather:heat", "burden:ratio"]
FEATURES += ["payer:name", "person:tags", "both", "x:y", "person@v1:name", ":", ""]
PERSON = ["score", "photo", "seen", "born", "owes", "tags", "vip", "name"]
COLUMNS = [*PERSON, "user_id", "place", "day", "amount", "ts", "price", "kind", "heat", "event_timestamp", "payer_id"]


def columns(draw: random.Random) -> dict[str, list[Any]]:
    rows = draw.choice([0, 1, 1, 2])
    some = draw.sample(COLUMNS, draw.randint(0, len(COLUMNS)))
    found = {name: [draw.choice(VALUES) for _ in range(rows)] for name in some}
    return found | ({"user_id": [1] * rows} if draw.random() < 0.5 else {})


def request(draw: random.Random) -> tuple[str, Any]:
    body: dict[str, Any]
    kind = draw.choice(["read", "read", "push", "person", "materialize"])
    if kind == "read":
        path, body = "/get-online-features", {"entities": columns(draw), "full_feature_names": draw.random() < 0.5}
        body["features"] = [draw.choice(FEATURES) for _ in range(draw.randint(0, 3))]
    elif kind == "materialize":
        path, body = "/materialize", {"start_ts": draw.choice(VALUES), "end_ts": draw.choice(VALUES)}
        body["feature_views"] = ["nope"]
    else:
        name = draw.choice(["purchases", "readings", "x"])
        path, body = "/push", {"push_source_name": name, "df": columns(draw), "to": "offline"}
        if kind == "person":
            body["df"] = {name: [draw.choice(VALUES)] for name in PERSON}
            body["df"] |= {"user_id": [1], "event_timestamp": ["2026-11-30T12:00:00"]}
            body["push_source_name"] = "profiles"
    if draw.random() < 0.1:
        body[draw.choice(list(body))] = draw.choice(VALUES)
    return path, body


def test_whatever_is_sent_is_answered_and_never_500(tmp_path: Path) -> None:
    draw, statuses = random.Random(5), set()
    with serving(project(tmp_path / "shop")) as server, httpx.Client(base_url=server.url, timeout=300) as http:
        for number in range(BODIES):
            if number == BODIES // 2:
                held = server.memory()
            path, body = request(draw)
            answer = http.post(path, content=json.dumps(body).encode())
            statuses.add(answer.status_code)
            assert answer.status_code < 500, (path, body, answer.text)
            assert answer.status_code == 200 or isinstance(answer.json(), str | dict)
        assert server.memory() < held + GROWTH
        assert "Traceback" not in server.err()
    assert statuses >= {200, 404, 422}
