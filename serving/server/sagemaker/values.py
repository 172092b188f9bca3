"""Values as texts, which is how records travel: read as the types of their features, and written again.

A number is kept as a number. A text that is not the one that the number is written as (`7` of a fractional feature,
whose own is `7.0`) is kept beside it, so that a client gets back what it has put.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from schemas.feature_group import FRACTIONAL, INTEGRAL, GroupFeature

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEAST, MOST = -62_135_596_800_000_000, 253_402_300_799_999_999
SECONDS = {"Seconds": 1, "Minutes": 60, "Hours": 3_600, "Days": 86_400, "Weeks": 604_800}
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?|[+-]?(?:inf|infinity|nan)", re.IGNORECASE
)
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})")
_LEGAL_TIME = "legal is yyyy-MM-dd'T'HH:mm:ssZ or yyyy-MM-dd'T'HH:mm:ss.SSSZ, as in 2026-12-01T12:00:00Z"

Texts = str | list[str]


def typed(feature: GroupFeature, single: str | None, several: Sequence[str] | None) -> tuple[Any, Texts | None]:
    """A value of a feature, and the texts that it came in, if it would be written in others.

    Args:
        feature: whose value it is.
        single: its text.
        several: the texts of a collection.

    Raises:
        ValueError: it is not legal; says what is.
    """
    if feature.collection is None:
        if several is not None:
            raise ValueError(f"{feature.name} is no collection: legal is ValueAsString")
        if single is None:
            return None, None
        value = _plain(feature, single)
        return value, None if _text(feature, value) == single else single
    if single is not None:
        raise ValueError(f"{feature.name} is a {feature.collection}: legal is ValueAsStringList")
    if several is None:
        return None, None
    texts = list(dict.fromkeys(several)) if feature.collection == "Set" else list(several)
    if feature.dimension is not None and len(texts) != feature.dimension:
        raise ValueError(f"{feature.name} is a vector of {feature.dimension} elements, not of {len(texts)}")
    values = [_plain(feature, text) for text in texts]
    return values, None if [_text(feature, value) for value in values] == texts else texts


def texts_of(feature: GroupFeature, value: Any) -> Texts:
    """Texts of a value that is not null."""
    if feature.collection is None:
        return _text(feature, value)
    return ["" if element is None else _text(feature, element) for element in value]


def moment(kind: str, text: str) -> int:
    """An event time, µs; what is finer is cut off.

    Args:
        kind: of the feature.
        text: of its value.

    Raises:
        ValueError: it is no time.
    """
    if kind == FRACTIONAL:
        try:
            seconds = Decimal(text) if _NUMBER.fullmatch(text) else Decimal("nan")
            time = math.floor(seconds * 1_000_000)
        except (InvalidOperation, ValueError, OverflowError):
            raise ValueError(f"{text!r} is no time: legal are seconds since the epoch, as in 1764590400.5") from None
    else:
        match = _TIME.fullmatch(text)
        try:
            zone = match[3] if match is not None else ""
            whole = datetime.fromisoformat((match[1] if match is not None else "") + zone.replace("Z", "+00:00"))
            time = (whole - EPOCH) // timedelta(microseconds=1)
        except (ValueError, OverflowError):
            raise ValueError(f"{text!r} is no time: {_LEGAL_TIME}") from None
        time += int((match[2] if match is not None and match[2] else ".0")[1:7].ljust(6, "0"))
    if not LEAST <= time <= MOST:
        raise ValueError(f"{text!r} is beyond the years 1 to 9999")
    return time


def moment_text(kind: str, time: int) -> str:
    """Text of an event time in µs."""
    if kind == FRACTIONAL:
        return repr(time / 1_000_000)
    whole, rest = divmod(time, 1_000_000)
    text = (EPOCH + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    if rest:
        text += f".{rest // 1_000:03d}" if rest % 1_000 == 0 else f".{rest:06d}"
    return f"{text}Z"


def _plain(feature: GroupFeature, text: str) -> int | float | str:
    if feature.kind == INTEGRAL:
        value = int(text) if _WHOLE.fullmatch(text) else 2**64
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{feature.name}: {text[:100]!r} is not Integral: legal are whole numbers of 64 bits")
        return value
    if feature.kind == FRACTIONAL:
        if _NUMBER.fullmatch(text) is None:
            raise ValueError(f"{feature.name}: {text[:100]!r} is not Fractional: legal are numbers, as in 0.5")
        return float(text)
    return text


def _text(feature: GroupFeature, value: Any) -> str:
    if feature.kind == FRACTIONAL:
        return repr(float(value))
    return str(value)
