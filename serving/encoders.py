"""Fitted encoders: artefacts kept in the offline store, and the catalog fitted by those that are applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa

from schemas.errors import DefinitionChanged, RequestError, StoreError
from schemas.types import TIME
from serving.deployment import Deployment
from serving.stores.offline import OfflineStore
from serving.training import training_set
from transforms.artefact import SHOWN, Artefact
from transforms.catalog import Catalog
from transforms.features import Features
from transforms.fits import encoding_of, fit_on, fit_selection

TABLE = "encoders"
_SCHEMA = pa.schema(
    [
        pa.field("encoding", pa.string()),
        pa.field("version", pa.string()),
        pa.field("fitted_at", TIME),
        pa.field("fitted_by", pa.string()),
        pa.field("rows", pa.int64()),
        pa.field("document", pa.string()),
    ]
)


@dataclass(frozen=True)
class KeptArtefact:
    """One artefact as it is listed.

    Attributes:
        encoding: name of the encoding.
        version: SHA-256 of its content.
        fitted_at: when it was first kept (UTC).
        fitted_by: who fitted it.
        rows: how many rows it was fitted on.
    """

    encoding: str
    version: str
    fitted_at: datetime
    fitted_by: str
    rows: int


def fit(
    offline: OfflineStore,
    catalog: Catalog,
    name: str,
    spine: Any,
    time: str | None = None,
    known: str = "event",
    strict: bool | None = None,
) -> Artefact:
    """What an encoding learns from its inputs as of every row of a spine, or from a training set at hand.

    Args:
        offline: the offline store.
        catalog: compiled definitions.
        name: of the encoding.
        spine: as `serving.training.training_set` takes it; or `Features` that hold all of its inputs.
        time: the spine's time column.
        known: "event" or "arrival".
        strict: leave out events at the very instant.

    Raises:
        RequestError: there is no such encoding, a column is missing, or there is nothing to learn from.
        DefinitionChanged: the training set is of other definitions.
    """
    encoding = encoding_of(catalog, name)
    selection = fit_selection(catalog, encoding)
    if not isinstance(spine, Features):
        return fit_on(encoding, selection, training_set(offline, selection, spine, time, None, known, strict))
    if catalog.select(list(spine.answers)).fingerprint != spine.fingerprint:
        raise DefinitionChanged(
            f"fit of {name}: the training set is of other definitions ({spine.fingerprint}) than now; make it anew"
        )
    return fit_on(encoding, selection, spine)


def keep(offline: OfflineStore, artefact: Artefact, now: int, who: str) -> None:
    """Keeps an artefact; one that is kept already stays as it is.

    Args:
        offline: the offline store.
        artefact: to be kept.
        now: µs.
        who: who fitted it.
    """
    if any(kept.version == artefact.version for kept in kept_artefacts(offline, artefact.encoding)):
        return
    row = [artefact.encoding, artefact.version, now, who, artefact.rows, artefact.text]
    arrays = [pa.array([value], field.type) for value, field in zip(row, _SCHEMA, strict=True)]
    offline.append(TABLE, [pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)], {})


def kept_artefacts(offline: OfflineStore, encoding: str | None = None) -> list[KeptArtefact]:
    """Artefacts of an encoding, or of all, oldest first."""
    names = [name for name in _SCHEMA.names if name != "document"]
    found = pl.DataFrame(
        pl.from_arrow(offline.read(TABLE, names, None if encoding is None else _of(encoding), schema=_SCHEMA))
    )
    first = found.sort("fitted_at", "encoding", "version").unique(["encoding", "version"], maintain_order=True)
    return [KeptArtefact(**row) for row in first.to_dicts()]


def load(offline: OfflineStore, encoding: str, version: str) -> Artefact:
    """An artefact by its version, or by the beginning of it.

    Raises:
        RequestError: there is none, or more than one of that beginning.
        StoreError: its content has another hash.
    """
    kept = [each.version for each in kept_artefacts(offline, encoding)]
    found = [each for each in kept if version and each.startswith(version)]
    if len(found) != 1:
        legal = ", ".join(each[:SHOWN] for each in kept) or "none"
        said = "more than one artefact begins" if found else "there is no artefact"
        raise RequestError(f"{encoding}: {said} {version[:SHOWN]!r}: legal is {legal}")
    document = offline.read(TABLE, ["document"], _of(encoding) & (pl.col("version") == found[0]), schema=_SCHEMA)
    artefact = Artefact.from_text(document.column(0)[0].as_py(), found[0])
    if artefact.encoding != encoding:
        raise StoreError(f"artefact {found[0][:SHOWN]}: is of {artefact.encoding}, kept as one of {encoding}")
    return artefact


def pinned(offline: OfflineStore, encoding: str, version: str) -> Deployment:
    """The deployment with another artefact of an encoding, to be saved; only its time and author are missing.

    Raises:
        RequestError: nothing is applied yet, or there is no such artefact.
    """
    artefact = load(offline, encoding, version)
    deployment = Deployment.load(offline)
    if not deployment.version:
        raise RequestError("nothing is applied yet; run twinbeam apply first")
    encoders = {**deployment.encoders, encoding: artefact.version}
    return replace(deployment, version=deployment.version + 1, encoders=encoders)


def fitted_catalog(catalog: Catalog, encoders: Mapping[str, str], offline: OfflineStore) -> Catalog:
    """The catalog fitted by the artefacts that are applied.

    Args:
        catalog: compiled definitions.
        encoders: version of the artefact of each encoding, see `Deployment.encoders`.
        offline: the offline store.

    Raises:
        StoreError: an artefact is damaged or not there.
    """
    wanted = [name for name, encoding in catalog.encodings.items() if name in encoders and encoding.learns]
    try:
        return catalog.fitted([load(offline, name, encoders[name]) for name in wanted])
    except RequestError as error:
        raise StoreError(f"{offline.root}/{TABLE}: an artefact that is applied is gone: {error}") from error


def _of(encoding: str) -> pl.Expr:
    return pl.col("encoding") == encoding
