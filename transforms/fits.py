"""Fits: what an encoding learns from, selected, and learnt from features as of the rows of a spine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa

from schemas.errors import RequestError, did_you_mean
from transforms.artefact import Artefact
from transforms.catalog import Catalog
from transforms.columns import whole
from transforms.encoding import CompiledEncoding
from transforms.features import Features
from transforms.requests import read_request
from transforms.selection import Selection


def encoding_of(catalog: Catalog, name: str) -> CompiledEncoding:
    """An encoding that there is something to fit of.

    Raises:
        RequestError: there is none of that name, or its encoders learn nothing.
    """
    if name not in catalog.encodings:
        legal = ", ".join(catalog.encodings) or "none"
        raise RequestError(f"there is no encoding {name!r}: legal is {legal}.{did_you_mean(name, catalog.encodings)}")
    encoding = catalog.encodings[name]
    if not encoding.learns:
        raise RequestError(f"{name}: its encoders learn nothing; there is nothing to fit")
    return encoding


def fit_selection(catalog: Catalog, encoding: CompiledEncoding) -> Selection:
    """The features and request columns that an encoding is fitted on."""
    learning = [each.feature.address for each in encoding.encoded if each.tree.learns]
    whole_ = catalog.select(learning)
    wanted = encoding.inputs
    outputs = sorted((each for each in whole_.hidden if each.address in wanted), key=lambda o: wanted.index(o.address))
    hidden = tuple(each for each in whole_.hidden if each.address not in wanted)
    return replace(whole_, outputs=tuple(outputs), hidden=hidden)


def fit_on(encoding: CompiledEncoding, selection: Selection, features: Features) -> Artefact:
    """What an encoding learns from features as of the rows of a spine.

    Args:
        encoding: to be fitted.
        selection: what it is fitted on, see `fit_selection`.
        features: those of the selection at least; the spine's columns are its own.

    Raises:
        RequestError: a feature or column is missing, or there is nothing among the rows to learn from.
    """
    _present("feature", encoding.inputs, features.answers)
    given = features.given
    _present("target column", encoding.targets, given.column_names)
    _present("request column", encoding.request, given.column_names)
    # Of a training set of other features, request columns need not have the types of these.
    bare = replace(selection, outputs=(), hidden=(), request=encoding.request)
    request = read_request(given, bare, "spine").given
    columns = {address: features.answers[address].values for address in encoding.inputs}
    columns |= {name: whole(request.column(name)) for name in encoding.request}
    targets: dict[str, pa.Array] = {name: whole(request.column(name)) for name in encoding.targets}
    return encoding.fit(columns, targets, len(features))


def _present(what: str, wanted: Iterable[str], there: Iterable[str]) -> None:
    known = list(there)
    for name in wanted:
        if name not in known:
            raise RequestError(
                f"spine: {what} {name!r} is missing; there are {', '.join(known) or 'none'}.{did_you_mean(name, known)}"
            )
