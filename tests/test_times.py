"""Instants and dates as text: one by one and by the column, the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transforms.encodings import times

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-(23 * 60 + 59), 23 * 60 + 59))
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)  # noqa: DTZ001
DATES = ["2026-12-01", "1969-02-29", "2024-02-29", "0000-01-01", "0001-01-01", "9999-12-31"]
CLOCKS = ["T", " ", "t", "23:59", "24:00", "00:00:00", "12:34:56", ".5", ",123456789", ".", "1", "é"]
PIECES = st.sampled_from([*DATES, *CLOCKS, "Z", "z", "+01:00", "-2359", "+05", "+24:00", "-00:60"])
TEXTS = st.one_of(st.lists(PIECES, max_size=5).map("".join), st.text(max_size=12), MOMENTS.map(datetime.isoformat))


def one_by_one(read: object, texts: list[str | None]) -> list[int | None]:
    results: list[int | None] = []
    for text in texts:
        try:
            results.append(0 if text is None else read(text))  # type: ignore[operator]
        except ValueError:
            results.append(None)
    return results


def by_column(read: object, texts: list[str | None]) -> list[int | None]:
    array = pa.array(["skipped", *texts], pa.string())[1:]
    values, bad = read(array)  # type: ignore[operator]
    assert values.dtype == np.int64
    return [None if wrong else value for value, wrong in zip(values.tolist(), bad.tolist(), strict=True)]


@settings(deadline=None)
@given(st.lists(st.none() | TEXTS, max_size=12))
@example(["2026-12-01T00:00:00." + "1" * 60 + "+01:00", "2026-12-01T00:00" + "0" * 40])
@example(
    ["2026-12-01Z", "2026-12-01+01:00", "2026-12-01T", "2026-12-01T12", "2026-12-01T12:3", "2026-12-1", "2026-12-01-05"]
)
@example(
    ["9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01", "2026-12-01T00:00:60Z"]
)
@example(
    ["2026-12-01T12:00:00.+01:00", "2026-12-01T12:00:00+1:00", "2026-12-01T12:00:00+010", "2026-12-01T12:00:00+01:0a"]
)
def test_columns_and_single_texts_agree(texts: list[str | None]) -> None:
    assert by_column(times.instants, texts) == one_by_one(times.instant, texts)
    assert by_column(times.days, texts) == one_by_one(times.day, texts)


@given(MOMENTS, st.sampled_from(["T", " "]))
def test_every_moment_is_read_as_the_standard_library_wrote_it(moment: datetime, between: str) -> None:
    expected = (moment - EPOCH) // timedelta(microseconds=1)
    assert times.instant(moment.isoformat(between)) == expected
    assert times.of_datetime(moment) == expected
    assert times.instant(moment.replace(tzinfo=None).isoformat()) == times.of_datetime(moment.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00", 0),
        ("1970-01-01 00:00:01,5", 1_500_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.9999999Z", -1),
        ("1970-01-01T00:00:00.0000019z", 1),
        ("1969-12-31t19:00:00-05", 0),
        ("1970-01-01T05:30:00+0530", 0),
    ],
)
def test_what_a_text_means(text: str, value: int) -> None:
    assert times.instant(text) == value
    assert by_column(times.instants, [text]) == [value]


@pytest.mark.parametrize("text", ["", "now", "20261201", "2026-13-01", "2026-02-30", "2026-12-01T25:00", "١٩٧٠-01-01"])
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match="is no instant: legal is ISO 8601"):
        times.instant(text)
