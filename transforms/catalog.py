"""The catalog: every definition of a project resolved, or every mistake in them told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pyarrow as pa

from schemas.checks_encoding import encoding_mistakes
from schemas.checks_entity import entity_mistakes
from schemas.checks_service import on_demand_mistakes
from schemas.checks_source import source_mistakes
from schemas.checks_view import view_mistakes
from schemas.encoding import Encoding
from schemas.entity import Entity
from schemas.errors import DefinitionError, Mistake, RequestError, did_you_mean
from schemas.feature_view import AliasedView, FeatureView
from schemas.fingerprint import fingerprint
from schemas.on_demand import OnDemand
from schemas.registry import Registry
from schemas.service import FeatureService
from schemas.source import Source
from transforms.artefact import Artefact
from transforms.encoding import CompiledEncoding, compile_encoding
from transforms.entity_keys import EntityKeys, compile_keys
from transforms.feature import Feature
from transforms.on_demand import OnDemandFunction, compile_on_demand
from transforms.selection import Output, Selection
from transforms.view import CompiledView
from transforms.view_compiler import ViewCompiler

T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """Compiled definitions.

    Attributes:
        registry: the definitions.
        views: by name.
        on_demand: functions by name.
        encodings: by name, as far as fitted by `fitted`.
    """

    registry: Registry
    views: Mapping[str, CompiledView]
    on_demand: Mapping[str, OnDemandFunction]
    encodings: Mapping[str, CompiledEncoding] = field(default_factory=dict)

    @staticmethod
    def compile(registry: Registry) -> Catalog:
        """Compiled definitions of a registry.

        Raises:
            DefinitionError: there are mistakes: all of them, those of structure and those of types and SQL.
        """
        mistakes = list(registry.mistakes)
        views: dict[str, CompiledView] = {}
        for view in registry.views.values():
            keys, found = _keys(view)
            mistakes += found
            if keys is not None:
                compiled, found = _view(view, keys, bool(view_mistakes(view)))
                mistakes += found
                views |= {} if compiled is None else {view.name: compiled}
        functions: dict[str, OnDemandFunction] = {}
        catalog = Catalog(registry, views, functions)
        for function in registry.on_demand.values():
            if not on_demand_mistakes(function, registry):
                made = catalog._computation(compile_on_demand, function, function.inputs, mistakes)
                functions |= {} if made is None else {function.name: made}
        encodings: dict[str, CompiledEncoding] = {}
        for encoding in registry.encodings.values():
            if not encoding_mistakes(encoding, registry):
                read = [name for encoder in encoding.encoders for name in encoder.columns if ":" in name]
                encoded = catalog._computation(compile_encoding, encoding, read, mistakes)
                encodings |= {} if encoded is None else {encoding.name: encoded}
        if mistakes:
            raise DefinitionError(sorted(set(mistakes)))
        return Catalog(registry, views, functions, encodings)

    def fitted(self, artefacts: Iterable[Artefact]) -> Catalog:
        """The catalog with its encodings fitted; artefacts of encodings that are none of it do not count."""
        encodings = dict(self.encodings)
        for artefact in artefacts:
            if artefact.encoding in encodings:
                encodings[artefact.encoding] = encodings[artefact.encoding].fitted(artefact)
        return replace(self, encodings=encodings)

    def select(self, features: Any) -> Selection:
        """Selection of features, in the order asked, each once.

        Args:
            features: a feature service, view, alias, on-demand function or encoding, the name of one, an address
                `view:feature`, or a list of any of these.

        Raises:
            RequestError: there is nothing of that name, or request columns contradict each other.
        """
        items = list(features) if isinstance(features, list | tuple) else [features]
        service = self._service(items[0]) if len(items) == 1 else None
        outputs = {output.address: output for item in items for output in self._outputs(item)}
        if not outputs:
            raise RequestError("features: nothing is asked for; give a service, a view, or view:feature addresses")
        hidden: dict[str, Output] = {}
        waiting = list(outputs.values())
        while waiting:
            for output in self._inputs(waiting.pop()):
                if output.address not in outputs and output.address not in hidden:
                    hidden[output.address] = output
                    waiting.append(output)
        request: dict[str, pa.DataType] = {}
        for output in (*outputs.values(), *hidden.values()):
            for name, kind in output.function.request.items() if output.function else ():
                if request.setdefault(name, kind) != kind:
                    raise RequestError(
                        f"request column {name!r} is {kind} to one function or encoding, {request[name]} to another"
                    )
        prints = [(output.address, output.feature.fingerprint) for output in outputs.values()]
        identity = f"{fingerprint([list(pair) for pair in prints])}-{''.join(own[:4] for _, own in prints)}"
        strict, name = (service.strict, service.name) if service is not None else (False, "")
        return Selection(tuple(outputs.values()), tuple(hidden.values()), request, identity, strict, name)

    def output(self, address: str) -> Output:
        """One feature by its address.

        Raises:
            RequestError: there is none.
        """
        role, _, name = address.partition(":")
        outputs = {output.feature.name: output for output in self._role(role, address)}
        if name not in outputs:
            legal = ", ".join(outputs)
            raise RequestError(
                f"{address}: {role} has no feature {name!r}; it has {legal}.{did_you_mean(name, outputs)}"
            )
        return outputs[name]

    def _inputs(self, output: Output) -> list[Output]:
        """What a computed feature reads: any feature by its address, or others of the same view in the same role."""
        if output.function is not None:
            return [self.output(address) for address in output.function.inputs]
        view, role, names = output.view, output.role, output.feature.inputs
        features = [] if view is None else [feature for feature in view.features if feature.name in names]
        return [Output(f"{role}:{feature.name}", role, view, feature, output.keys) for feature in features]

    def _outputs(self, item: Any) -> Iterable[Output]:
        service = self._service(item)
        if service is not None:
            return [output for part in service.features for output in self._outputs(part)]
        if isinstance(item, str):
            return [self.output(item)] if ":" in item else self._role(item, item)
        if isinstance(item, FeatureView | OnDemand | Encoding):
            return self._role(item.name, item.name)
        if isinstance(item, AliasedView):
            return self._view_outputs(item.role, self._view(item.view.name), item.keys)
        raise RequestError(
            f"features: {item!r} is a {type(item).__name__}; give a service, a view, or view:feature addresses"
        )

    def _computation(
        self,
        compiler: Callable[[Any, Mapping[str, Feature]], T],
        item: OnDemand | Encoding,
        addresses: Iterable[str],
        mistakes: list[Mistake],
    ) -> T | None:
        """What is compiled of a definition and the features that it reads; None, and mistakes, if that fails."""
        try:
            return compiler(item, {address: self.output(address).feature for address in addresses})
        except DefinitionError as error:
            mistakes += error.mistakes
        except RequestError as error:
            # An input without a compiled view has a mistake of its own.
            mistakes += [] if mistakes else [Mistake(item.place, item.name, str(error))]
        return None

    def _service(self, item: Any) -> FeatureService | None:
        if isinstance(item, FeatureService):
            return item
        return self.registry.services.get(item) if isinstance(item, str) else None

    def _role(self, role: str, asked: str) -> list[Output]:
        """Features of a view, alias, on-demand function or encoding by name."""
        if role in self.views:
            view = self.views[role]
            return list(self._view_outputs(role, view, {name: name for name in view.keys.asked}))
        if role in self.registry.aliases:
            alias = self.registry.aliases[role]
            return list(self._view_outputs(role, self._view(alias.view.name), alias.keys))
        if role in self.on_demand:
            function = self.on_demand[role]
            return [Output(f"{role}:{f.name}", role, None, f, (), function) for f in function.features]
        if role in self.encodings:
            encoded = self.encodings[role].encoded
            return [Output(each.feature.address, role, None, each.feature, (), each) for each in encoded]
        names = [*self.views, *self.registry.aliases, *self.on_demand, *self.encodings, *self.registry.services]
        raise RequestError(
            f"features: {asked!r}: there is no view, alias, on-demand function, encoding or service {role!r}; "
            f"there are {', '.join(names) or 'none'}.{did_you_mean(role, names)}"
        )

    def _view(self, name: str) -> CompiledView:
        if name not in self.views:
            raise RequestError(f"features: there is no view {name!r} among {', '.join(self.views)}")
        return self.views[name]

    def _view_outputs(self, role: str, view: CompiledView, columns: Mapping[str, str]) -> Iterator[Output]:
        keys = tuple((name, columns[name]) for name in view.keys.asked)
        for feature in view.features:
            yield Output(f"{role}:{feature.name}", role, view, feature, keys)


def _keys(view: FeatureView) -> tuple[EntityKeys | None, Sequence[Mistake]]:
    """Keys of a view's entity, and the mistakes in them; None if it, or a source, has mistakes."""
    if not isinstance(view.entity, Entity) or entity_mistakes(view.entity) or not view.sources:
        return None, ()
    if any(not isinstance(source, Source) or source_mistakes(source) for source in view.sources):
        return None, ()
    try:
        return compile_keys(view.entity), ()
    except DefinitionError as error:
        return None, error.mistakes


def _view(view: FeatureView, keys: EntityKeys, broken: bool) -> tuple[CompiledView | None, Sequence[Mistake]]:
    """The compiled view, and its mistakes; as many as can be told, if it is structurally broken."""
    compiler = ViewCompiler(view, keys)
    try:
        return compiler.compile(), compiler.mistakes
    except (ValueError, TypeError, AttributeError, LookupError):
        if broken:
            return None, compiler.mistakes
        raise
