"""Puts and deletes as events of a group's source; the one fold of rows makes of them what the contract says.

The latest value is that of the greatest event time, and of equal times that of the least sequence, then of the first
arrival (the view has `ties="first"`). Puts and deletes have sequence 0, so of equal times the first counts; an update
of a record has the record's time and a sequence below it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.feature_group import (
    DELETED,
    EXPIRES,
    HARD,
    INVOKED,
    OFFLINE,
    ONLINE,
    SEQUENCE,
    TEXTS,
    FeatureGroup,
    GroupFeature,
)
from serving.server.sagemaker.bodies import FeatureValue, TtlDuration
from serving.server.sagemaker.errors import invalid
from serving.server.sagemaker.records import FoundRecord
from serving.server.sagemaker.values import EPOCH, MOST, SECONDS, Texts, moment, moment_text, typed

ONLINE_STORE, OFFLINE_STORE = "OnlineStore", "OfflineStore"
Event = dict[str, Any]


@dataclass(frozen=True)
class Targets:
    """Stores that a request is for.

    Attributes:
        online: whether the online store is one.
        offline: whether the offline store is one.
    """

    online: bool
    offline: bool

    @staticmethod
    def of(group: FeatureGroup, given: Sequence[str] | None) -> Targets:
        """Stores that are named, or all that the group has.

        Raises:
            Problem: the group has none of that name.
        """
        if given is None:
            return Targets(group.online, group.offline)
        for store, there in ((ONLINE_STORE, group.online), (OFFLINE_STORE, group.offline)):
            if store in given and not there:
                raise invalid(f"TargetStores: feature group {group.name!r} has no {store}")
        return Targets(ONLINE_STORE in given, OFFLINE_STORE in given)


class RecordEvents:
    """Makes events of one group.

    Args:
        group: the group.
        max_skew: µs by which an event's time may lie after its arrival.
    """

    def __init__(self, group: FeatureGroup, max_skew: int) -> None:
        self._group, self._skew = group, max_skew

    def put(
        self, record: Sequence[FeatureValue], targets: Targets, ttl: TtlDuration | None, now: datetime | None = None
    ) -> Event:
        """A record that is put.

        Args:
            record: its features.
            targets: stores that it is for.
            ttl: its own, or None for that of the group.
            now: the time; None for the clock.

        Raises:
            Problem: it is not legal.
        """
        group, given = self._group, self.values(record)
        for feature in (group.key, group.time):
            value = given.get(feature.name)
            if value is None or value.value_as_string is None:
                raise invalid(f"Missing the feature {feature.name}: a record has its identifier and its event time")
        event = self._event(given[group.key.name].value_as_string, given[group.time.name].value_as_string, targets, now)
        texts: dict[str, Texts] = json.loads(event[TEXTS] or "{}")
        for feature in group.values:
            value = given.get(feature.name)
            if value is not None:
                event[feature.column], text = _typed(feature, value)
                if text is not None:
                    texts[feature.name] = text
        event[TEXTS] = _kept(texts)
        event[EXPIRES] = self.expiry(_time(event, group), ttl)
        return event if group.registered else self._plain(event, targets, ttl)

    def delete(
        self, identifier: str, time: str, targets: Targets, hard: bool = False, now: datetime | None = None
    ) -> Event:
        """The marker of a record that is deleted.

        Args:
            identifier: of the record.
            time: of the deletion.
            targets: stores that it is deleted from.
            hard: whether it is not even listed any more.
            now: the time; None for the clock.

        Raises:
            Problem: it is not legal.
        """
        if not self._group.registered:
            raise invalid(f"{self._group.name!r} is a view of the definitions, whose records cannot be deleted here")
        return self._event(identifier, time, targets, now) | {DELETED: True, HARD: hard}

    def update(
        self,
        record: FoundRecord,
        row: Mapping[str, Any],
        given: Mapping[str, FeatureValue],
        time: str,
        targets: Targets,
    ) -> Event:
        """A record with some features changed; its expiry and its sequence are still to be filled in.

        Args:
            record: as it is.
            row: its values by column.
            given: new values by feature.
            time: of the update.
            targets: stores that it is for.

        Raises:
            Problem: a value is not legal.
        """
        group = self._group
        identifier = record.texts[group.key.name]
        event = self._event(identifier if isinstance(identifier, str) else "", time, targets, None)
        before: dict[str, Texts] = json.loads(row[TEXTS] or "{}")
        texts: dict[str, Texts] = json.loads(event[TEXTS] or "{}")
        for feature in group.values:
            event[feature.column], text = row[feature.column], before.get(feature.name)
            if feature.name in given:
                event[feature.column], text = _typed(feature, given[feature.name])
            if text is not None:
                texts[feature.name] = text
        event[TEXTS] = _kept(texts)
        return event

    def values(self, record: Sequence[FeatureValue]) -> dict[str, FeatureValue]:
        """Values by feature.

        Raises:
            Problem: there is no such feature, or one is there twice.
        """
        found: dict[str, FeatureValue] = {}
        for value in record:
            if value.feature_name not in self._group.by_name:
                raise invalid(
                    f"feature group {self._group.name!r} has no feature {value.feature_name!r}: legal are "
                    f"{', '.join(self._group.by_name)}"
                )
            if found.setdefault(value.feature_name, value) is not value:
                raise invalid(f"the feature {value.feature_name!r} is given twice")
        return found

    def expiry(self, time: int, ttl: TtlDuration | None) -> int | None:
        """When a record of an event time (µs) expires, µs; None if never.

        Raises:
            Problem: never within the years that there are.
        """
        unit, value = (ttl.unit, ttl.value) if ttl is not None else self._group.ttl or ("Seconds", 0)
        if not value:
            return None
        expires = time + value * SECONDS[unit] * 1_000_000
        if expires > MOST:
            raise invalid(f"TtlDuration: {value} {unit} end beyond the year 9999")
        return expires

    def time(self, text: str, now: datetime | None = None) -> int:
        """An event time, µs.

        Raises:
            Problem: it is none, or lies ahead.
        """
        feature = self._group.time
        try:
            found = moment(feature.kind, text)
        except ValueError as error:
            raise invalid(f"{feature.name}: {error}") from None
        if found > (_now() if now is None else _micros(now)) + self._skew:
            raise invalid(
                f"{feature.name}: {text!r} lies ahead of the server's clock by more than {self._skew / 1e6:g} s "
                "(setting run.max_skew)"
            )
        return found

    def key(self, text: str) -> int | str:
        """An identifier as its column has it.

        Raises:
            Problem: it is none.
        """
        return self._key(text)[0]

    def _plain(self, event: Event, targets: Targets, ttl: TtlDuration | None) -> Event:
        """An event of a view's source, which has no columns for what is said here of a record."""
        if ttl is not None or not (targets.online and targets.offline):
            raise invalid(
                f"{self._group.name!r} is a view of the definitions: its records go to both stores, and TtlDuration is "
                "not legal (a view has ttl=)"
            )
        source = self._group.view.sources[0]
        event |= {source.arrival_time or INVOKED: event[INVOKED]}
        return {field.name: event[field.name] for field in source.resolved_fields if field.name in event}

    def _event(self, identifier: str | None, time: str | None, targets: Targets, now: datetime | None) -> Event:
        group, texts = self._group, dict[str, Texts]()
        key, text = self._key(identifier or "")
        if text is not None:
            texts[group.key.name] = text
        at = self.time(time or "", now)
        if moment_text(group.time.kind, at) != time:
            texts[group.time.name] = time or ""
        event: Event = {feature.column: None for feature in group.values}
        return event | {
            group.key.column: key,
            group.time.column: EPOCH + timedelta(microseconds=at),
            DELETED: False,
            INVOKED: datetime.now(UTC) if now is None else now,
            ONLINE: targets.online,
            OFFLINE: targets.offline,
            HARD: False,
            EXPIRES: None,
            SEQUENCE: 0,
            TEXTS: _kept(texts),
        }

    def _key(self, text: str) -> tuple[int | str, str | None]:
        feature = self._group.key
        if not text:
            raise invalid(f"{feature.name}: the record identifier is empty")
        if feature.kind == "Fractional":
            return text, None
        value, kept = _typed(feature, FeatureValue(feature.name, text))
        return value, kept if isinstance(kept, str) else None


def _typed(feature: GroupFeature, value: FeatureValue) -> tuple[Any, Texts | None]:
    try:
        return typed(feature, value.value_as_string, value.value_as_string_list)
    except ValueError as error:
        raise invalid(str(error)) from None


def _kept(texts: Mapping[str, Texts]) -> str | None:
    return json.dumps(texts, ensure_ascii=False) if texts else None


def _time(event: Event, group: FeatureGroup) -> int:
    return _micros(event[group.time.column])


def _micros(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


def _now() -> int:
    return _micros(datetime.now(UTC))
