"""Records as they are read: the latest row of an identifier, in texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import BeingFilled, RequestError
from schemas.feature_group import EXPIRES, SEQUENCE, TEXTS, FeatureGroup, GroupFeature
from serving.server.ports import Reader
from serving.server.problems import Problem
from serving.server.sagemaker.errors import invalid
from serving.server.sagemaker.values import Texts, moment_text, texts_of
from transforms.answers import NO_TIME, NOT_FOUND, OUTSIDE_MAX_AGE, PRESENT
from transforms.features import Features


@dataclass(frozen=True)
class FoundRecord:
    """A record as the online store has it.

    Attributes:
        time: of its event, µs.
        expires: when it expires, µs, or None.
        sequence: of its row.
        texts: of its features that have a value, by name, in the order of the group's.
        expired: whether it is to be read no more; nothing but its time is known then.
    """

    time: int
    expires: int | None
    sequence: int
    texts: dict[str, Texts]
    expired: bool

    def features(self, names: Sequence[str] | None) -> list[dict[str, Any]]:
        """Features as an answer has them: all, or those of some names."""
        wanted = self.texts if names is None else [name for name in dict.fromkeys(names) if name in self.texts]
        return [
            {"FeatureName": name, "ValueAsString" if isinstance(self.texts[name], str) else "ValueAsStringList": text}
            for name, text in ((name, self.texts[name]) for name in wanted)
        ]

    def expires_at(self) -> str | None:
        """When it expires, as an answer has it."""
        return None if self.expires is None else moment_text("String", self.expires)


def read(
    reader: Reader, group: FeatureGroup, keys: Sequence[int | str], former: Reader | None = None
) -> tuple[Features, list[FoundRecord | None]]:
    """Records of keys, None for those that there are not.

    Args:
        reader: of the group's view.
        group: the group.
        keys: as its column has them.
        former: of the view before features were added to it, asked while those are being filled; None for none.

    Raises:
        Problem: the group's view is not applied, or still being filled.
    """
    given = {group.key.column: list(keys)}
    try:
        features = reader.get(given, None, None, None)
    except BeingFilled as error:
        if former is None:
            raise Problem(503, str(error), retry=1) from None
        features = former.get(given, None, None, None)
    except RequestError as error:
        raise Problem(503, str(error), retry=1) from None
    columns = features.columns()
    view = group.view_name
    addresses = [(feature, f"{view}:{feature.column}") for feature in group.values]
    values = [(feature, columns[address].values) for feature, address in addresses if address in columns]
    ones = columns[f"{view}:{SEQUENCE if group.registered else group.values[0].column}"]
    expiries: Sequence[Any] = [None] * len(keys)
    kept: Sequence[Any] = expiries
    if group.registered:
        expiries, kept = columns[f"{view}:{EXPIRES}"].values, columns[f"{view}:{TEXTS}"].values
    found: list[FoundRecord | None] = []
    for row, key in enumerate(keys):
        at, code = ones.times[row], PRESENT if ones.codes is None else ones.codes[row]
        if at == NO_TIME or code in (NOT_FOUND, OUTSIDE_MAX_AGE):
            found.append(FoundRecord(at, None, 0, {}, True) if code == OUTSIDE_MAX_AGE else None)
            continue
        texts = json.loads(kept[row]) if kept[row] else {}
        own: dict[str, Texts] = {group.key.name: str(key), group.time.name: moment_text(group.time.kind, at)}
        own |= {feature.name: texts_of(feature, column[row]) for feature, column in values if column[row] is not None}
        told = {feature.name: texts.get(feature.name, own[feature.name]) for feature in _there(group, own)}
        found.append(FoundRecord(at, expiries[row], ones.values[row] if group.registered else 0, told, False))
    return features, found


def named(group: FeatureGroup, names: Sequence[str] | None) -> Sequence[str] | None:
    """Names of features of a group.

    Raises:
        Problem: there is no such feature.
    """
    for name in names or ():
        if name not in group.by_name:
            raise invalid(
                f"feature group {group.name!r} has no feature {name[:100]!r}: legal are {', '.join(group.by_name)}"
            )
    return names


def _there(group: FeatureGroup, own: dict[str, Texts]) -> list[GroupFeature]:
    return [feature for feature in group.features if feature.name in own]
