"""Encodings: what a model is fed, made of features and request values by encoders, fitted where they need to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NoReturn

from schemas.errors import did_you_mean
from schemas.feature import UnknownOperation
from schemas.place import caller_place

Text = str | None
SIZE, HOT = 10_000, 100

ENCODERS = ("vocabulary", "one_hot", "target_mean", "cross", "standard", "min_max", "buckets", "quantiles")
# A cross learns as well, if it has a `size`.
FITTED = frozenset({"vocabulary", "one_hot", "target_mean", "standard", "min_max", "quantiles"})


@dataclass(frozen=True)
class Encoder:
    """One encoded feature: an operation over features, request values, or other encoders.

    Attributes:
        operation: one of `ENCODERS`.
        inputs: addresses of features, names of request columns, encoders; one, or several for a cross.
        params: sorted (name, value) pairs of the operation.
        name: given name, or None for one made of the inputs and the operation.
        default: value in place of null, or None.
        description: for people.
        place: `file:line` of the definition.
    """

    operation: str
    inputs: tuple[str | Encoder, ...]
    params: tuple[tuple[str, Any], ...] = ()
    name: str | None = None
    default: Any = None
    description: str = ""
    place: str = field(default_factory=caller_place, compare=False, repr=False)

    def param(self, name: str, default: Any = None) -> Any:
        """Value of a parameter, or the default."""
        return dict(self.params).get(name, default)

    @property
    def feature_name(self) -> str:
        """Name of the feature: the given one, or the inputs' names and the operation, joined by `_`."""
        if self.name is not None:
            return str(self.name)
        parts = [each.feature_name if isinstance(each, Encoder) else str(each).split(":")[-1] for each in self.inputs]
        return "_".join([*parts, self.operation])

    @property
    def columns(self) -> tuple[str, ...]:
        """Addresses and request columns that it reads, through other encoders too, each once."""
        found: dict[str, None] = {}
        for each in self.inputs:
            if isinstance(each, Encoder):
                found.update(dict.fromkeys(each.columns))
            elif isinstance(each, str):
                found[each] = None
        return tuple(found)

    @property
    def learns(self) -> bool:
        """Whether it learns something itself from the rows that it is fitted on."""
        return self.operation in FITTED or self.param("size") is not None

    @property
    def nodes(self) -> tuple[Encoder, ...]:
        """All encoders inside it, and itself, inputs first."""
        return (*(node for each in self.inputs if isinstance(each, Encoder) for node in each.nodes), self)


