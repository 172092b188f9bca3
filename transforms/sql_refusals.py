"""What row-local SQL refuses, and why."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from schemas.errors import did_you_mean

# Names are many to a line on purpose.
# fmt: off
_AGGREGATES = frozenset(
    {
        "AVG", "MEAN", "SUM", "COUNT", "MIN", "MAX", "MEDIAN", "MODE", "STDDEV", "STDDEV_POP", "STDDEV_SAMP",
        "VARIANCE", "VAR_POP", "VAR_SAMP", "FIRST", "LAST", "ANY_VALUE", "STRING_AGG", "LIST", "ARRAY_AGG",
        "QUANTILE", "QUANTILE_CONT", "QUANTILE_DISC", "APPROX_COUNT_DISTINCT", "CORR", "COVAR_POP", "COVAR_SAMP",
        "SKEWNESS", "KURTOSIS", "BOOL_AND", "BOOL_OR", "ARG_MAX", "ARG_MIN", "HISTOGRAM", "PRODUCT", "SKEW",
        "COUNT_IF", "SUM_IF",
    }
)
_NEIGHBOURS = frozenset(
    {
        "LAG", "LEAD", "ROW_NUMBER", "RANK", "DENSE_RANK", "PERCENT_RANK", "CUME_DIST", "NTILE", "FIRST_VALUE",
        "LAST_VALUE", "NTH_VALUE",
    }
)
_CLOCKS = frozenset(
    {
        "NOW", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP", "TODAY",
        "GETDATE", "SYSDATE", "TRANSACTION_TIMESTAMP", "GET_CURRENT_TIMESTAMP", "STATEMENT_TIMESTAMP",
        "CLOCK_TIMESTAMP", "UNIX_TIMESTAMP", "AGE",
    }
)
_CHANCE = frozenset(
    {
        "RANDOM", "RAND", "UUID", "GEN_RANDOM_UUID", "SETSEED", "NEXTVAL", "CURRVAL", "RANDN", "NEWID",
    }
)
_ROWS = frozenset(
    {
        "UNNEST", "EXPLODE", "GENERATE_SERIES", "RANGE", "FLATTEN", "GENERATE_SUBSCRIPTS",
    }
)
# fmt: on


def refusal(name: str, legal: Sequence[str] = ()) -> str:
    """Why a function that is not on the list cannot be called."""
    word = name.upper()
    if word in _AGGREGATES:
        other = {"MIN": "; of columns of one row take LEAST", "MAX": "; of columns of one row take GREATEST"}
        return f"{word}() is not row-local: it needs other rows; use agg. in features=" + other.get(word, "")
    if word in _NEIGHBOURS:
        return f"{word}() is not row-local: it needs other rows"
    if word in _CLOCKS:
        return f"{word}() is not row-local: it reads a clock, and a replay would differ; in derive= there is `now`"
    if word in _CHANCE:
        return f"{word}() is not row-local: it differs from call to call, and a replay would differ"
    if word in _ROWS:
        return f"{word}() is not row-local: it makes rows; use explode="
    return f"unknown function {name}().{did_you_mean(name, legal)} Legal are {', '.join(legal)}"


NOT_ROW_LOCAL: dict[type[exp.Expr], str] = {
    exp.Window: "OVER is not row-local: it needs other rows; use agg. in features=",
    exp.Filter: "FILTER is not row-local: it belongs to aggregates; use agg....(where=...) in features=",
    exp.Distinct: "DISTINCT is not row-local: it needs other rows",
    exp.Order: "ORDER BY is not row-local: it needs other rows",
    exp.Subquery: "a subquery is not row-local: an expression sees the columns of its own row",
    exp.Select: "a subquery is not row-local: an expression sees the columns of its own row",
    exp.Exists: "a subquery is not row-local: an expression sees the columns of its own row",
    exp.Unnest: "UNNEST is not row-local: it makes rows; use explode=",
    exp.CurrentDate: refusal("CURRENT_DATE"),
    exp.CurrentTime: refusal("CURRENT_TIME"),
    exp.CurrentTimestamp: refusal("CURRENT_TIMESTAMP"),
    exp.CurrentDatetime: refusal("CURRENT_TIMESTAMP"),
    exp.Rand: refusal("RANDOM"),
    exp.Star: "* is no expression: name the column",
    exp.Alias: "AS is not needed: the name stands before the expression",
    exp.Aliases: "AS is not needed: the name stands before the expression",
    exp.Placeholder: "a placeholder has no value here",
    exp.Parameter: "a parameter has no value here",
    exp.BitwiseXor: "^ is no operator here; write POW(x, y)",
    exp.AtTimeZone: "AT TIME ZONE is not possible: all times are UTC",
}
LEGAL_CONSTRUCTS = (
    "columns, struct.field, list[1], map['key'], literals, + - * / // %, ||, comparisons, AND, OR, NOT, IS [NOT] NULL, "
    "IS [NOT] DISTINCT FROM, IN, BETWEEN, LIKE, ILIKE, CASE, CAST, TRY_CAST, INTERVAL and the listed functions"
)
