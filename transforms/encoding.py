"""Encodings, compiled: encoders over features and request values, fitted by an artefact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from schemas.encoding import Encoder, Encoding
from schemas.errors import DefinitionChanged, DefinitionError, Mistake, RequestError
from schemas.fingerprint import fingerprint
from schemas.types import parse_type, type_text
from transforms.aggregates import default_text
from transforms.artefact import SHOWN, Artefact, canonical, digest
from transforms.encoders.base import Unfit
from transforms.encoders.tree import EncoderTree, compile_encoder
from transforms.feature import Feature

Columns = Mapping[str, pa.Array]


@dataclass(frozen=True)
class EncodedFeature:
    """One feature of an encoding; a `Computation`.

    Attributes:
        feature: the feature; its fingerprint tells the artefact.
        tree: its encoder.
        inputs: address of each feature that it reads -> type.
        request: request column that it reads -> type.
        definition: 16 hex characters over the encoder, its inputs and request, whatever it is fitted by.
        values: gives n values of n rows; None if it is not fitted.
        stale: version of an artefact that was fitted by another definition, or "".
    """

    feature: Feature
    tree: EncoderTree
    inputs: Mapping[str, pa.DataType]
    request: Mapping[str, pa.DataType]
    definition: str
    values: Callable[[Columns], pa.Array] | None = field(default=None, compare=False)
    stale: str = ""

    def compute(self, columns: Columns) -> Mapping[str, pa.Array]:
        """The feature for n rows.

        Raises:
            RequestError: it is not fitted.
            DefinitionChanged: it is fitted by another definition.
        """
        self.check()
        assert self.values is not None
        return {self.feature.name: self.values(columns)}

    def check(self) -> None:
        """Refuses a feature that is not fitted, or fitted by another definition than now.

        Raises:
            RequestError: it is not fitted.
            DefinitionChanged: it is fitted by another definition.
        """
        if self.values is not None:
            return
        name = self.feature.view
        if self.stale:
            raise DefinitionChanged(
                f"{self.feature.address}: its definition, or that of an input, has changed since artefact "
                f"{self.stale[:SHOWN]} of {name} was fitted; fit it anew: twinbeam fit {name} --spine FILE"
            )
        raise RequestError(f"{self.feature.address}: is not fitted yet; fit it: twinbeam fit {name} --spine FILE")

    def fitted(self, artefact: Artefact) -> EncodedFeature:
        """The feature by what an artefact has learnt for it."""
        if not self.tree.learns:
            return self
        if artefact.definitions.get(self.feature.name) != self.definition:
            return replace(self, stale=artefact.version)
        document = artefact.fitted[self.feature.name]
        identity = fingerprint("fitted", self.definition, digest(canonical(document)))
        feature = replace(self.feature, fingerprint=identity, artefact=artefact.version)
        return replace(self, feature=feature, values=self.tree.bound(document), stale="")


@dataclass(frozen=True)
class CompiledEncoding:
    """Encoding, resolved.

    Attributes:
        name: of it, the `view` of its features.
        encoded: its features, in the order of the definition.
        place: `file:line` of its definition.
    """

    name: str
    encoded: tuple[EncodedFeature, ...]
    place: str

    @property
    def learns(self) -> bool:
        """Whether there is anything to fit."""
        return any(each.tree.learns for each in self.encoded)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Addresses of the features that those encoders read which learn, each once."""
        return tuple(dict.fromkeys(address for each in self._learning() for address in each.inputs))

    @property
    def request(self) -> dict[str, pa.DataType]:
        """Request columns that those encoders read which learn, with their types."""
        return {name: kind for each in self._learning() for name, kind in each.request.items()}

    @property
    def targets(self) -> tuple[str, ...]:
        """Columns of a spine that it is fitted on as targets, each once."""
        nodes = (node for each in self.encoded for node in each.tree.spec.nodes)
        found = (node.param("target") for node in nodes)
        return tuple(dict.fromkeys(target for target in found if target is not None))

    def fit(self, columns: Columns, targets: Columns, rows: int) -> Artefact:
        """What its encoders learn from rows, the same in whatever order they are.

        Args:
            columns: `inputs` by address and `request` by name, each `pa.Array[n]`.
            targets: `targets` by name, likewise.
            rows: n.

        Raises:
            RequestError: there is nothing to fit, or nothing among the rows to learn from.
        """
        fitted: dict[str, Any] = {}
        for each in self._learning():
            try:
                fitted[each.feature.name] = each.tree.fit(columns, targets)
            except Unfit as error:
                raise RequestError(f"{each.feature.address}: {error}") from None
        if not fitted:
            raise RequestError(f"{self.name}: its encoders learn nothing; there is nothing to fit")
        definitions = {each.feature.name: each.definition for each in self._learning()}
        return Artefact(self.name, rows, definitions, fitted)

    def fitted(self, artefact: Artefact) -> CompiledEncoding:
        """The encoding by what an artefact has learnt; features defined otherwise since are stale."""
        return replace(self, encoded=tuple(each.fitted(artefact) for each in self.encoded))

    def _learning(self) -> list[EncodedFeature]:
        return [each for each in self.encoded if each.tree.learns]


def compile_encoding(definition: Encoding, inputs: Mapping[str, Feature]) -> CompiledEncoding:
    """Encoding of features, its types checked; not fitted yet.

    Args:
        definition: without structural mistakes.
        inputs: the features that it reads, by address.

    Raises:
        DefinitionError: inputs have types that encoders do not take, or defaults do not fit.
    """
    request = {column: parse_type(text) for column, text in definition.request.items()}
    types = {address: feature.dtype for address, feature in inputs.items()} | request
    mistakes: list[Mistake] = []
    encoded = []
    for spec in definition.encoders:
        try:
            tree = compile_encoder(spec, types, definition.name)
        except DefinitionError as error:
            mistakes += error.mistakes
            continue
        read = {address: inputs[address] for address in spec.columns if address in inputs}
        given = {name: request[name] for name in spec.columns if name in request}
        encoded.append(_encoded(definition, spec, tree, read, given))
    if mistakes:
        raise DefinitionError(mistakes)
    return CompiledEncoding(definition.name, tuple(encoded), definition.place)


def _encoded(
    definition: Encoding,
    spec: Encoder,
    tree: EncoderTree,
    read: Mapping[str, Feature],
    request: Mapping[str, pa.DataType],
) -> EncodedFeature:
    identity = fingerprint(
        "encoded",
        _parts(tree),
        [[address, feature.fingerprint] for address, feature in read.items()],
        {name: type_text(kind) for name, kind in request.items()},
    )
    feature = Feature(
        definition.name,
        spec.feature_name,
        "encoded",
        tree.kernel.dtype,
        tree.default,
        fingerprint=identity,
        description=spec.description or definition.description,
        owner=definition.owner,
        tags=definition.tags,
    )
    types = {address: of.dtype for address, of in read.items()}
    values = None if tree.learns else tree.bound(None)
    return EncodedFeature(feature, tree, types, request, identity, values)


def _parts(tree: EncoderTree) -> list[Any]:
    """An encoder and those inside it, without their names and what is for people."""
    inputs = [each if isinstance(each, str) else _parts(each) for each in tree.inputs]
    params = [[name, _number(value)] for name, value in tree.spec.params]
    return [tree.spec.operation, params, inputs, default_text(tree.default)]


def _number(value: Any) -> Any:
    """A parameter, whole floats as integers: 20 and 20.0 are one number."""
    if isinstance(value, tuple):
        return [_number(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
