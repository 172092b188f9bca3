"""Fingerprints: what changes numbers changes them, and nothing else does."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.fingerprint import fingerprint, function_fingerprint, sql_tokens
from schemas.registry import Registry

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_equal_values_have_equal_fingerprints_and_others_do_not(first: Any, second: Any) -> None:
    assert len(fingerprint(first)) == 16
    assert fingerprint(first) == fingerprint(first)
    assert (fingerprint(first) == fingerprint(second)) == (typed(first) == typed(second))


def typed(value: Any) -> Any:
    """A value that is equal to another only if both have the same types throughout."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return (type(value), repr(value))


def test_fingerprints_stay_as_they_are() -> None:
    assert fingerprint() == "4f53cda18c2baa0c"
    assert fingerprint("a", 1, 1.5, None, True, b"\0", {"b": [1]}, pa.int64()) == "a1a954c126f23205"


def test_order_and_kind_of_containers() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"x", "y", "z"}) == fingerprint({"z", "y", "x"})
    assert fingerprint([1, 2]) == fingerprint((1, 2)) != fingerprint([2, 1])
    assert fingerprint("a", "b") != fingerprint("ab", "")
    assert len({fingerprint(value) for value in (0, 0.0, -0.0, False, "0", None, b"0")}) == 7
    assert fingerprint(pa.timestamp("us", "UTC")) != fingerprint(pa.timestamp("us"))
    with pytest.raises(ValueError, match="object has no fingerprint"):
        fingerprint(object())


@pytest.mark.parametrize(
    "text",
    [
        "price*0.92>=1 and lower(kind) in ('a', 'B''c')",
        "price  *\n 0.92 >= 1 AND LOWER( kind ) IN ('a','B''c')",
        "price * 0.92 -- to euros\n >= 1 /* or\n so */ AND Lower (kind) in ('a', 'B''c') --",
    ],
)
def test_looks_of_sql_do_not_count(text: str) -> None:
    tokens = ("price", "*", "0.92", ">=", "1", "AND", "LOWER", "(", "kind", ")", "IN", "(", "'a'", ",", "'B''c'", ")")
    assert sql_tokens(text) == tokens


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a < b", "a <= b"),
        ("'a  b'", "'a b'"),
        ("'-- a'", "''"),
        ("Kind", "kind"),
        ('"and"', "and"),
        ("ab", "a b"),
        ("1 .5", "1.5"),
        ("a - -b", "a --b"),
        ("x || 'é'", "x || 'e'"),
        ("a < = b", "a <= b"),
    ],
)
def test_what_counts_in_sql(first: str, second: str) -> None:
    assert sql_tokens(first) != sql_tokens(second)


BASE = """
import math
from rates import EUR, to_euro
import rates

SCALE = 2
TABLE = {"a": [1, 2], "b": (3, {4, 5})}


def transform(df):
    return helper(df) * SCALE


def helper(df):
    return to_euro(df) + rates.FEE + TABLE["a"][0] + math.pi
"""
RATES = """
EUR = 0.92
FEE = 1
OTHER = 5


def to_euro(df):
    return df * EUR
"""


def of_files(folder: Path, features: str = BASE, rates: str = RATES, name: str = "transform") -> str:
    folder.mkdir(exist_ok=True)
    (folder / "features.py").write_text(features)
    (folder / "rates.py").write_text(rates)
    registry = Registry.load(folder / "features.py")
    assert [item for item in registry.mistakes if item.name != "definitions"] == []
    return function_fingerprint(getattr(sys.modules[f"{registry.modules[0]}.features"], name))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SCALE = 2", "SCALE = 1 + 1  # twice"),
        ("def transform(df):", 'def transform(df) -> int:\n    """Doc."""\n    # why'),
        ("df):\n    return helper(df) * SCALE", "df): return (helper(\n        df,\n    ) * SCALE)"),
        ('TABLE["a"]', "TABLE['a']"),
        ("import math\n", "import math\nimport os\n\n\ndef unused():\n    return 7\n"),
        ("def helper(df):", "def helper(df: 'frame'):"),
    ],
)  # fmt: skip
def test_looks_of_python_do_not_count(old: str, new: str, tmp_path: Path) -> None:
    assert old in BASE
    assert of_files(tmp_path / "a") == of_files(tmp_path / "b", BASE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SCALE = 2", "SCALE = 3"),
        ("SCALE = 2", "SCALE = 2.0"),
        ("* SCALE", "/ SCALE"),
        ('"a": [1, 2]', '"a": [1, 3]'),
        ("{4, 5}", "{4, 6}"),
        ("math.pi", "math.e"),
        ("to_euro(df) +", "to_euro(df) -"),
        ("rates.FEE", "rates.OTHER"),
        ("def transform(df):", "def transform(df, x=SCALE):"),
    ],
)
def test_what_counts_in_python(old: str, new: str, tmp_path: Path) -> None:
    assert old in BASE
    assert of_files(tmp_path / "a") != of_files(tmp_path / "b", BASE.replace(old, new))


@pytest.mark.parametrize(("old", "new"), [("0.92", "0.93"), ("df * EUR", "df / EUR"), ("FEE = 1", "FEE = 2")])
def test_modules_beside_count(old: str, new: str, tmp_path: Path) -> None:
    assert of_files(tmp_path / "a") != of_files(tmp_path / "b", rates=RATES.replace(old, new))


def test_parts_of_modules_that_are_not_reached_do_not_count(tmp_path: Path) -> None:
    assert of_files(tmp_path / "a") == of_files(tmp_path / "b", rates=RATES.replace("OTHER = 5", "OTHER = 6"))


