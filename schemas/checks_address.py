"""Structural mistakes of addresses: whether there is a feature of that name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from schemas.checks_view import feature_names
from schemas.encoding import Encoding
from schemas.errors import did_you_mean
from schemas.feature_view import AliasedView, FeatureView
from schemas.findings import Findings
from schemas.names import split_address
from schemas.on_demand import OnDemand

if TYPE_CHECKING:
    from schemas.registry import Registry

EXAMPLE = '["user_purchases:count_24h"]'
FUNCTION, ENCODING = "on-demand function", "encoding"

Head = FeatureView | AliasedView | OnDemand | Encoding


def check_address(text: str, findings: Findings, registry: Registry, *others: str) -> None:
    """An address must name a feature of a view, of a role, or of `others`: FUNCTION, ENCODING, where they are legal."""
    try:
        head, feature = split_address(text)
    except ValueError as error:
        findings.add(str(error))
        return
    if head in registry.broken:
        return
    known: dict[str, Any] = {**registry.aliases, **registry.views}
    known |= registry.on_demand if FUNCTION in others else {}
    known |= registry.encodings if ENCODING in others else {}
    if head not in known:
        *first, last = ("view", "role", *others)
        what = f"{', '.join(first)} or {last}"
        findings.add(
            f"{text!r}: unknown {what} {head!r}.{did_you_mean(head, known)} Legal are {', '.join(known) or 'none'}"
        )
        return
    legal = names_of(known[head])
    if feature not in legal:
        hint = did_you_mean(feature, legal)
        findings.add(f"{text!r}: {head} has no feature {feature!r}.{hint} Legal are {', '.join(legal)}")


def head_of(item: Head) -> str:
    """First half of the addresses of the features of a view, a role, a function or an encoding."""
    return str(item.role if isinstance(item, AliasedView) else item.name)


def names_of(item: Head) -> tuple[str, ...]:
    """Names of the features of a view, a role, a function or an encoding."""
    if isinstance(item, OnDemand):
        return tuple(map(str, item.returns)) if isinstance(item.returns, Mapping) else ()
    if isinstance(item, Encoding):
        return item.feature_names
    view = item.view if isinstance(item, AliasedView) else item
    return feature_names(view) if isinstance(view, FeatureView) else ()
