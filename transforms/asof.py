"""As-of join: a view's features at (key, instant) pairs, folded from its logged rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.answers import Answer
from transforms.feature import Feature
from transforms.join_rules import JoinRules, Requests
from transforms.range_values import ENDS
from transforms.sorted_history import SortedHistory
from transforms.spine import Spine, decoded_keys
from transforms.tiles import StateFold
from transforms.view import CompiledView

Ints = npt.NDArray[np.int64]

SYSTEM_COLUMNS = ("_event_time", "_sequence", "_lane", "_offset", "_part", "_arrival", "_deleted")


def needed_columns(view: CompiledView, features: Iterable[Feature]) -> tuple[str, ...]:
    """Columns of a view's rows that answering the features reads, in the order of the rows' schema."""
    names = {*view.key_names, *SYSTEM_COLUMNS, *columns_read(view, features)}
    return tuple(name for name in view.row_schema.names if name in names)


def joined_columns(view: CompiledView, features: Iterable[Feature], known: str) -> tuple[str, ...]:
    """The same without those that can change no value: the total order of rows where all operations are without one."""
    features = tuple(features)
    names = {*view.key_names, "_event_time", "_deleted", *columns_read(view, features)}
    if known == "arrival" or any(feature.state is None or feature.state.operation in ENDS for feature in features):
        names |= {"_lane", "_offset", "_arrival"}
        if any(source.sequence for source in view.sources):
            names.add("_sequence")
        if view.view.explode:
            names.add("_part")
    return tuple(name for name in view.row_schema.names if name in names)


def columns_read(view: CompiledView, features: Iterable[Feature]) -> set[str]:
    """Columns of a view's rows whose values the features are made of."""
    names: set[str] = set()
    for feature in features:
        if feature.column is not None:
            names.add(feature.column)
        if feature.expires is not None:
            names.add(feature.expires)
        if feature.state is not None:
            names.update(feature.state.columns)
            if feature.state.by is not None:
                names.add(feature.state.by)
            names.update(StateFold.of(feature.state, view).reads)
    return names


class History:
    """All logged rows of a view for the keys of some requests, ready to answer its features.

    Args:
        view: the compiled view.
        rows: its rows (at least the columns that `needed_columns` names), in any order.
        keys: `pa.BinaryArray[n]`, the requests' entity keys; null for a null key.
        instants: int64[n], µs.
        strict: whether events at the instant itself are left out.
        known: "event" (all rows) or "arrival" (rows that had arrived at the instant).
    """

    def __init__(
        self, view: CompiledView, rows: pa.Table, keys: pa.BinaryArray, instants: Ints, strict: bool, known: str
    ) -> None:
        spine = Spine(decoded_keys(view.key_types, keys), instants)
        codes = spine.find([rows.column(name) for name in view.key_names])
        asked = codes != spine.nobody
        if not asked.all():
            rows, codes = rows.filter(pa.array(asked)), codes[asked]
        requests = Requests(spine.codes, spine.instants, spine.null)
        back = np.empty(len(spine), np.int64)
        back[spine.order] = np.arange(len(spine))
        self._sorted = SortedHistory(JoinRules(view, strict, known == "arrival"), rows, codes, requests, back)

    def answer(self, feature: Feature) -> Answer:
        """Answer of a stored (aggregate or latest) feature for every request."""
        return self._sorted.answer(feature)

    def coincident(self) -> npt.NDArray[np.bool_]:
        """Requests at whose very instant (to the µs) their key has a row."""
        return self._sorted.coincident()
