"""Features as a user writes them: aggregates of windows (`agg`) and latest values (`latest`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from schemas.errors import TwinbeamError, did_you_mean
from schemas.place import caller_place
from schemas.state import OPERATIONS

Text = str | None
Over = str | Sequence[str] | None
Columns = str | Sequence[str]


class UnknownOperation(TwinbeamError, AttributeError):
    """`agg`, or `encode`, has no such operation."""


@dataclass(frozen=True)
class Aggregation:
    """Aggregate over rows, in one window, several, or the whole history.

    Attributes:
        operation: one of `schemas.state.OPERATIONS`.
        columns: that it reads; several make structs.
        params: sorted (name, value) pairs of the operation: k, ddof, p, q (a number or a tuple), error.
        over: windows as written; () for the whole history.
        offset: how long before the instant of an answer the windows end, or None.
        hop: step of the windows' tails, or None for the ladder's.
        by: column with a value per bucket, or None.
        where: row-local SQL over the view's rows, or None.
        limit: most distinct values (or buckets) kept, or None for the default.
        name: given name, with `{window}` for several windows, or None.
        default: value in place of null, or None.
        keep_null: whether nulls count as values, of first, last, first_k and last_k.
        description: for people.
        place: `file:line` of the definition.
    """

    operation: str
    columns: tuple[str, ...] = ()
    params: tuple[tuple[str, Any], ...] = ()
    over: tuple[str, ...] = ()
    offset: str | None = None
    hop: str | None = None
    by: str | None = None
    where: str | None = None
    limit: int | None = None
    name: str | None = None
    default: Any = None
    keep_null: bool = False
    description: str = ""
    place: str = field(default_factory=caller_place, compare=False, repr=False)

    def param(self, name: str, default: Any = None) -> Any:
        """Value of a parameter, or the default."""
        return dict(self.params).get(name, default)

    def expand(self) -> list[tuple[str, str | None]]:
        """Name and window (None: whole history) of each feature.

        A name is `[column_]operation[k][_window][_offset_o][_by_column]` if none is given.
        """
        return [(self._name(window), window) for window in self.over or (None,)]

    def _name(self, window: str | None) -> str:
        if self.name is not None:
            return str(self.name).replace("{window}", str(window or ""))
        k = self.param("k")
        parts = [*self.columns, self.operation if k is None else f"{self.operation}{k}"]
        parts += [window] if window else []
        parts += ["offset", self.offset] if self.offset else []
        parts += ["by", self.by] if self.by else []
        return "_".join(map(str, parts))


@dataclass(frozen=True)
class Latest:
    """Value of a column in the newest row.

    Attributes:
        column: of the view's rows.
        name: of the feature; None for the column's.
        default: value in place of null, or None.
        description: for people.
        place: `file:line` of the definition.
    """

    column: str
    name: str | None = None
    default: Any = None
    description: str = ""
    place: str = field(default_factory=caller_place, compare=False, repr=False)

    @property
    def feature_name(self) -> str:
        """Name of the feature."""
        return self.column if self.name is None else self.name


def latest(column: str, *, name: str | None = None, default: object = None, description: str = "") -> Latest:
    """Value of a column in the newest row, no older than the view's `ttl`.

    Args:
        column: of the view's rows.
        name: of the feature; the column's without it.
        default: value in place of null.
        description: for people.
    """
    return Latest(column, name, default, description)


class _Shared(NamedTuple):
    """What all aggregates have in common, as given."""

    over: Over
    offset: str | None
    hop: str | None
    by: str | None
    where: str | None
    limit: int | None
    name: str | None
    default: Any
    description: str

    def make(self, operation: str, column: Columns | None, keep_null: bool = False, **params: Any) -> Aggregation:
        """Aggregation of an operation and its own parameters."""
        given = sorted((name, _several(value)) for name, value in params.items() if value is not None)
        columns = () if column is None else _tuple(column)
        # An empty list of windows is a mistake, found later, and not the whole history.
        over = () if self.over is None else _tuple(self.over) or ("",)
        rest = (self.offset, self.hop, self.by, self.where, self.limit, self.name, self.default)
        return Aggregation(operation, columns, tuple(given), over, *rest, keep_null, self.description)


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _several(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# Every operation spells its own signature, with the options that all share on the last two lines.
# fmt: off
class Agg:
    """Operations of aggregate features, as in `agg.sum("price", over=["1h", "24h"])`.

    All take the same options:

    * over: window, or list of windows, as in "24h"; the whole history without it.
    * offset: how long before the instant of an answer the windows end, in whole tiles.
    * hop: step in which the tails of the windows move; by a ladder, about a twelfth of the window, without it.
    * by: column; the value is a map of each of its values (as text) to the operation over those rows.
    * where: row-local SQL over the view's rows; rows for which it is not true are left out. It requires `name`.
    * limit: most distinct values of unique_count and histogram, most buckets of `by`; 10,000 without it.
    * name: of the feature, with `{window}` in it for several windows.
    * default: value in place of null.
    * description: for people.

    Nulls of a column are passed over; where nothing is left the value is null (counts: 0).
    """

    def count(
        self, column: Text = None, *, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Number of rows, or of rows where the column is not null; int64, 0 when there are none."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("count", column)

    def sum(
        self, column: str, *, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Sum, exact: int64 of integers and bools, float64 of floats, decimal(38,s) of decimals."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("sum", column)

    def mean(
        self, column: str, *, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Mean, rounded once; float64."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("mean", column)

    def min(
        self, column: str, *, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Least value; NaN is above every number, -0.0 is 0.0."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("min", column)

    def max(
        self, column: str, *, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Greatest value; NaN is above every number, -0.0 is 0.0."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("max", column)

    def variance(
        self, column: str, *, ddof: int = 1, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Variance over n - ddof; float64, null when n <= ddof."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("variance", column, ddof=ddof)

    def stddev(
        self, column: str, *, ddof: int = 1, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Square root of the variance; float64."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("stddev", column, ddof=ddof)

    def skew(
        self, column: str, *, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Skewness of the population, m3 / (m2 * sqrt(m2)); float64, null below 3 values or without variance."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("skew", column)

    def kurtosis(
        self, column: str, *, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Excess kurtosis (Fisher), m4 / (m2 * m2) - 3; float64, null below 4 values or without variance."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("kurtosis", column)

    def first(
        self, column: Columns, *, keep_null: bool = False,
        over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Oldest value by the order of rows; a struct for a list of columns."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("first", column, keep_null=keep_null)

    def last(
        self, column: Columns, *, keep_null: bool = False,
        over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Newest value by the order of rows; a struct for a list of columns."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("last", column, keep_null=keep_null)

    def first_k(
        self, column: Columns, *, k: int, keep_null: bool = False,
        over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """The k oldest values, oldest first; structs for a list of columns."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("first_k", column, k=k, keep_null=keep_null)

    def last_k(
        self, column: Columns, *, k: int, keep_null: bool = False,
        over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """The k newest values, newest first; structs for a list of columns."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("last_k", column, k=k, keep_null=keep_null)

    def top_k(
        self, column: str, *, k: int, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """The k greatest values, greatest first, duplicates kept."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("top_k", column, k=k)

    def bottom_k(
        self, column: str, *, k: int, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """The k smallest values, smallest first, duplicates kept."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("bottom_k", column, k=k)

    def unique_count(
        self, column: str, *, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Number of distinct values, exact up to `limit`; int64."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("unique_count", column)

    def bounded_unique_count(
        self, column: str, *, k: int, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Number of distinct values, exact up to k, then k; int64."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("bounded_unique_count", column, k=k)

    def histogram(
        self, column: str, *, k: int | None = None,
        over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Map of value (as text) -> count, of the k most frequent if given; exact."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("histogram", column, k=k)

    def approx_count_distinct(
        self, column: str, *, p: int = 12, over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Number of distinct values by 2**p HyperLogLog registers; int64."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("approx_count_distinct", column, p=p)

    def approx_percentile(
        self, column: str, *, q: float | Sequence[float], error: float = 0.01,
        over: Over = None, offset: Text = None, hop: Text = None, by: Text = None,
        where: Text = None, limit: int | None = None, name: Text = None, default: object = None, description: str = "",
    ) -> Aggregation:
        """Value at quantile q, or list of them, within a relative error, by DDSketch; float64."""
        shared = _Shared(over, offset, hop, by, where, limit, name, default, description)
        return shared.make("approx_percentile", column, q=q, error=error)

    def __getattr__(self, name: str) -> NoReturn:
        legal = ", ".join(OPERATIONS)
        raise UnknownOperation(f"agg has no operation {name!r}.{did_you_mean(name, OPERATIONS)} Legal are {legal}")
# fmt: on


agg = Agg()
