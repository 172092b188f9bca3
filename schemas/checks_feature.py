"""Structural mistakes of single features."""

from __future__ import annotations

import math

from schemas.durations import duration_text
from schemas.errors import Mistake
from schemas.feature import Aggregation, Latest
from schemas.findings import Findings
from schemas.state import OPERATIONS
from schemas.window import MAX_TILES, hop_for

STRUCTS = ("first", "last", "first_k", "last_k")
LIMITED = ("unique_count", "histogram")
MAX_K = 1_000
PRECISION = (4, 16)
ERROR = (0.001, 0.5)


def feature_mistakes(feature: Aggregation | Latest, view: str) -> list[Mistake]:
    """What is wrong with a feature of a view, apart from the columns that it names."""
    if isinstance(feature, Latest):
        return _latest(feature, view)
    findings = Findings(feature.place, f"{view}: agg.{feature.operation}")
    findings.text("description", feature.description, blank=True)
    if not findings.one_of("operation", feature.operation, OPERATIONS):
        return findings.mistakes
    _columns(feature, findings)
    _windows(feature, findings)
    _name(feature, findings)
    _parameters(feature, findings)
    findings.flag("keep_null", feature.keep_null)
    if feature.limit is not None:
        findings.whole("limit", feature.limit, 1, None)
        if feature.operation not in LIMITED and feature.by is None:
            findings.add(f"limit is legal on {', '.join(LIMITED)} and with by= alone: leave it out")
    return findings.mistakes


def _latest(feature: Latest, view: str) -> list[Mistake]:
    findings = Findings(feature.place, f"{view}: {feature.column}")
    findings.text("description", feature.description, blank=True)
    if findings.text("the column of a latest feature", feature.column):
        findings.names("feature", [feature.feature_name])
    return findings.mistakes


def _columns(feature: Aggregation, findings: Findings) -> None:
    several = feature.operation in STRUCTS
    if not feature.columns and feature.operation != "count":
        findings.add(f'needs a column, as in agg.{feature.operation}("price")')
    if len(feature.columns) > 1 and not several:
        findings.add(f"takes one column, not {len(feature.columns)}: lists are legal in {', '.join(STRUCTS)}")
    for column in feature.columns:
        findings.text("a column", column)
    for column in sorted({str(column) for column in feature.columns if feature.columns.count(column) > 1}):
        findings.add(f"column {column!r} is there twice: each column is listed once")
    if feature.by is not None:
        findings.text("by", feature.by)


def _windows(feature: Aggregation, findings: Findings) -> None:
    """Windows, their hop and their offset."""
    lengths = [findings.duration("over", window) if window is not None else _no(findings) for window in feature.over]
    offset, hop = findings.duration("offset", feature.offset), findings.duration("hop", feature.hop)
    if offset is not None and not feature.over:
        findings.add("offset moves a window, and there is none: add over=, or leave offset= out")
    if hop is not None and not feature.over:
        findings.add("hop is the step of a window, and there is none: add over=, or leave hop= out")
    for length in lengths:
        if length is None:
            continue
        step, text = hop or hop_for(length), duration_text(length)
        if step > length:
            least = "the least is 1ms" if hop is None else f"legal is a hop of at most {text}"
            findings.add(f"hop {duration_text(step)} is longer than the window {text}: {least}")
        elif hop and length % hop:
            findings.add(f"hop {duration_text(hop)} does not divide the window {text}: legal is a whole part of it")
        if length > MAX_TILES * step:
            least = duration_text(-(-length // MAX_TILES))
            findings.add(
                f"window {text} has {-(-length // step):,} tiles of {duration_text(step)}: "
                f"legal are at most {MAX_TILES} tiles, a hop of at least {least}"
            )


def _no(findings: Findings) -> None:
    findings.add("over holds None: leave over= out for the whole history")


def _name(feature: Aggregation, findings: Findings) -> None:
    """The given name, or the one made of the parts, must be legal; `where` and several windows make demands on it."""
    findings.sql("where", feature.where)
    if feature.where is not None and feature.name is None:
        findings.add('where= requires name=, as in name="big_{window}": the rows counted are not told by other names')
    name = feature.name
    if name is not None and not findings.text("name", name):
        return
    if name is not None and len(feature.over) > 1 and "{window}" not in name:
        findings.add(
            f"name {name!r} for {len(feature.over)} windows: legal is one with {{window}}, as in {name}_{{window}}"
        )
        findings.names("feature", [name])
    elif name is not None and not feature.over and "{window}" in name:
        findings.add(f"name {name!r} holds {{window}}, and there is no window: add over=, or take another name")
    elif all(isinstance(part, str) for part in (*feature.columns, *feature.over)):
        findings.names("feature", dict.fromkeys(name for name, _ in feature.expand()))


def _parameters(feature: Aggregation, findings: Findings) -> None:
    """Parameters of the operation."""
    given = dict(feature.params)
    if "k" in given:
        findings.whole("k", given["k"], 1, MAX_K)
    if "p" in given:
        findings.whole("p", given["p"], *PRECISION)
    if "ddof" in given and (isinstance(given["ddof"], bool) or given["ddof"] not in (0, 1)):
        findings.add(f"ddof is {given['ddof']!r}: legal are 1 (of a sample) and 0 (of a population)")
    if "error" in given and not _inside(given["error"], *ERROR):
        findings.add(f"error is {given['error']!r}: legal is a number from {ERROR[0]} to {ERROR[1]}")
    if "q" in given:
        several = given["q"] if isinstance(given["q"], tuple) else (given["q"],)
        wrong = [q for q in several if not _inside(q, 0, 1)]
        if wrong or not several:
            findings.add(f"q is {given['q']!r}: legal is a number from 0 to 1, or a list of them, as in q=[0.5, 0.99]")


def _inside(value: object, low: float, high: float) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high  # type: ignore[arg-type,operator]
