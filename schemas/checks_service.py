"""Structural mistakes of what refers to features: services, roles and on-demand functions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from schemas.checks_address import ENCODING, EXAMPLE, FUNCTION, check_address, head_of, names_of
from schemas.code import function_problem
from schemas.encoding import Encoding
from schemas.entity import Entity
from schemas.errors import Mistake
from schemas.feature_view import AliasedView, FeatureView
from schemas.findings import Findings
from schemas.names import RESERVED
from schemas.on_demand import OnDemand
from schemas.service import FeatureService

if TYPE_CHECKING:
    from schemas.registry import Registry


def service_mistakes(service: FeatureService, registry: Registry) -> list[Mistake]:
    """What is wrong with a service."""
    findings = Findings(service.place, str(service.name))
    findings.names("feature service", [service.name], dashed=True)
    findings.people(service)
    findings.flag("strict", service.strict)
    asked: list[str] = []
    for item in findings.sequence("features", service.features, f"[user_purchases, {EXAMPLE[1:-1]}]"):
        if isinstance(item, str):
            check_address(item, findings, registry, FUNCTION, ENCODING)
            asked.append(item)
        elif isinstance(item, (FeatureView, AliasedView, OnDemand, Encoding)):
            asked += [f"{head_of(item)}:{name}" for name in names_of(item)]
        else:
            findings.add(
                f"features are views, roles, on-demand functions, encodings and addresses as in {EXAMPLE}, not {item!r}"
            )
    for address in dict.fromkeys(address for address in asked if asked.count(address) > 1):
        findings.add(f"{address!r} is asked for twice: each feature is listed once, alone or by its view")
    return findings.mistakes


def alias_mistakes(alias: AliasedView, registry: Registry) -> list[Mistake]:
    """What is wrong with a view in a role."""
    findings = Findings(alias.place, f"{getattr(alias.view, 'name', alias.view)}.alias({alias.role!r})")
    findings.names("role", [alias.role], dashed=True)
    entity: Any = getattr(alias.view, "entity", None)
    if not isinstance(entity, Entity):
        return findings.mistakes
    legal = [*_keys_of(entity.keys), *_keys_of(entity.inputs)]
    if not alias.renamed:
        findings.add(f"names no column of its own: legal is a column for one or more of {', '.join(legal)}")
    for key, column in alias.renamed.items():
        findings.one_of(f"key of entity {entity.name!r}", key, legal)
        findings.text(f"the column of key {key!r}", column)
    return findings.mistakes


def on_demand_mistakes(function: OnDemand, registry: Registry) -> list[Mistake]:
    """What is wrong with an on-demand function."""
    findings = Findings(function.place, str(function.name))
    problem = function_problem(function.function)
    if problem:
        findings.add(f"on_demand: {problem}")
    else:
        findings.names("on-demand function", [function.name])
        _signature(function, findings)
    findings.people(function)
    _inputs(function, findings, registry)
    findings.types("request column", function.request, '{"amount": "float64"}')
    findings.types("feature in returns", function.returns, '{"burst": "float64"}')
    if function.returns == {}:
        findings.add('returns must name at least one feature, as in {"burst": "float64"}')
    return findings.mistakes


def _signature(function: OnDemand, findings: Findings) -> None:
    try:
        inspect.signature(function.function).bind(None)
    except TypeError:
        findings.add(f"{function.name} must take one argument, a frame of its inputs, as in def {function.name}(df)")


def _inputs(function: OnDemand, findings: Findings, registry: Registry) -> None:
    inputs = function.inputs
    if not isinstance(inputs, (list, tuple)):
        findings.add(f"inputs must be a list of addresses, as in {EXAMPLE}, not {inputs!r}")
        return
    for item in inputs:
        if item in RESERVED:
            findings.add(f"input {item!r} is there without being asked for: leave it out of inputs=")
        elif isinstance(item, str):
            check_address(item, findings, registry)
        else:
            findings.add(f"inputs are addresses as in {EXAMPLE}, not {item!r}")
    for item in dict.fromkeys(str(item) for item in inputs if inputs.count(item) > 1):
        findings.add(f"input {item!r} is there twice: each input is listed once")


def _keys_of(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, Mapping) else ()
