"""Records in texts: what is put comes back as it was put, is kept as numbers, and is refused where it is neither."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.feature_group import FeatureGroup, GroupFeature, identifier
from schemas.names import name_problem
from serving.server.problems import Problem
from serving.server.sagemaker.bodies import FeatureValue
from serving.server.sagemaker.events import RecordEvents, Targets
from serving.server.sagemaker.values import EPOCH, LEAST, MOST, moment, moment_text, texts_of, typed

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
WHOLE, NUMBER, TEXT = (GroupFeature("f", kind, None, None, "f") for kind in ("Integral", "Fractional", "String"))
moments = st.integers(LEAST, MOST).map(lambda micros: EPOCH + timedelta(microseconds=micros))


def group(time: str = "String") -> FeatureGroup:
    document = {
        "FeatureGroupName": "g",
        "RecordIdentifierFeatureName": "id",
        "EventTimeFeatureName": "at",
        "FeatureDefinitions": [
            {"FeatureName": "id", "FeatureType": "String"},
            {"FeatureName": "at", "FeatureType": time},
        ],
        "OnlineStoreConfig": {"EnableOnlineStore": True},
        "Created": 1,
    }
    return FeatureGroup(document, Path("g.json"))


@given(st.sampled_from([WHOLE, NUMBER, TEXT]), st.data())
def test_a_text_comes_back_as_it_was(feature: GroupFeature, data: st.DataObject) -> None:
    numbers = st.integers(-(2**63), 2**63 - 1)
    texts = {
        WHOLE: numbers.map(str) | numbers.map(lambda number: f"{number:+020d}"[:20]),
        NUMBER: st.floats().map(str) | st.decimals(allow_nan=False, allow_infinity=False).map(str) | numbers.map(str),
        TEXT: st.text(),
    }
    text = data.draw(texts[feature].filter(lambda drawn: feature is TEXT or len(drawn) <= 30))
    try:
        value, kept = typed(feature, text, None)
    except ValueError:
        assert feature is not TEXT
        return
    assert (kept or texts_of(feature, value)) == text
    if feature is WHOLE:
        assert value == int(text)
    elif feature is NUMBER:
        assert repr(value) == repr(float(text))


@pytest.mark.parametrize(
    ("feature", "text"),
    [(WHOLE, text) for text in ("", "1.0", " 1", "1_0", "١", "0x1", str(2**63), "-" + str(2**63 + 1), "9" * 30)]
    + [(NUMBER, text) for text in ("", "1,5", " 1", "1_0", "١", "0x1", "one", "1e", "--1")],
)
def test_what_is_no_number_is_refused(feature: GroupFeature, text: str) -> None:
    with pytest.raises(ValueError, match="f: "):
        typed(feature, text, None)


@given(moments)
def test_times_are_exact_to_the_microsecond(time: datetime) -> None:
    micros = (time - EPOCH) // timedelta(microseconds=1)
    assert moment("String", moment_text("String", micros)) == micros
    assert datetime.fromisoformat(moment_text("String", micros)) == time
    assert moment("Fractional", str(Decimal(micros) / 1_000_000)) == micros


@pytest.mark.parametrize(
    ("kind", "text", "micros"),
    [
        ("String", "2026-12-01T12:00:00Z", 1_796_126_400_000_000),
        ("String", "2026-12-01T12:00:00.5Z", 1_796_126_400_500_000),
        ("String", "2026-12-01T12:00:00.123456789Z", 1_796_126_400_123_456),
        ("String", "2026-12-01T14:00:00+02:00", 1_796_126_400_000_000),
        ("String", "2026-12-01T10:00:00-0200", 1_796_126_400_000_000),
        ("Fractional", "1796126400", 1_796_126_400_000_000),
        ("Fractional", "1.7961264005E9", 1_796_126_400_500_000),
        ("Fractional", "-0.0000001", -1),
    ],
)
def test_times_that_are_legal(kind: str, text: str, micros: int) -> None:
    assert moment(kind, text) == micros


@pytest.mark.parametrize(
    ("kind", "text"),
    [("String", text) for text in ("", "yesterday", "2026-12-01", "2026-12-01T12:00:00", "2026-13-01T12:00:00Z")]
    + [("String", text) for text in ("2026-12-01 12:00:00Z", "1796126400", "0001-01-01T00:00:00+14:00")]
    + [("Fractional", text) for text in ("", "nan", "inf", "2026-12-01T12:00:00Z", "1e400", "1e13", "-1e12")],
)
def test_times_that_are_none(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"is (no time|beyond)"):
        moment(kind, text)


def test_a_time_ahead_of_the_clock_is_refused_and_not_lost_among_dead_letters() -> None:
    events = RecordEvents(group(), 60_000_000)

    def put(time: datetime) -> None:
        record = [FeatureValue("id", "a"), FeatureValue("at", time.strftime("%Y-%m-%dT%H:%M:%SZ"))]
        events.put(record, Targets(True, True), None, NOW)

    put(NOW + timedelta(seconds=60))
    with pytest.raises(Problem, match="ahead of the server's clock") as error:
        put(NOW + timedelta(seconds=61))
    assert error.value.status == 400


@given(st.from_regex(r"[a-zA-Z0-9]([-_]*[a-zA-Z0-9]){0,30}", fullmatch=True))
def test_every_name_has_a_legal_one_that_no_feature_can_have(name: str) -> None:
    for dashed in (True, False):
        ours = identifier(name, dashed)
        assert name_problem(ours, dashed) is None
        assert ours == name or ours.endswith("_")
