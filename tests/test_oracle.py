"""The oracle itself, against values and statuses worked out by hand from the rules."""

from __future__ import annotations

import ast
import math
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests import oracle
from tests.oracle import Feature, Near, answer, order, value

SECOND = 1_000_000


def row(time: int, x: Any = None, **more: Any) -> dict[str, Any]:
    system = {"_sequence": None, "_arrival": time, "_lane": "s/topic-a/0", "_offset": time, "_part": 0}
    return {"_event_time": time, "x": x, "_deleted": False, **system, **more}


def of(operation: str, values: list[Any], by: str | None = None, **params: Any) -> Any:
    rows = [row(at, x, b="u" if at % 2 else "v") for at, x in enumerate(values)]
    return value(operation, rows, params, ("x",), by)


@pytest.mark.parametrize(
    ("operation", "values", "params", "expected"),
    [
        ("sum", [0.1] * 10, {}, 1.0),
        ("sum", [1e308, 1e308, -1e308], {}, 1e308),
        ("sum", [1e308, 1e308], {}, math.inf),
        ("sum", [True, True, None], {}, 2),
        ("sum", [Decimal("0.10"), Decimal("0.20")], {}, Decimal("0.30")),
        ("sum", [math.inf, 1.0], {}, math.inf),
        ("mean", [1, 2], {}, 1.5),
        ("mean", [1e308, 1e308], {}, 1e308),
        ("variance", [1, 2, 3, 4], {}, 5 / 3),
        ("variance", [1, 2, 3, 4], {"ddof": 0}, 1.25),
        ("variance", [1], {}, None),
        ("stddev", [1, 3], {"ddof": 0}, 1.0),
        ("skew", [0, 0, 3], {}, 2.0 / (2.0 * math.sqrt(2.0))),
        ("skew", [2, 2, 2], {}, None),
        ("skew", [1, 2], {}, None),
        ("kurtosis", [0, 0, 2, 2], {}, -2.0),
        ("kurtosis", [1, 2, 3], {}, None),
        ("min", [2.0, -0.0, math.nan], {}, 0.0),
        ("max", ["é", "z", None], {}, "é"),
        ("first", [None, 1, 2], {}, 1),
        ("first", [None, 1, 2], {"keep_null": True}, None),
        ("last_k", [1, None, 2, 3], {"k": 2}, [3, 2]),
        ("first_k", [1, None, 2], {"k": 2, "keep_null": True}, [1, None]),
        ("top_k", [1, 3, 3, 2], {"k": 3}, [3, 3, 2]),
        ("bottom_k", [3, 1, 1], {"k": 5}, [1, 1, 3]),
        ("unique_count", [math.nan, -math.nan, 0.0, -0.0], {}, 2),
        ("unique_count", [1, 2, 3], {"limit": 2}, None),
        ("unique_count", [None], {}, 0),
        ("bounded_unique_count", [1, 2, 3], {"k": 2}, 2),
        ("histogram", [2, 1, 1, 3, 3], {"k": 2}, {"1": 2, "3": 2}),
        ("histogram", [], {}, None),
        ("count", [1, None], {}, 1),
    ],
)
def test_values(operation: str, values: list[Any], params: dict[str, Any], expected: Any) -> None:
    found, overflow = of(operation, values, **params)
    assert (found, type(found), overflow) == (expected, type(expected), False)


