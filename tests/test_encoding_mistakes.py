"""Mistakes in encodings: each is told with its place, its name and the legal values, before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.encoding import Encoder, Encoding, encode
from schemas.entity import Entity
from schemas.errors import DefinitionError, Mistake, RequestError
from schemas.feature import UnknownOperation, agg
from schemas.feature_view import FeatureView
from schemas.on_demand import OnDemand, on_demand
from schemas.registry import Registry
from schemas.service import FeatureService
from schemas.source import Source
from transforms.catalog import Catalog

FIELDS = {"user_id": "int64", "ts": "timestamp", "s": "string", "x": "float64", "l": "list<int64>", "b": "bool"}
SOURCE = Source("events", fields=FIELDS, event_time="ts", topic="events")
VIEW = FeatureView(
    "v", entity=Entity("user", keys={"user_id": "int64"}), source=SOURCE, features=["s", "x", "l", "b", agg.count()]
)
REQUEST = {"amount": "float64", "device": "string"}


@on_demand(inputs=["v:x"], returns={"y": "float64"})
def doubled(df: Any) -> Any:
    return df.select(y=df["v__x"] * 2)


def mistakes(*features: Any, request: Any = None, name: Any = "enc", others: tuple[Any, ...] = ()) -> list[Mistake]:
    encoding = Encoding(name, features=features, request={} if request is None else request)
    with pytest.raises(DefinitionError) as error:
        Catalog.compile(Registry.of([VIEW, doubled, encoding, *others]))
    return list(error.value.mistakes)


CASES: list[tuple[Encoder, str, str]] = [
    (encode.vocabulary("v:s", size=0), "vocabulary", "size is 0: legal is a whole number from 1 to 1,000,000"),
    (encode.vocabulary("v:s", min_count=0), "vocabulary", "min_count is 0: legal is a whole number of at least 1"),
    (encode.vocabulary("v:s", unknown=0.5), "vocabulary", "unknown is 0.5: legal is a whole number"),  # type: ignore[arg-type]
    (encode.vocabulary("v:q"), "vocabulary", "v has no feature 'q'. Legal are s, x, l, b, count"),
    (encode.vocabulary("w:s"), "vocabulary", "unknown view, role or on-demand function 'w'"),
    (encode.vocabulary("enc:s"), "vocabulary", "unknown view, role or on-demand function 'enc'"),
    (encode.vocabulary("divice"), "vocabulary", "no request column: legal request columns are none; declare them"),
    (encode.vocabulary("now"), "vocabulary", "input 'now' is no feature: make one of it"),
    (encode.vocabulary(3), "vocabulary", "an input is an address as in"),  # type: ignore[arg-type]
    (encode.vocabulary(["v:s", "v:b"]), "vocabulary", "an input is an address as in"),  # type: ignore[arg-type]
    (encode.one_hot("v:s", size=2_000), "one_hot", "size is 2000: legal is a whole number from 1 to 1,000"),
    (encode.min_max("v:x", clip=1), "min_max", "clip is 1: legal are True and False"),  # type: ignore[arg-type]
    (encode.buckets("v:x", edges=[]), "buckets", "edges must be a list with something in it"),
    (encode.buckets("v:x", edges=[1, 1]), "buckets", "edge 1 comes after 1: each edge is greater"),
    (encode.buckets("v:x", edges=[1, float("inf")]), "buckets", "edge inf is no finite number"),
    (encode.quantiles("v:x", buckets=1), "quantiles", "buckets is 1: legal is a whole number from 2 to 10,000"),
    (encode.target_mean("v:s", target=""), "target_mean", "target must be text that is not blank"),
    (encode.target_mean("v:s", target="y", smoothing=-1), "target_mean", "smoothing is -1: legal is a finite number"),
    (encode.cross(["v:s"], buckets=9), "cross", "a cross is of two or more inputs"),
    (encode.cross("v:s", buckets=9), "cross", "a cross is of two or more inputs"),
    (encode.cross(["v:s", "v:b"]), "cross", "a cross is hashed, buckets=, or by a vocabulary, size=: legal is one"),
    (encode.cross(["v:s", "v:b"], buckets=9, size=9), "cross", "legal is one of them"),
    (encode.cross(["v:s", "v:b"], buckets=1), "cross", "buckets is 1: legal is a whole number from 2 to"),
    (encode.cross(["v:s", "v:b"], buckets=9, unknown=1), "cross", "leave them out beside buckets="),
    (encode.one_hot(encode.buckets("v:x", edges=[2, 1])), "buckets", "edge 1 comes after 2"),
    (Encoder("vocabularly", ("v:s",)), "vocabularly", "unknown operation 'vocabularly'. Did you mean 'vocabulary'?"),
    # Types.
    (
        encode.vocabulary("v:x"),
        "vocabulary",
        "'v:x' is float64: bucket it first, as in encode.buckets(..., edges=[...])",
    ),
    (encode.vocabulary("v:l"), "vocabulary", "takes categories (bool, int8 to int64"),
    (
        encode.standard("v:s"),
        "standard",
        "encode.standard takes integers, floats or decimals; 'v:s' is string: encode.voc",
    ),
    (encode.min_max("v:b"), "min_max", "'v:b' is bool"),
    (encode.cross(["v:s", "v:x"], buckets=9), "cross", "encode.cross takes categories"),
    (encode.cross(["v:s", "doubled:y"], buckets=9), "cross", "'doubled:y' is float64: bucket it first"),
    (encode.one_hot(encode.standard("v:x")), "one_hot", "encode.standard is float64: bucket it first"),
    (encode.vocabulary(encode.one_hot("v:s")), "vocabulary", "encode.one_hot is list<int8>"),
    (encode.vocabulary("v:s", default="x"), "vocabulary", "default 'x' is no int64, which is the type of the feature"),
    (encode.standard(encode.vocabulary("v:s", default=0.5)), "vocabulary", "default 0.5 is no int64"),
]


@pytest.mark.parametrize(("encoder", "operation", "told"), CASES)
def test_a_mistake_in_an_encoder_is_told(encoder: Encoder, operation: str, told: str) -> None:
    found = [mistake for mistake in mistakes(encoder) if mistake.name == f"enc: encode.{operation}"]
    assert any(told in mistake.message for mistake in found), list(map(str, found))
    assert all(mistake.place.startswith("test_encoding_mistakes.py:") for mistake in found)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"features": []}, "features must be a list with something in it"),
        ({"features": ["v:s"]}, "features are encoders as in [encode.vocabulary"),
        ({"name": "e:1"}, "'e:1'"),
        ({"name": "v"}, "another feature view, on-demand function or encoding at"),
        ({"request": {"amount": "float"}}, "unknown type 'float'"),
        ({"request": REQUEST}, "request column 'amount' is read by no encoder: leave it out of request="),
        ({"features": [encode.standard("v:x"), encode.standard("v:x")]}, "two features have the name 'x_standard'"),
        ({"features": [encode.standard("v:x", name="a b")]}, "no legal name"),
        ({"tags": {"a": 1}}, "tags must be text to text"),
    ],
)
def test_a_mistake_in_an_encoding_is_told(options: dict[str, Any], told: str) -> None:
    encoding = Encoding(**({"name": "enc", "features": [encode.vocabulary("v:s")]} | options))
    assert any(told in str(mistake) for mistake in Registry.of([VIEW, encoding]).mistakes)


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes(
        encode.standard("v:s"),
        encode.vocabulary("v:x"),
        encode.vocabulary("v:s"),
        encode.one_hot(encode.min_max("v:s")),
    )
    assert sorted(mistake.name for mistake in found) == [
        "enc: encode.min_max",
        "enc: encode.standard",
        "enc: encode.vocabulary",
    ]


def test_mistakes_of_what_uses_an_encoding() -> None:
    encoding = Encoding("enc", features=[encode.vocabulary("v:s")])
    service = FeatureService("model", features=["enc:s_vocabularly", "ecn:s", encoding, "enc:s_vocabulary"])
    found = " ".join(map(str, Registry.of([VIEW, encoding, service]).mistakes))
    assert "enc has no feature 's_vocabularly'. Did you mean 's_vocabulary'?" in found
    assert "unknown view, role, on-demand function or encoding 'ecn'" in found
    assert "'enc:s_vocabulary' is asked for twice" in found
    function = OnDemand("f", doubled.function, ["enc:s_vocabulary"], {}, {"y": "float64"})
    (mistake,) = Registry.of([VIEW, encoding, function]).mistakes
    assert "unknown view or role 'enc'" in mistake.message


def test_request_columns_of_one_name_have_one_type() -> None:
    @on_demand(request={"amount": "int64"}, returns={"half": "float64"})
    def halved(df: Any) -> Any:
        return df.select(half=df["amount"] / 2)

    encoding = Encoding("enc", features=[encode.standard("amount")], request={"amount": "float64"})
    catalog = Catalog.compile(Registry.of([VIEW, encoding, halved]))
    with pytest.raises(RequestError, match=r"request column 'amount' is .* to one function or encoding"):
        catalog.select(["enc", "halved"])


def test_an_unknown_operation_is_told() -> None:
    with pytest.raises(UnknownOperation, match=r"encode has no operation 'onehot'. Did you mean 'one_hot'"):
        encode.onehot("v:s")


JUNK: Any = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
)


@given(data=st.data())
def test_values_of_any_kind_are_mistakes_and_never_exceptions(data: st.DataObject) -> None:
    def junk(**right: Any) -> dict[str, Any]:
        return {name: data.draw(st.just(value) | JUNK, label=name) for name, value in right.items()}

    features = [
        encode.vocabulary(**junk(input="v:s", size=1, min_count=1, unknown=0, name=None, description="")),
        encode.target_mean(**junk(input="v:s", target="y", smoothing=1.0)),
        encode.cross(**junk(inputs=["v:s", "v:b"], buckets=None, size=3, min_count=None, unknown=None, name="c")),
        encode.buckets(**junk(input="v:x", edges=[1])),
        encode.quantiles(**junk(input=encode.standard("v:x"), buckets=3, name="q")),
        encode.min_max(**junk(input="v:x", clip=True)),
    ]
    encoding = Encoding(**junk(name="e", features=features, request={}, owner="", tags={}, description=""))
    found = Registry.of([VIEW, encoding]).mistakes
    assert all(isinstance(item, Mistake) and item.message for item in found)
