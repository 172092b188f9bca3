"""Findings: the mistakes of one definition, and the checks of single values that find them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.durations import parse_duration
from schemas.errors import Mistake, did_you_mean
from schemas.names import name_problem
from schemas.types import parse_type


@dataclass
class Findings:
    """Mistakes of one definition, gathered as its values are checked.

    Attributes:
        place: `file:line` of the definition.
        name: of it, as its user calls it.
        mistakes: found so far.
    """

    place: str
    name: str
    mistakes: list[Mistake] = field(default_factory=list)

    def add(self, message: str, place: str | None = None) -> None:
        """Note a mistake, at the definition's place or another one."""
        self.mistakes.append(Mistake(place or self.place, self.name, message))

    def names(self, what: str, names: Iterable[object], dashed: bool = False) -> None:
        """Names must be legal, and unique without regard to case."""
        seen: dict[str, object] = {}
        for name in names:
            problem = name_problem(name, dashed)
            if problem:
                self.add(f"{what}: {problem}")
                continue
            lower = str(name).lower()
            if lower in seen:
                self.add(f"{what} {name!r} is there twice, beside {seen[lower]!r}: names differ by more than case")
            seen[lower] = name

    def text(self, what: str, value: object, blank: bool = False) -> str | None:
        """A value that must be text, and not blank unless allowed; the text, or None if it is not."""
        if isinstance(value, str) and (blank or value.strip()):
            return value
        self.add(f"{what} must be {'text' if blank else 'text that is not blank'}, not {value!r}")
        return None

    def sql(self, what: str, value: object) -> None:
        """A value that must be SQL text, or None."""
        if value is not None and not (isinstance(value, str) and value.strip()):
            self.add(f'{what} must be the text of a row-local SQL expression as in "price > 500", not {value!r}')

    def sequence(self, what: str, value: object, example: str) -> tuple[Any, ...]:
        """Items of a value that must be a list with something in it; none if it is not."""
        if isinstance(value, (list, tuple)) and value:
            return tuple(value)
        self.add(f"{what} must be a list with something in it, as in {example}, not {value!r}")
        return ()

    def mapping(self, what: str, value: object, example: str) -> dict[Any, Any]:
        """Items of a value that must be a dict; none if it is not."""
        if isinstance(value, Mapping):
            return dict(value)
        self.add(f"{what} must be a dict as in {example}, not {value!r}")
        return {}

    def types(self, what: str, value: object, example: str) -> dict[str, Any]:
        """Arrow types of a value that must be a dict of names and type texts; those that are right."""
        found = {}
        items = self.mapping(what, value, example)
        self.names(what, items)
        for name, text in items.items():
            try:
                found[str(name)] = parse_type(text)
            except ValueError as error:
                self.add(f"{what} {name!r}: {error}")
        return found

    def expressions(self, what: str, value: object, example: str) -> tuple[str, ...]:
        """Names of a value that must be a dict of names and SQL texts."""
        items = self.mapping(what, value, example)
        self.names(what, items)
        for name, text in items.items():
            if text is None:
                self.add(f"{what} {name!r} must be the text of a row-local SQL expression, not None")
            self.sql(f"{what} {name!r}", text)
        return tuple(map(str, items))

    def one_of(self, what: str, value: object, legal: Iterable[str], nothing: str = "none") -> bool:
        """A value that must be one of the legal ones; whether it is."""
        choices = [str(item) for item in legal]
        if isinstance(value, str) and value in choices:
            return True
        hint = did_you_mean(str(value), choices)
        self.add(f"unknown {what} {value!r}.{hint} Legal are {', '.join(choices) or nothing}")
        return False

    def duration(self, what: str, value: object) -> int | None:
        """µs of a value that must be a duration or None; None if it is not."""
        if value is None:
            return None
        try:
            return parse_duration(value)  # type: ignore[arg-type]
        except ValueError as error:
            self.add(f"{what}: {error}")
            return None

    def flag(self, what: str, value: object) -> None:
        """A value that must be True or False."""
        if not isinstance(value, bool):
            self.add(f"{what} is {value!r}: legal are True and False")

    def whole(self, what: str, value: object, low: int, high: int | None) -> None:
        """A value that must be a whole number within bounds."""
        inside = (
            isinstance(value, int) and not isinstance(value, bool) and low <= value and (high is None or value <= high)
        )
        if not inside:
            legal = f"from {low} to {high:,}" if high is not None else f"of at least {low}"
            self.add(f"{what} is {value!r}: legal is a whole number {legal}")

    def people(self, definition: Any) -> None:
        """Description, owner and tags, where a definition has them, must be text."""
        for what in ("description", "owner"):
            if hasattr(definition, what):
                self.text(what, getattr(definition, what), blank=True)
        tags = self.mapping("tags", getattr(definition, "tags", {}), '{"tier": "1"}')
        for key, value in tags.items():
            if not isinstance(key, str) or not isinstance(value, str):
                self.add(f'tags must be text to text as in {{"tier": "1"}}, not {key!r}: {value!r}')