def test_the_files_of_functions_do_not_count(tmp_path: Path) -> None:
    moved = BASE.replace(
        "from rates import EUR, to_euro", RATES.partition("OTHER = 5")[0] + RATES.partition("OTHER = 5")[2]
    )
    assert of_files(tmp_path / "a") == of_files(tmp_path / "b", moved)


def test_a_function_is_fingerprinted_as_it_was_loaded(tmp_path: Path) -> None:
    before = of_files(tmp_path)
    function = sys.modules[Registry.load(tmp_path / "features.py").modules[0] + ".features"].transform
    assert of_files(tmp_path, BASE.replace("* SCALE", "- SCALE")) != before
    assert function_fingerprint(function) == before


MORE = """
import functools
import operator
from collections import OrderedDict as Ordered
from datetime import timedelta
from enum import Enum

AGE = timedelta(days=1)
PLUS = functools.partial(operator.add, 2)
DOUBLE = lambda x: x * 2


class Rate:
    low = 1

    def of(self, x):
        return x * self.low


class Color(Enum):
    RED = 1


RATE = Rate()


@functools.lru_cache
def cached(x):
    return x + 1


def decorated(function):
    @functools.wraps(function)
    def inner(df):
        return function(df)

    return inner


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def delta(df): return df + AGE
def part(df): return PLUS(df)
def kind(df): return Rate().of(df)
def made(df): return RATE.of(df)
def cache(df): return cached(df)
def library(df): return Ordered(df)
def color(df): return Color.RED
def missing(df): return not_there(df)
def inside(df): return [lambda x: x + AGE for x in df]
def of_lambda(df): return DOUBLE(df)
def of_module(df): return vars(functools)
@decorated
def wrapped(df): return df
"""


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("delta", "days=1", "days=2"),
        ("part", "operator.add, 2", "operator.add, 3"),
        ("kind", "x * self.low", "x + self.low"),
        ("kind", "low = 1", "low = 2"),
        ("made", "low = 1", "low = 2"),
        ("made", "RATE = Rate()", "RATE = Rate() or 1"),
        ("cache", "x + 1", "x + 2"),
        ("library", "import OrderedDict", "import Counter"),
        ("color", "RED = 1", "RED = 2"),
        ("even", "n != 0 and", "n == 0 or"),
        ("inside", "days=1", "days=2"),
        ("missing", "not_there", "nowhere"),
    ],
)
def test_what_functions_reach(name: str, old: str, new: str, tmp_path: Path) -> None:
    assert old in MORE
    first = of_files(tmp_path / "a", MORE, name=name)
    assert first == of_files(tmp_path / "b", MORE, name=name)
    assert first != of_files(tmp_path / "c", MORE.replace(old, new), name=name)


@pytest.mark.parametrize(
    ("name", "told"), [("of_lambda", "a lambda has no name"), ("wrapped", "wrapped is a closure over function")]
)
def test_lambdas_and_closures_are_refused_wherever_they_are_reached(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        of_files(tmp_path, MORE, name=name)


def test_a_module_as_a_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the module rates is used as a value"):
        of_files(tmp_path, "import rates\n\n\ndef transform(df):\n    return vars(rates)\n")


@pytest.mark.parametrize("line", ["import rates", "from rates import EUR", "from .rates import EUR"])
def test_a_project_module_imported_inside_a_function_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rates is imported inside a function: import it at the top of the file"):
        of_files(tmp_path, f"def transform(df):\n    import math, polars.selectors\n    {line}\n    return df\n")


def test_a_value_without_text_is_refused(tmp_path: Path) -> None:
    text = "def setup():\n    globals()['THING'] = object()\n\n\nsetup()\n\n\ndef transform(df):\n    return THING\n"
    with pytest.raises(ValueError, match="THING is a object, whose meaning cannot be told from text: legal are"):
        of_files(tmp_path, text)


def test_decorators_of_ours_do_not_count_and_those_of_others_do(tmp_path: Path) -> None:
    text = "from schemas.on_demand import on_demand\n\n\n{}\ndef transform(df):\n    return df\n\n\n"
    text += "def g(df):\n    return transform(df)\n"
    one = text.format("@on_demand(returns={'x': 'int64'})")
    other = text.format("@on_demand(\n    returns={'y': 'int64'},\n)")
    assert of_files(tmp_path / "a", one, name="g") == of_files(tmp_path / "b", other, name="g")


RATE = 0.92


def here(df: Any) -> Any:
    return df * RATE


def test_functions_of_ordinary_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    def nested(df: Any) -> Any:
        return df * RATE

    before = function_fingerprint(here)
    assert function_fingerprint(nested) == before
    monkeypatch.setitem(here.__globals__, "RATE", 0.93)
    assert function_fingerprint(here) != before


def outer(rate: float) -> Callable[[float], float]:
    def inner(x: float) -> float:
        return x * rate

    return inner


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda df: df, "a lambda has no name"),
        (outer(2), "inner is a closure over rate"),
        (functools.partial(here, 1), "is no plain function"),
        (len, "is no plain function"),
        ("here", "is no plain function"),
        (Path.exists.__get__(Path()), "is no plain function"),
    ],
)
def test_no_functions(function: Any, told: str) -> None:
    with pytest.raises(ValueError, match=f"{told}.*legal is a function made by def"):
        function_fingerprint(function)


def test_a_function_without_text() -> None:
    names: dict[str, Any] = {"__name__": "nowhere"}
    exec("def f(df):\n    return df", names)
    with pytest.raises(ValueError, match="the text of 'f' cannot be read"):
        function_fingerprint(names["f"])
