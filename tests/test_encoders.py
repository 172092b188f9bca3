"""Encoders: what each learns and gives, against a naive oracle and scikit-learn, in any order and any batch."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import UTC, date
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import preprocessing

from schemas.encoding import Encoder, Encoding, encode
from schemas.entity import Entity
from schemas.errors import RequestError, StoreError
from schemas.feature_view import FeatureView
from schemas.registry import Registry
from schemas.source import Source
from tests import encoder_oracle as oracle
from tests.encoder_oracle import bits
from tests.encoder_rows import EDGES, INFINITY, NAN, REQUEST, ROWS, START, STORED, TYPES, encoders, rows
from transforms.artefact import Artefact
from transforms.catalog import Catalog
from transforms.encoding import CompiledEncoding

FEATURES = encoders()
SOURCE = Source("events", fields={"user_id": "int64", "ts": "timestamp(us)", **STORED}, event_time="ts", topic="events")
VIEW = FeatureView("v", entity=Entity("user", keys={"user_id": "int64"}), source=SOURCE, features=list(STORED))
DEFINED = Encoding("enc", features=list(FEATURES.values()), request=REQUEST)

FIT, OTHER = 1, 2


@cache
def encoding() -> CompiledEncoding:
    return Catalog.compile(Registry.of([VIEW, DEFINED])).encodings["enc"]


@cache
def plain_rows(seed: int) -> dict[str, list[Any]]:
    return rows(seed)


@cache
def artefact() -> Artefact:
    return learnt(encoding(), plain_rows(FIT))


def arrays(given: Mapping[str, list[Any]]) -> dict[str, pa.Array]:
    """Columns by address, and request columns."""
    return {
        f"v:{name}" if name in STORED else name: pa.array(given[name], kind, from_pandas=False)
        for name, kind in TYPES.items()
        if name in given
    }


def learnt(of: CompiledEncoding, given: Mapping[str, list[Any]]) -> Artefact:
    targets = {
        "label": pa.array(given.get("label", []), pa.bool_()),
        "price": pa.array(given.get("price", []), pa.float64(), from_pandas=False),
    }
    return of.fit(arrays(given), targets, len(next(iter(given.values()))))


def encoded(of: CompiledEncoding, by: Artefact, feature: str, columns: Mapping[str, pa.Array]) -> pa.Array:
    (found,) = [each for each in of.fitted(by).encoded if each.feature.name == feature]
    values = found.compute(columns)[feature]
    assert values.type == found.feature.dtype
    return values


def made(*features: Encoder, request: Mapping[str, str] | None = None) -> CompiledEncoding:
    """An encoding of its own."""
    return Catalog.compile(Registry.of([VIEW, Encoding("enc", features=features, request=request or {})])).encodings[
        "enc"
    ]


def expected(feature: str, fitted: Mapping[str, list[Any]], given: Mapping[str, list[Any]]) -> list[Any]:
    """What the oracle says of every feature of `tests.encoder_rows.encoders`."""
    inner = encoders()["s_x"]
    assert isinstance(inner.inputs[1], Encoder)
    thirds = [
        [9 if value is None else value for value in oracle.quantiles(fitted["x"], values, 3)]
        for values in (fitted["x"], given["x"])
    ]
    amounts = [oracle.buckets(values, [0, 10, 100]) for values in (fitted["amount"], given["amount"])]
    everything = [given[name] for name in ("device", "i", "raw", "day", "b", "at")]
    found: dict[str, Any] = {
        "s_vocabulary": lambda: oracle.vocabulary(fitted["s"], given["s"], 50, 2, 0),
        "i_vocabulary": lambda: oracle.vocabulary(fitted["i"], given["i"], 10_000, 1, -1),
        "b_vocabulary": lambda: oracle.vocabulary(fitted["b"], given["b"], 10_000, 1, 0),
        "day_vocabulary": lambda: oracle.vocabulary(fitted["day"], given["day"], 10_000, 1, 0),
        "at_vocabulary": lambda: oracle.vocabulary(fitted["at"], given["at"], 20, 1, 0),
        "raw_vocabulary": lambda: oracle.vocabulary(fitted["raw"], given["raw"], 10_000, 3, 0),
        "s_one_hot": lambda: oracle.one_hot(fitted["s"], given["s"], 12, 1),
        "small_one_hot": lambda: oracle.one_hot(fitted["small"], given["small"], 100, 5),
        "s_target_mean": lambda: oracle.target_mean(fitted["s"], fitted["label"], given["s"], 20.0, 60, 1),
        "i_target_mean": lambda: oracle.target_mean(fitted["i"], fitted["price"], given["i"], 0.0, 10_000, 2),
        "x_standard": lambda: oracle.standard(fitted["x"], given["x"]),
        "f_standard": lambda: oracle.standard(fitted["f"], given["f"]),
        "i_standard": lambda: oracle.standard(fitted["i"], given["i"]),
        "d_standard": lambda: oracle.standard(fitted["d"], given["d"]),
        "amount_standard": lambda: oracle.standard(fitted["amount"], given["amount"]),
        "x_min_max": lambda: oracle.min_max(fitted["x"], given["x"], False),
        "d_min_max": lambda: oracle.min_max(fitted["d"], given["d"], True),
        "qty_min_max": lambda: oracle.min_max(fitted["qty"], given["qty"], True),
        "x_buckets": lambda: oracle.buckets(given["x"], EDGES),
        "i_buckets": lambda: oracle.buckets(given["i"], EDGES),
        "d_buckets": lambda: oracle.buckets(given["d"], EDGES),
        "x_quantiles": lambda: oracle.quantiles(fitted["x"], given["x"], 7),
        "i_quantiles": lambda: oracle.quantiles(fitted["i"], given["i"], 100),
        "qty_quantiles": lambda: oracle.quantiles(fitted["qty"], given["qty"], 4),
        "s_device_cross": lambda: oracle.cross([given["s"], given["device"]], 997),
        "all": lambda: oracle.cross(everything, 1 << 20),
        "b_device": lambda: oracle.vocabulary(
            oracle.crossed([fitted["b"], fitted["device"]]), oracle.crossed([given["b"], given["device"]]), 9, 1, 0
        ),
        "s_x": lambda: oracle.vocabulary(
            oracle.crossed([fitted["s"], thirds[0]]), oracle.crossed([given["s"], thirds[1]]), 40, 1, -1
        ),
        "amount_buckets_one_hot": lambda: oracle.one_hot(amounts[0], amounts[1], 100, 1),
    }
    values: list[Any] = found[feature]()
    return values


@pytest.mark.parametrize("seed", [FIT, OTHER])
@pytest.mark.parametrize("feature", FEATURES)
def test_every_encoder_gives_what_the_oracle_gives(feature: str, seed: int) -> None:
    given = plain_rows(seed)
    values = encoded(encoding(), artefact(), feature, arrays(given)).to_pylist()
    assert len(values) == ROWS
    assert [bits(value) for value in values] == [bits(value) for value in expected(feature, plain_rows(FIT), given)]
    assert len({repr(value) for value in values}) > 1


@pytest.mark.parametrize("feature", FEATURES)
def test_a_row_gives_the_same_alone_as_among_others(feature: str) -> None:
    columns = arrays(plain_rows(OTHER))
    whole = encoded(encoding(), artefact(), feature, columns).to_pylist()
    (found,) = [each for each in encoding().fitted(artefact()).encoded if each.feature.name == feature]
    chance, parts, at = random.Random(feature), [], 0
    while at < ROWS:
        size = 1 if at < 1_500 else chance.choice([1, 2, 7, 1_000])
        parts += found.compute({name: column.slice(at, size) for name, column in columns.items()})[feature].to_pylist()
        at += size
    assert [bits(value) for value in parts] == [bits(value) for value in whole]


VALUES = {
    "s": st.sampled_from(["a", "b", "", "ä", "日本"]),
    "i": st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1),
    "small": st.integers(-128, 127),
    "x": st.floats() | st.sampled_from([0.0, -0.0, 1.7e308, -1.7e308, 5e-324]),
    "f": st.floats(width=32),
    "d": st.decimals(-(10**8), 10**8, places=3),
    "b": st.booleans(),
    "day": st.dates(),
    "at": st.datetimes().map(lambda at: at.replace(tzinfo=UTC)),
    "raw": st.binary(max_size=2),
    "device": st.sampled_from(["ios", "web"]),
    "amount": st.floats(),
    "qty": st.integers(0, 5),
    "label": st.booleans(),
    "price": st.floats(),
}
SOUND: dict[str, Any] = {
    **{"s": "a", "i": 1, "small": 1, "x": 1.0, "f": 1.0, "d": Decimal("1.000"), "b": True, "day": date(2026, 1, 1)},
    **{"at": START, "raw": b"r", "device": "ios", "amount": 1.0, "qty": 1, "label": True, "price": 1.0},
}
ROW = st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()})


@cache
def without_least_counts() -> CompiledEncoding:
    """Every encoder that a row is enough for."""
    return made(*(each for each in FEATURES.values() if each.param("min_count", 1) == 1), request=REQUEST)


@given(st.lists(ROW, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_a_fit(found: list[dict[str, Any]], chance: random.Random) -> None:
    found = [SOUND, *found]
    shuffled = chance.sample(found, len(found))
    first, second = (
        learnt(without_least_counts(), {name: [row[name] for row in each] for name in VALUES})
        for each in (found, shuffled)
    )
    assert first.text == second.text
    assert first.version == second.version
    assert Artefact.from_text(first.text, second.version) == second


def test_an_artefact_of_other_content_than_its_version_is_refused() -> None:
    text, version = artefact().text, artefact().version
    assert Artefact.from_text(text, version) == artefact()
    with pytest.raises(StoreError, match=f"artefact {version[:12]}: its content has the hash"):
        Artefact.from_text(text.replace('"format":1', '"format": 1'), version)
    with pytest.raises(StoreError, match="format 9"):
        Artefact.from_text(text.replace('"format":1', '"format":9'))
    with pytest.raises(StoreError, match="its text is none"):
        Artefact.from_text("{}")


def test_an_artefact_is_of_the_values_and_not_of_how_often_it_was_made() -> None:
    again = learnt(made(*FEATURES.values(), request=REQUEST), rows(FIT))
    assert again.version == artefact().version
    assert learnt(encoding(), rows(OTHER)).version != artefact().version


def one(encoder: Encoder, fitted: list[Any], given: list[Any], column: str = "x") -> list[Any]:
    """Values of one encoder of one column, fitted on some values."""
    of = made(encoder)
    by = learnt(of, {column: fitted}) if of.learns else Artefact("enc", 0, {}, {})
    values: list[Any] = encoded(of, by, encoder.feature_name, arrays({column: given})).to_pylist()
    return values


@pytest.mark.parametrize(
    ("encoder", "fitted", "given", "values"),
    [
        (encode.standard("v:x"), [5.0, 5.0], [5.0, 6.0, None, NAN, INFINITY], [0.0, 1.0, None, NAN, INFINITY]),
        (encode.standard("v:x"), [1.0, 3.0, None, NAN, -INFINITY], [1.0, 3.0], [-1.0, 1.0]),
        (encode.standard("v:x"), [1e200, -1e200], [1e200], [1.0]),
        (encode.standard("v:x"), [1.5e308, -1.5e308], [1.5e308], [1.0]),
        (encode.standard("v:x"), [5e-324, 0.0, -5e-324, 0.0], [0.0], [0.0]),
        (encode.min_max("v:x"), [2.0], [2.0, 5.0], [0.0, 3.0]),
        (encode.min_max("v:x"), [-1.7e308, 1.7e308], [-1.7e308, 0.0, 1.7e308], [0.0, 0.5, 1.0]),
        (encode.min_max("v:x"), [0.0, 4.0], [6.0, -2.0, None, NAN], [1.5, -0.5, None, NAN]),
        (encode.min_max("v:x", clip=True), [0.0, 4.0], [6.0, -INFINITY, None, NAN], [1.0, 0.0, None, NAN]),
        (encode.buckets("v:x", edges=[0, 1]), [], [-INFINITY, -0.0, 0.99, 1.0, NAN, None], [0, 1, 1, 2, None, None]),
        (encode.quantiles("v:x", buckets=2), [0.0] * 9 + [1.0], [0.0, 1.0], [0, 0]),
        (encode.quantiles("v:x", buckets=2), [-0.0, 0.0, 3.0, 9.0], [2.9, 3.0], [0, 1]),
        (encode.quantiles("v:x", buckets=4), list(map(float, range(8))), [1.9, 2.0, 3.0, 4.0, 7.0], [0, 1, 1, 2, 3]),
    ],
)
def test_what_becomes_of_extremes(encoder: Encoder, fitted: list[Any], given: list[Any], values: list[Any]) -> None:
    assert [bits(value) for value in one(encoder, fitted, given)] == [bits(value) for value in values]


def test_ties_and_unknown_categories() -> None:
    fitted, asked = ["b", "a", "c", "c", None], ["c", "a", "b", "new", None]
    assert one(encode.vocabulary("v:s"), fitted, asked, "s") == [1, 2, 3, 0, None]
    assert one(encode.vocabulary("v:s", unknown=-1, size=2), fitted, asked, "s") == [0, 1, -1, -1, None]
    assert one(encode.vocabulary("v:s", min_count=2), fitted, asked, "s") == [1, 0, 0, 0, None]
    assert one(encode.one_hot("v:s", size=2), fitted, asked, "s") == [[0, 1], [1, 0], [0, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("encoder", "column", "fitted", "told"),
    [
        (encode.vocabulary("v:s"), "s", [None], "enc:s_vocabulary: has no value"),
        (encode.vocabulary("v:s", min_count=2), "s", ["a"], "no value is there 2 times"),
        (encode.standard("v:x"), "x", [NAN, None, INFINITY], "enc:x_standard: has no finite value"),
        (encode.min_max("v:x"), "x", [], "has no finite value"),
        (encode.quantiles("v:i"), "i", [None], "has no value"),
        (encode.target_mean("v:s", target="label"), "s", ["a"], "target has no finite value"),
        (encode.cross(["v:s", "v:s"], size=3), "s", [None], "enc:s_s_cross: has no value"),
        (encode.buckets("v:x", edges=[1]), "x", [1.0], "enc: its encoders learn nothing"),
    ],
)
def test_nothing_to_learn_from_is_refused(encoder: Encoder, column: str, fitted: list[Any], told: str) -> None:
    with pytest.raises(RequestError, match=told):
        learnt(made(encoder), {column: fitted, "label": [None] * len(fitted)})


def test_scikit_learn_agrees() -> None:
    given = plain_rows(FIT)
    finite = [value for value in given["amount"] if value is not None and math.isfinite(value)]
    matrix = np.asarray(finite)[:, None]
    standard = preprocessing.StandardScaler().fit_transform(matrix)[:, 0]
    np.testing.assert_allclose(one(encode.standard("v:x"), finite, finite), standard, rtol=1e-12, atol=1e-12)
    shares = preprocessing.MinMaxScaler(clip=True).fit_transform(matrix)[:, 0]
    np.testing.assert_allclose(one(encode.min_max("v:x", clip=True), finite, finite), shares, rtol=1e-12, atol=1e-12)
    words = [[value] for value in given["s"] if value is not None]
    hot = preprocessing.OneHotEncoder(sparse_output=False).fit_transform(words)
    plain = [word for (word,) in words]
    assert np.array_equal(one(encode.one_hot("v:s", size=1_000), plain, plain, "s"), hot)
    both = [
        (word, label)
        for word, label in zip(given["s"], given["label"], strict=True)
        if word is not None and label is not None
    ]
    targets = preprocessing.TargetEncoder(target_type="binary", smooth=20.0).fit(
        [[word] for word, _ in both], [label for _, label in both]
    )
    of = made(encode.target_mean("v:s", target="label"))
    by = learnt(of, {"s": [word for word, _ in both], "label": [label for _, label in both]})
    asked = [str(word) for word in targets.categories_[0]]
    ours = encoded(of, by, "s_target_mean", arrays({"s": asked})).to_pylist()
    np.testing.assert_allclose(ours, targets.encodings_[0], rtol=1e-12)
