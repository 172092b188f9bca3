"""Structural mistakes of encodings and their encoders."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from schemas.checks_address import EXAMPLE, FUNCTION, check_address
from schemas.encoding import ENCODERS, Encoder, Encoding
from schemas.errors import Mistake
from schemas.findings import Findings
from schemas.names import RESERVED

if TYPE_CHECKING:
    from schemas.registry import Registry

MAX_SIZE = 1_000_000
MAX_HOT = 1_000
MAX_BUCKETS = 1 << 31
MAX_QUANTILES = 10_000
MOST_UNKNOWN = 1 << 31


def encoding_mistakes(encoding: Encoding, registry: Registry) -> list[Mistake]:
    """What is wrong with an encoding and its encoders, apart from the types of what they read."""
    findings = Findings(encoding.place, str(encoding.name))
    findings.names("encoding", [encoding.name], dashed=True)
    findings.people(encoding)
    request = findings.types("request column", encoding.request, '{"amount": "float64"}')
    example = '[encode.vocabulary("user_profile:country")]'
    for item in findings.sequence("features", encoding.features, example):
        if not isinstance(item, Encoder):
            findings.add(f"features are encoders as in {example}, not {item!r}")
    taken: dict[str, Encoder] = {}
    for encoder in encoding.encoders:
        for node in encoder.nodes:
            findings.mistakes += _encoder(node, encoding, request, registry)
        _name(encoder, taken, findings)
    used = {column for encoder in encoding.encoders for column in encoder.columns}
    for name in request:
        if name not in used and not any(encoder.param("target") == name for encoder in encoding.encoders):
            findings.add(f"request column {name!r} is read by no encoder: leave it out of request=")
    return findings.mistakes


def _name(encoder: Encoder, taken: dict[str, Encoder], findings: Findings) -> None:
    """The name of a feature must be legal, and its own."""
    own = Findings(encoder.place, f"{findings.name}: encode.{encoder.operation}")
    if encoder.name is None and not all(isinstance(each, (str, Encoder)) for each in encoder.inputs):
        return
    own.names("feature", [encoder.feature_name])
    other = taken.setdefault(str(encoder.feature_name).lower(), encoder)
    if other is not encoder:
        own.add(
            f"two features have the name {encoder.feature_name!r}, the other at {other.place}: give one another name="
        )
    findings.mistakes += own.mistakes


def _encoder(node: Encoder, encoding: Encoding, request: dict[str, Any], registry: Registry) -> list[Mistake]:
    findings = Findings(node.place, f"{encoding.name}: encode.{node.operation}")
    findings.text("description", node.description, blank=True)
    if not findings.one_of("operation", node.operation, ENCODERS):
        return findings.mistakes
    if node.operation == "cross" and len(node.inputs) < 2:
        findings.add(f"a cross is of two or more inputs, as in encode.cross([{EXAMPLE[1:-1]}, ...], buckets=1_000)")
    if node.operation != "cross" and len(node.inputs) != 1:
        findings.add("reads one input: to read several, cross them, as in encode.cross([...], buckets=1_000)")
    for each in node.inputs:
        _input(each, findings, request, registry)
    _parameters(node, findings)
    return findings.mistakes


def _input(each: object, findings: Findings, request: dict[str, Any], registry: Registry) -> None:
    """An input must be the address of a feature, a request column, or an encoder."""
    if isinstance(each, Encoder):
        return
    if not isinstance(each, str):
        findings.add(f"an input is an address as in {EXAMPLE[1:-1]}, a request column or an encoder, not {each!r}")
    elif ":" in each:
        check_address(each, findings, registry, FUNCTION)
    elif each in RESERVED:
        findings.add(f"input {each!r} is no feature: make one of it by derive= or @on_demand, and encode that")
    elif each not in request:
        legal = ", ".join(request) or "none; declare them by request="
        findings.add(
            f"input {each!r} is no address (view:feature) and no request column: legal request columns are {legal}"
        )


def _parameters(node: Encoder, findings: Findings) -> None:
    """Parameters of the operation."""
    given = dict(node.params)
    if "size" in given:
        findings.whole("size", given["size"], 1, MAX_HOT if node.operation == "one_hot" else MAX_SIZE)
    if "min_count" in given:
        findings.whole("min_count", given["min_count"], 1, None)
    if "unknown" in given and not _whole(given["unknown"], -MOST_UNKNOWN, MOST_UNKNOWN):
        findings.add(f"unknown is {given['unknown']!r}: legal is a whole number, as in 0 or -1")
    if "clip" in given:
        findings.flag("clip", given["clip"])
    if node.operation == "quantiles":
        findings.whole("buckets", given.get("buckets"), 2, MAX_QUANTILES)
    if node.operation == "buckets":
        _edges(given.get("edges"), findings)
    if node.operation == "target_mean":
        findings.text("target", given.get("target"))
        smoothing: Any = given.get("smoothing")
        if not _number(smoothing) or smoothing < 0:
            findings.add(f"smoothing is {smoothing!r}: legal is a finite number of at least 0")
    if node.operation == "cross":
        _cross(given, findings)


def _cross(given: dict[str, Any], findings: Findings) -> None:
    if ("buckets" in given) == ("size" in given):
        findings.add("a cross is hashed, buckets=, or by a vocabulary, size=: legal is one of them")
    elif "buckets" in given:
        findings.whole("buckets", given["buckets"], 2, MAX_BUCKETS)
        if "min_count" in given or "unknown" in given:
            findings.add("min_count and unknown are of a vocabulary, size=: leave them out beside buckets=")


def _edges(edges: object, findings: Findings) -> None:
    example = "edges=[0, 10, 100]"
    if not isinstance(edges, tuple) or not edges:
        findings.add(f"edges must be a list with something in it, as in {example}, not {edges!r}")
        return
    wrong = [edge for edge in edges if not _number(edge)]
    if wrong:
        findings.add(f"edge {wrong[0]!r} is no finite number: legal are such as in {example}")
        return
    for before, after in pairwise(edges):
        if after <= before:
            findings.add(f"edge {after!r} comes after {before!r}: each edge is greater than the one before")
            return


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