def test_the_oracle_imports_the_standard_library_alone() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    imported = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    imported += [node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_special_values_and_overflow() -> None:
    assert math.isnan(of("sum", [math.inf, -math.inf])[0])
    assert math.isnan(of("max", [math.nan, math.inf])[0])
    assert math.isnan(of("variance", [1.0, math.inf])[0])
    assert of("sum", [2**63 - 1, 1]) == (None, True)
    assert of("sum", [Decimal("9" + "0" * 37), Decimal("1" + "0" * 37)]) == (None, True)
    assert of("sum", [2**63 - 1, 7, 1, 7], by="b") == ({"u": 14, "v": None}, True)
    assert of("count", [None, 3], by="b") == ({"u": 1, "v": 0}, False)


def test_a_window_ends_at_the_instant_and_begins_at_a_hop() -> None:
    rows = [row(at * SECOND) for at in range(-20, 20)]
    window = Feature("count", window=10 * SECOND, hop=4 * SECOND)
    assert answer(window, rows, 15 * SECOND) == (12, "PRESENT")  # 4 s .. 15 s
    assert answer(window, rows, 15 * SECOND, strict=True) == (11, "PRESENT")
    assert answer(window, rows, 14 * SECOND) == (11, "PRESENT")
    assert answer(window, rows, -5 * SECOND) == (12, "PRESENT")  # -16 s .. -5 s
    before = Feature("count", window=10 * SECOND, hop=4 * SECOND, offset=3 * SECOND)
    assert answer(before, rows, 15 * SECOND) == (12, "PRESENT")  # 0 s .. below 12 s


def test_statuses() -> None:
    rows = [row(10, 1, _arrival=50), row(20, None), row(30, 3, _deleted=True)]
    latest = Feature("latest", ("x",), kind="latest", ttl=5, default=-1)
    assert answer(latest, rows, 9) == (-1, "NOT_FOUND")
    assert answer(latest, rows, 15) == (1, "PRESENT")
    assert answer(latest, rows, 15, known="arrival") == (-1, "NOT_FOUND")
    assert answer(latest, rows, 16) == (-1, "OUTSIDE_MAX_AGE")
    assert answer(latest, rows, 20) == (-1, "NULL_VALUE")
    assert answer(latest, rows, 20, strict=True) == (-1, "OUTSIDE_MAX_AGE")
    assert answer(latest, rows, 30) == (-1, "NOT_FOUND")
    assert answer(latest, None, 30) == (-1, "NOT_FOUND")
    assert answer(Feature("sum", ("x",)), rows, 9) == (None, "NOT_FOUND")
    assert answer(Feature("sum", ("x",), where=lambda r: r["x"] == 7), rows, 99) == (None, "NULL_VALUE")
    assert answer(Feature("sum", ("x",), window=5), rows, 99) == (None, "NULL_VALUE")
    assert answer(Feature("sum", ("x",)), rows, 99) == (1, "PRESENT")
    assert answer(Feature("count", ("x",)), rows, 9) == (0, "PRESENT")
    assert answer(Feature("count", ("x",), by="x"), rows, 9) == (None, "NOT_FOUND")
    assert answer(Feature("count"), None, 9) == (None, "NOT_FOUND")


def test_ties_go_by_sequence_arrival_lane_offset_and_part() -> None:
    rising = [
        row(0, 1, _arrival=9),
        row(0, 2, _sequence=-5, _arrival=1, _lane="s/topic-a/9"),
        row(0, 3, _sequence=-5, _arrival=1, _lane="s/topic-a/10", _offset=8),
        row(0, 4, _sequence=-5, _arrival=1, _lane="s/topic-a/10", _offset=8, _part=1),
        row(0, 5, _sequence=-5, _arrival=2),
        row(1, 6, _sequence=-9),
    ]
    assert sorted([*rising[3:], *rising[:3]], key=order) == rising
    first = Feature("latest", ("x",), kind="latest", ties="first")
    assert answer(first, rising[::-1], 0) == (1, "PRESENT")
    assert answer(Feature("latest", ("x",), kind="latest"), rising[::-1], 0) == (5, "PRESENT")


def test_approximate_values_are_compared_by_their_bounds() -> None:
    near = of("approx_percentile", [4.0, 1.0, 2.0, math.nan], q=0.5, error=0.01)[0]
    assert near == 2.02
    assert near != 2.03
    assert near != 4.0
    assert of("approx_percentile", [1.0, 2.0], q=(0.5, 1.0))[0] == [1.0, 2.0]
    assert of("approx_percentile", [math.nan], q=0.5) == (None, False)
    assert Near((100,), 0.1) == 110
    assert Near((100,), 0.1) != 111
    assert Near((1,), 0.1) is not None