@dataclass(frozen=True)
class Encoding:
    """Encoders that are fitted together: one artefact, and features under one name.

    Attributes:
        name: of the encoding; the first half of its features' addresses.
        features: encoders, as in `encode.vocabulary("user_profile:country")`.
        request: column -> type text of what the request or spine gives beside the keys.
        owner: for people.
        tags: for people.
        description: for people.
        place: `file:line` of the definition.
    """

    name: str
    _: KW_ONLY
    features: Sequence[Encoder]
    request: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    place: str = field(default_factory=caller_place, compare=False, repr=False)

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """Its features, as far as they are encoders."""
        listed = self.features if isinstance(self.features, (list, tuple)) else ()
        return tuple(item for item in listed if isinstance(item, Encoder))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of its features, in order."""
        return tuple(encoder.feature_name for encoder in self.encoders)


# fmt: off
class Encode:
    """Operations of encoded features, as in `encode.standard("user_purchases:price_sum_1h")`.

    All take the same input and options:

    * input: address of a feature, name of a request column of the encoding, or another encoder.
    * name: of the feature.
    * default: value in place of null, to an encoder around it too; without it null gives null (one_hot: all 0).
    * description: for people.

    *Categories* are bool, integers, string, bytes, dates and timestamps; *numbers* are integers, floats and decimals.
    """

    def vocabulary(
        self, input: str | Encoder, *, size: int = SIZE, min_count: int = 1, unknown: int = 0,
        name: Text = None, default: object = None, description: str = "",
    ) -> Encoder:
        """Number of a category, int64: the most frequent is `unknown + 1` (ties: the smaller value first).

        Args:
            input: a category.
            size: how many values are kept, the most frequent ones.
            min_count: how often a value must be there to be kept.
            unknown: number of every other value.
            name: of the feature.
            default: value in place of null.
            description: for people.
        """
        return _made("vocabulary", input, name, default, description, size=size, min_count=min_count, unknown=unknown)

    def one_hot(
        self, input: str | Encoder, *, size: int = HOT, min_count: int = 1,
        name: Text = None, default: object = None, description: str = "",
    ) -> Encoder:
        """List of int8 with a place for each category kept, in the order of values: 1 at its own, else 0.

        Args:
            input: a category; null and values that are not kept have no place.
            size: how many values are kept, the most frequent ones.
            min_count: how often a value must be there to be kept.
            name: of the feature.
            default: value in place of null.
            description: for people.
        """
        return _made("one_hot", input, name, default, description, size=size, min_count=min_count)

    def target_mean(
        self, input: str | Encoder, *, target: str, smoothing: float = 20.0, size: int = SIZE, min_count: int = 1,
        name: Text = None, default: object = None, description: str = "",
    ) -> Encoder:
        """Mean of a target over the rows of a category, float64, drawn towards the mean of all rows.

        That is (sum + smoothing * mean of all) / (count + smoothing), the m-estimate of Cestnik (1990) as Micci-Barreca
        (2001) encodes categories by it. Fit it on other rows than the model is trained on, since it knows their labels.

        Args:
            input: a category; values that are not kept give the mean of all rows.
            target: column of the spine that it is fitted on: bool or a number; rows without one are left out.
            smoothing: how many rows of the overall mean every category starts with.
            size: how many values are kept, the most frequent ones.
            min_count: how often a value must be there to be kept.
            name: of the feature.
            default: value in place of null.
            description: for people.
        """
        return _made(
            "target_mean", input, name, default, description,
            target=target, smoothing=smoothing, size=size, min_count=min_count,
        )

    def cross(
        self, inputs: Sequence[str | Encoder], *, buckets: int | None = None, size: int | None = None,
        min_count: int | None = None, unknown: int | None = None,
        name: Text = None, default: object = None, description: str = "",
    ) -> Encoder:
        """Number of a combination of two or more categories, int64; null if any of them is.

        Args:
            inputs: the categories, in an order that counts.
            buckets: hashed into so many, 0 to `buckets - 1`, nothing to fit; or else
            size: by a vocabulary of so many combinations, the most frequent ones, numbered from `unknown + 1` on.
            min_count: how often a combination must be there to be kept in the vocabulary; 1 without it.
            unknown: number of every combination that is not in the vocabulary; 0 without it.
            name: of the feature.
            default: value in place of null.
            description: for people.
        """
        return _made(
            "cross", inputs, name, default, description,
            buckets=buckets, size=size, min_count=min_count, unknown=unknown,
        )

    def standard(
        self, input: str | Encoder, *, name: Text = None, default: object = None, description: str = "",
    ) -> Encoder:
        """(value - mean) / standard deviation (of the population; 1 if it is 0), float64, of a number."""
        return _made("standard", input, name, default, description)

    def min_max(
        self, input: str | Encoder, *, clip: bool = False,
        name: Text = None, default: object = None, description: str = "",
    ) -> Encoder:
        """(value - least) / (greatest - least) (1 if that is 0), float64, of a number.

        Args:
            input: a number.
            clip: whether values outside of what was fitted on become 0 and 1.
            name: of the feature.
            default: value in place of null.
            description: for people.
        """
        return _made("min_max", input, name, default, description, clip=clip)

    def buckets(
        self, input: str | Encoder, *, edges: Sequence[float],
        name: Text = None, default: object = None, description: str = "",
    ) -> Encoder:
        """How many edges are at most the value, int64: bucket i is [edge i-1, edge i); NaN gives null.

        Args:
            input: a number.
            edges: finite numbers, each greater than the one before.
            name: of the feature.
            default: value in place of null.
            description: for people.
        """
        return _made("buckets", input, name, default, description, edges=edges)

    def quantiles(
        self, input: str | Encoder, *, buckets: int = 10,
        name: Text = None, default: object = None, description: str = "",
    ) -> Encoder:
        """Bucket of equal frequency, int64: edge k of n values is the value with floor(k n / buckets) values before it.

        Equal edges are one, and none is the least value, so that no bucket is empty; NaN gives null.

        Args:
            input: a number.
            buckets: how many.
            name: of the feature.
            default: value in place of null.
            description: for people.
        """
        return _made("quantiles", input, name, default, description, buckets=buckets)

    def __getattr__(self, name: str) -> NoReturn:
        legal = ", ".join(ENCODERS)
        raise UnknownOperation(f"encode has no operation {name!r}.{did_you_mean(name, ENCODERS)} Legal are {legal}")
# fmt: on


def _made(operation: str, inputs: Any, name: Text, default: object, description: str, **params: Any) -> Encoder:
    several = tuple(inputs) if operation == "cross" and isinstance(inputs, (list, tuple)) else (inputs,)
    given = sorted((key, _frozen(value)) for key, value in params.items() if value is not None)
    return Encoder(operation, several, tuple(given), name, default, description)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


encode = Encode()
