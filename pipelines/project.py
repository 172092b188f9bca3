"""A project as its runs and reads see it: settings, compiled definitions, stores, and what was applied to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TextIO, TypeVar

from pipelines.brokers.base import Broker
from pipelines.clock import Clock
from pipelines.progress import FedView
from pipelines.settings import FILE, Settings
from pipelines.stores import Stores
from schemas.errors import RequestError, TwinbeamError, did_you_mean
from schemas.registry import Registry
from schemas.source import Source
from serving.deployment import Deployment
from serving.encoders import fitted_catalog
from serving.plan import plan
from serving.stores.base import OnlineStore
from serving.stores.offline import OfflineStore
from transforms.catalog import Catalog

if TYPE_CHECKING:
    from pipelines.brokers.schema_registry import SchemaRegistry

T = TypeVar("T")


class Project:
    """Everything of one project that does not change while it is open.

    Args:
        settings: its settings.
        registry: its definitions.
        out: where runs show what they do, or None.
        clock: tells the time.
    """

    def __init__(self, settings: Settings, registry: Registry, out: TextIO | None, clock: Clock) -> None:
        self.settings, self.registry, self.out, self.clock = settings, registry, out, clock
        self.stores = Stores.of(settings)
        self._made: set[str] = set()
        self._fitted: tuple[Mapping[str, str], Catalog] | None = None

    @cached_property
    def catalog(self) -> Catalog:
        """The definitions, compiled.

        Raises:
            DefinitionError: they have mistakes.
            SettingsError: settings are for a source that does not exist.
        """
        catalog = Catalog.compile(self.registry)
        self.settings.check_sources(self.registry.sources)
        return catalog

    @cached_property
    def offline(self) -> OfflineStore:
        """The offline store."""
        return self.stores.offline()

    @cached_property
    def online(self) -> OnlineStore:
        """The online store."""
        return self.stores.online()

    @cached_property
    def broker(self) -> Broker:
        """The broker."""
        return self.stores.broker()

    @cached_property
    def schemas(self) -> SchemaRegistry | None:
        """The schema registry, or None if there is none."""
        return self.stores.schemas()

    def schema_id(self, source: str) -> int:
        """Id of a source's schema in the registry, where it is put if it is not there; 0 if there is nothing to do.

        Raises:
            StoreError: the registry does not answer, or refuses the schema.
        """
        definition = self.registry.sources[source]
        topic = self.topic(source)
        if definition.encoding != "confluent" or self.schemas is None or topic is None:
            return 0
        return self.schemas.register(topic, definition.avro_schema)

    def checked_deployment(self) -> Deployment:
        """What is applied, if it is what the definitions say.

        Raises:
            RequestError: the definitions are not applied as they are now.
            DefinitionChanged: an engine was upgraded and computes something else now.
        """
        return self.checked(Deployment.load(self.offline))

    def checked(self, deployment: Deployment) -> Deployment:
        """A deployment, if it is what the definitions say.

        Whoever reads definitions anew while others apply loads it before he reads them: no view of it is missing then.

        Raises:
            RequestError: as of `checked_deployment`.
            DefinitionChanged: as of `checked_deployment`.
        """
        deployment.check_applied(self.catalog)
        deployment.check_engine(self.catalog)
        return deployment

    def as_applied(self) -> tuple[Project, Deployment]:
        """The project by the definitions that are applied, and the deployment that they are.

        That is this project, unless something else is applied, as by somebody who did that after its definitions were
        read: then they are read anew. If the files have mistakes or are not applied, the definitions at hand go on.

        Raises:
            RequestError: as of `checked_deployment`.
            DefinitionChanged: as of `checked_deployment`.
        """
        deployment = Deployment.load(self.offline)
        if self.registry.modules and plan(self.catalog, deployment, None).deployment.views != deployment.views:
            try:
                project = self.again()
                return project, project.checked(deployment)
            except TwinbeamError:
                pass  # Whoever writes them is not done; what he applies then is taken up like any other change.
        return self, self.checked(deployment)

    def fitted_catalog(self, deployment: Deployment | None = None) -> Catalog:
        """The definitions, compiled and fitted by the artefacts that are applied.

        Args:
            deployment: what is applied; None to look.

        Raises:
            StoreError: an artefact is damaged or gone.
        """
        catalog = self.catalog
        if not any(encoding.learns for encoding in catalog.encodings.values()):
            return catalog
        encoders = (deployment or Deployment.load(self.offline)).encoders
        if self._fitted is None or self._fitted[0] != encoders:
            self._fitted = encoders, fitted_catalog(catalog, encoders, self.offline)
        return self._fitted[1]

    def topic(self, source: str) -> str | None:
        """Topic of a source, made in the broker if it is not there; None if the source has none."""
        topic = self.settings.topic(self.registry.sources[source])
        if topic is not None and topic not in self._made:
            if topic not in self.broker.names():
                self.broker.create(topic, self.settings.source(source).partitions)
            self._made.add(topic)
        return topic

    def sources(self, names: Iterable[str] | None) -> dict[str, Source]:
        """Sources of the names, or all.

        Raises:
            RequestError: there is no such source.
        """
        return _chosen("source", self.registry.sources, names)

    def fed_views(self, deployment: Deployment, names: Iterable[str] | None, sources: Iterable[str]) -> list[FedView]:
        """Views of the names (or all) that the sources feed, with their applied blocks.

        Raises:
            RequestError: there is no such view.
        """
        read = set(sources)
        views = _chosen("feature view", self.catalog.views, names)
        return [
            FedView(view, tuple(deployment.blocks.get(name, ())))
            for name, view in views.items()
            if read & set(view.rules)
        ]

    def again(self) -> Project:
        """The project with its definitions, and the settings of sources, read anew from their files; stores stay.

        Raises:
            RequestError: its definitions were made in code.
            SettingsError: the settings are wrong now.
        """
        if not self.registry.modules:
            raise RequestError("definitions made in code cannot be read anew; end the run and start it with them")
        settings = self.settings
        if (settings.folder / FILE).is_file():
            now = Settings.load(settings.folder, settings.env)
            settings = replace(settings, definitions=now.definitions, sources=now.sources)
        return Project(settings, Registry.load(list(settings.definitions)), self.out, self.clock)

    def close(self) -> None:
        """Closes the stores that were opened."""
        for name in ("online", "broker", "schemas"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()


def _chosen(what: str, legal: Mapping[str, T], names: Iterable[str] | None) -> dict[str, T]:
    if names is None:
        return dict(legal)
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in legal:
            listed = ", ".join(legal) or "none"
            raise RequestError(f"there is no {what} {name!r}: legal is {listed}.{did_you_mean(name, legal)}")
    return {name: item for name, item in legal.items() if name in wanted}
