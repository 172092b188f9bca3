"""Values of counts, sums, moments, extremes and sketches against Python's own exact arithmetic, and their bytes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from schemas.errors import StoreError
from schemas.state import StateSpec
from transforms.accumulators.base import Accumulator, Finished, Inputs
from transforms.accumulators.build import accumulator
from transforms.accumulators.sums import Totals
from transforms.hashing import hashes, mix
from transforms.order import Order
from transforms.wide import Wide

Ints = npt.NDArray[np.int64]
NONE = np.zeros(0, np.int64)
FLOAT, INT = pa.float64(), pa.int64()
NAN, INF = math.nan, math.inf


def build(operation: str, kind: pa.DataType, params: Mapping[str, Any] = MappingProxyType({})) -> Accumulator:
    return accumulator(StateSpec(operation, ("x",), (kind,), tuple(sorted(params.items()))))


def fold(built: Accumulator, column: pa.Array, groups: Ints, n: int) -> Any:
    no_order = Order(NONE, NONE, NONE, NONE, (), NONE, NONE)
    return built.fold(Inputs((column,), None, no_order), groups, n)


def finish(operation: str, values: list[Any], kind: pa.DataType, **params: Any) -> Finished:
    """Value over all the values as one group."""
    built = build(operation, kind, params)
    return built.finish(fold(built, pa.array(values, kind), np.zeros(len(values), np.int64), 1))


def one(operation: str, values: list[Any], kind: pa.DataType, **params: Any) -> Any:
    return finish(operation, values, kind, **params).values[0].as_py()


@pytest.fixture(scope="module")
def money() -> npt.NDArray[np.float64]:
    return np.round(np.random.default_rng(3).gamma(2, 50, 20_000), 2)


@pytest.fixture(scope="module")
def groups() -> Ints:
    return np.random.default_rng(4).integers(0, 500, 20_000)


def test_sums_and_means_of_floats_are_rounded_once(money: npt.NDArray[np.float64], groups: Ints) -> None:
    sums, means = build("sum", FLOAT), build("mean", FLOAT)
    found = sums.finish(fold(sums, pa.array(money), groups, 501))
    lots = [money[groups == group].tolist() for group in range(500)]
    assert found.values.to_pylist() == [*(math.fsum(lot) for lot in lots), None]
    assert not found.overflow.any()
    averages = means.finish(fold(means, pa.array(money), groups, 501)).values.to_pylist()
    assert averages == [*(float(sum(map(Fraction, lot)) / len(lot)) for lot in lots), None]


def test_variances_are_rounded_once(money: npt.NDArray[np.float64], groups: Ints) -> None:
    lots = [money[groups == group].tolist() for group in range(500)]
    for ddof, variance in ((1, statistics.variance), (0, statistics.pvariance)):
        built = build("variance", FLOAT, {"ddof": ddof})
        expected = [float(variance([Fraction(value) for value in lot])) for lot in lots]
        assert built.finish(fold(built, pa.array(money), groups, 500)).values.to_pylist() == expected
        built = build("stddev", FLOAT, {"ddof": ddof})
        roots = built.finish(fold(built, pa.array(money), groups, 500)).values.to_pylist()
        assert roots == [math.sqrt(value) for value in expected]


def test_skew_and_kurtosis_follow_from_rounded_moments(money: npt.NDArray[np.float64], groups: Ints) -> None:
    for operation in ("skew", "kurtosis"):
        built = build(operation, FLOAT)
        found = built.finish(fold(built, pa.array(money), groups, 500)).values.to_pylist()
        for group in range(0, 500, 25):
            lot = [Fraction(value) for value in money[groups == group].tolist()]
            mean = sum(lot) / len(lot)
            m2, m3, m4 = (float(sum((value - mean) ** k for value in lot) / len(lot)) for k in (2, 3, 4))
            assert found[group] == (m3 / (m2 * math.sqrt(m2)) if operation == "skew" else m4 / (m2 * m2) - 3)


def test_moments_of_few_equal_or_odd_values() -> None:
    assert one("variance", [5.0], FLOAT) is None
    assert one("variance", [5.0], FLOAT, ddof=0) == 0
    assert one("variance", [5.0, None], FLOAT) is None
    assert one("variance", [5.0, 5.0], FLOAT) == 0
    assert one("skew", [1.0, 2.0], FLOAT) is None
    assert one("skew", [1.0, 1.0, 1.0], FLOAT) is None
    assert one("skew", [1.0, 2.0, 9.0], FLOAT) > 0
    assert one("kurtosis", [1.0, 2.0, 3.0], FLOAT) is None
    assert one("kurtosis", [2.0] * 5, FLOAT) is None
    for operation in ("variance", "stddev", "skew", "kurtosis"):
        assert math.isnan(one(operation, [1.0, 2.0, INF, 4.0], FLOAT))
        assert math.isnan(one(operation, [1.0, NAN, 3.0, 4.0], FLOAT))
        assert one(operation, [NAN], FLOAT) is None
        assert one(operation, [], FLOAT) is None


def test_sums_take_infinities_as_ieee() -> None:
    cases = {(1.0, INF): INF, (-INF, 1.0, -INF): -INF, (INF, -INF): NAN, (NAN, 1.0): NAN, (INF, NAN, -INF): NAN}
    for values, expected in cases.items():
        for operation in ("sum", "mean"):
            assert repr(one(operation, list(values), FLOAT)) == repr(expected)
    assert one("sum", [1.7e308, 1.7e308, -1.7e308], FLOAT) == 1.7e308
    assert one("sum", [1.7e308, 1.7e308], FLOAT) == INF
    assert one("mean", [1.7e308, 1.7e308], FLOAT) == 1.7e308
    assert one("sum", [-1.7e308, -1.7e308], FLOAT) == -INF
    assert repr(one("sum", [-0.0], FLOAT)) == "0.0"
    assert one("sum", [1e16, 1.0, -1e16], FLOAT) == 1.0


def test_integer_sums_overflow_at_the_end_only() -> None:
    top, low = 2**63 - 1, -(2**63)
    assert one("sum", [top, 5, -5], INT) == top
    assert one("sum", [low, low, top, top, 1, 1], INT) == 0
    for values in ([top, 1], [low, -1], [top] * 100):
        found = finish("sum", values, INT)
        assert found.values.to_pylist() == [None]
        assert found.overflow.tolist() == [True]
    assert one("mean", [top, top], INT) == float(top)
    assert one("mean", [top, top - 1, top - 3], INT) == float(Fraction(3 * top - 4, 3))
    assert one("variance", [low, top], INT) == float(Fraction((top - low) ** 2, 2))
    assert finish("sum", [True, False, None, True], pa.bool_()).values.to_pylist() == [2]
    assert one("mean", [True, False, False], pa.bool_()) == 1 / 3
    assert one("sum", [127, 127], pa.int8()) == 254
    assert one("sum", [None], INT) is None
    assert not finish("sum", [], INT).overflow.any()


def test_decimal_sums_keep_their_scale() -> None:
    kind = pa.decimal128(38, 2)
    top = Decimal("9" * 36 + ".99")
    found = finish("sum", [Decimal("1.10"), Decimal("-0.05"), None], kind)
    assert found.values.type == kind
    assert found.values.to_pylist() == [Decimal("1.05")]
    assert finish("sum", [Decimal("1.1")], pa.decimal128(5, 1)).values.type == pa.decimal128(38, 1)
    assert one("sum", [top, top, top.copy_negate()], kind) == top
    for sign in ("", "-"):
        beyond = finish("sum", [Decimal(f"{sign}{top}"), Decimal(f"{sign}0.01")], kind)
        assert beyond.values.to_pylist() == [None]
        assert beyond.overflow.tolist() == [True]
    assert one("mean", [top, top, top.copy_negate()], kind) == float(Fraction(top) / 3)
    assert one("mean", [Decimal("0.10"), Decimal("0.20")], kind) == 0.15
    values = [Decimal("0.10"), Decimal("0.20"), Decimal("7.35"), Decimal("-3.00")]
    assert one("variance", values, kind) == float(statistics.variance([Fraction(value) for value in values]))


def test_means_of_more_values_than_31_bits_count() -> None:
    built = build("mean", INT)
    count = 3_000_000_001
    total = Totals(np.array([count, 7]), (Wide.of_integers(np.array([10**18 + 1, 22])),), np.zeros(2, np.uint8))
    assert built.finish(total).values.to_pylist() == [float(Fraction(10**18 + 1, count)), 22 / 7]


def test_extremes() -> None:
    assert one("min", [NAN, 2.0, None, -INF], FLOAT) == -INF
    assert math.isnan(one("max", [NAN, INF, 2.0], FLOAT))
    assert math.isnan(one("min", [NAN, None], FLOAT))
    for operation in ("min", "max"):
        assert repr(one(operation, [-0.0], FLOAT)) == "0.0"
        assert one(operation, [None], FLOAT) is None
        assert one(operation, [], pa.string()) is None
        assert finish(operation, [1.5], pa.float32()).values.type == pa.float32()
    assert one("max", [-(2**63)], INT) == -(2**63)
    assert one("min", [2**63 - 1], INT) == 2**63 - 1
    assert one("max", ["z", "é", "", None, "\U0001f600", "\uffff"], pa.string()) == "\U0001f600"
    assert one("min", ["z", ""], pa.string()) == ""
    assert one("min", [True, False], pa.bool_()) is False
    assert one("min", [Decimal("-1.5"), Decimal("9" * 36)], pa.decimal128(38, 1)) == Decimal("-1.5")
    column = pa.array([5, None, 3, 9, 4], pa.timestamp("us", "UTC"))
    built = build("max", column.type)
    found = built.finish(fold(built, column, np.array([0, 0, 1, 3, 1]), 4)).values
    assert found.cast(INT).to_pylist() == [5, 4, None, 9]


def test_counts() -> None:
    assert one("count", [1.0, None, NAN], FLOAT) == 2
    assert one("count", [], FLOAT) == 0
    assert one("count", [[], None], pa.list_(INT)) == 1


def test_typical_states_are_short(money: npt.NDArray[np.float64], groups: Ints) -> None:
    """A sum of money takes at most 20 bytes: version, count, place and its significant bytes."""
    sums = build("sum", FLOAT)
    lengths = [len(blob) for blob in sums.encode(fold(sums, pa.array(money), groups, 500)).to_pylist()]
    assert max(lengths) <= 20
    integers = build("sum", INT)
    assert integers.encode(fold(integers, pa.array([7, 5]), np.zeros(2, np.int64), 1)).to_pylist() == [
        bytes([1, 1, 2, 3, 0, 0, 12])
    ]
    count = build("count", INT)
    assert count.encode(np.array([0, 5, 300])).to_pylist() == [b"", b"\x01\x01\x05", b"\x01\x02\xac\x02"]


@pytest.mark.parametrize("damaged", [b"\x01\x01\x02\x01\x09", b"\x01\x01\x82", b"\x01\x02\x02\x02\x01\x00"])
def test_damaged_sums_are_refused(damaged: bytes) -> None:
    with pytest.raises(StoreError):
        build("sum", FLOAT).decode(pa.array([damaged], pa.binary()))


def test_hashes_are_fixed_for_ever() -> None:
    assert mix(np.array([0, 1], np.uint64)).tolist() == [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1]
    assert hashes(pa.array([0, 1])).tolist() == [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1]

    def spelled(data: bytes) -> int:
        h = int(mix(np.array([len(data)], np.uint64))[0])
        for at in range(0, len(data), 8):
            h = int(mix(np.array([h ^ int.from_bytes(data[at : at + 8], "little")], np.uint64))[0])
        return h

    texts = ["", "a", "12345678", "123456789", "a\0", "é" * 20]
    assert hashes(pa.array(texts).slice(1)).tolist() == [spelled(text.encode()) for text in texts[1:]]
    assert len(set(hashes(pa.array(texts)).tolist())) == len(texts)
    floats = hashes(pa.array([0.0, -0.0, 1.5, -NAN, NAN])).tolist()
    assert floats[0] == floats[1]
    assert floats[3] == floats[4]
    assert floats[2] == hashes(pa.array([1.5], pa.float32()))[0]
    decimals = pa.array([Decimal(1), Decimal(-1), Decimal(2**70)], pa.decimal128(38, 0))
    assert len(set(hashes(decimals).tolist())) == 3


@pytest.mark.parametrize("p", [4, 8, 12, 16])
def test_distinct_counts_are_close(p: int) -> None:
    """Within four standard errors for counts from one to 200,000, and nearly exact far below 2**p."""
    for count in (0, 1, 10, 100, 5_000, 200_000):
        values = np.arange(count) * 7919 + 13
        found = one("approx_count_distinct", [*values.tolist(), *values[:50].tolist()], INT, p=p)
        assert abs(found - count) <= 4 * 1.04 / math.sqrt(2**p) * count + (count > 0)
    assert one("approx_count_distinct", ["x", None, "y", "x"], pa.string(), p=p) == 2


def test_distinct_counts_have_one_encoding_whether_few_or_many() -> None:
    built = build("approx_count_distinct", INT, {"p": 6})
    column = pa.array(np.arange(1000))
    owner = np.repeat(np.arange(6), [1, 14, 17, 60, 300, 608])
    states = fold(built, column, owner, 7)
    blobs = built.encode(states)
    again = built.decode(blobs)
    assert again.bounds.tolist() == states.bounds.tolist()
    assert again.filled.tolist() == states.filled.tolist()
    lengths = [len(blob) for blob in blobs.to_pylist()]
    assert lengths[0] < 7
    assert lengths[3:6] == [1 + 1 + 1 + 48] * 3
    assert lengths[6] == 0


def test_damaged_registers_are_refused() -> None:
    built = build("approx_count_distinct", INT, {"p": 4})
    for damaged in (b"\x01\x02\x80\x08", b"\x01\x01\x40", b"\x01\x01\x3f", b"\x01\x00\x03abc"):
        with pytest.raises(StoreError):
            built.decode(pa.array([damaged], pa.binary()))


@pytest.mark.parametrize("error", [0.5, 0.05, 0.01, 0.001])
def test_percentiles_are_within_the_error(error: float) -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0, 1, 3_000) * 10.0 ** rng.integers(-200, 200, 3_000)
    values[:40] = 0
    ascending = np.sort(values)
    shares = (0.0, 0.01, 0.25, 0.5, 0.503, 0.9, 0.999, 1.0)
    found = one("approx_percentile", values.tolist(), FLOAT, q=shares, error=error)
    for share, answer in zip(shares, found, strict=True):
        value = ascending[math.floor(share * (len(values) - 1))]
        assert abs(answer - value) <= error * abs(value) * (1 + 1e-12)


def test_percentiles_of_odd_values() -> None:
    assert one("approx_percentile", [NAN, None], FLOAT, q=0.5) is None
    assert one("approx_percentile", [], FLOAT, q=(0.5,)) is None
    assert one("approx_percentile", [NAN, INF, -INF, 0.0], FLOAT, q=(0.0, 0.5, 1.0)) == [-INF, 0.0, INF]
    assert one("approx_percentile", [1.7e308, -1.7e308], FLOAT, q=1.0) == pytest.approx(1.7e308, rel=0.01)
    assert one("approx_percentile", [5e-324], FLOAT, q=0.5) == 5e-324
    assert one("approx_percentile", [10, 20, 30], INT, q=0.5) == pytest.approx(20, rel=0.01)
    assert one("approx_percentile", [True, True, False], pa.bool_(), q=0.0) == 0
    tenths = [Decimal("0.1"), Decimal("0.2"), Decimal("9" * 37) / 10]
    kind = pa.decimal128(38, 1)
    assert one("approx_percentile", tenths, kind, q=(0.5, 1.0)) == pytest.approx([0.2, 1e36], rel=0.01)


def test_damaged_percentiles_are_refused() -> None:
    built = build("approx_percentile", FLOAT, {"q": 0.5})
    for damaged in (b"\x01\x01\x05", b"\x01\x01\x05\x01\x00", b"\x01\x01\x05\x02\x01\x01"):
        with pytest.raises(StoreError):
            built.decode(pa.array([damaged], pa.binary()))
