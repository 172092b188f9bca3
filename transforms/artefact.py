"""Artefacts: what the encoders of an encoding learnt, as canonical bytes whose hash is their version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from schemas.errors import StoreError

FORMAT = 1
SHOWN = 12


@dataclass(frozen=True)
class Artefact:
    """A fit of an encoding.

    Attributes:
        encoding: its name.
        rows: how many rows it was fitted on.
        definitions: feature -> fingerprint of the definition (its inputs included) that it was fitted by.
        fitted: feature -> what was learnt; features that learn nothing are not in it.
    """

    encoding: str
    rows: int
    definitions: Mapping[str, str]
    fitted: Mapping[str, Any]

    @cached_property
    def text(self) -> str:
        """Canonical JSON: equal artefacts have equal text, whatever they were made by."""
        value = {
            "format": FORMAT,
            "encoding": self.encoding,
            "rows": self.rows,
            "definitions": dict(self.definitions),
            "fitted": dict(self.fitted),
        }
        return canonical(value)

    @cached_property
    def version(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return digest(self.text)

    @staticmethod
    def from_text(text: str, version: str | None = None) -> Artefact:
        """Artefact from its text.

        Args:
            text: canonical JSON.
            version: that it must have, or None.

        Raises:
            StoreError: the text is no artefact, or has another hash than its version.
        """
        if version is not None and digest(text) != version:
            raise StoreError(
                f"artefact {version[:SHOWN]}: its content has the hash {digest(text)[:SHOWN]}: it is damaged or was "
                "changed; fit it anew"
            )
        try:
            value = json.loads(text)
            if value["format"] != FORMAT:
                raise StoreError(f"artefact: format {value['format']}, this version reads {FORMAT}; upgrade twinbeam")
            return Artefact(value["encoding"], value["rows"], value["definitions"], value["fitted"])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"artefact: its text is none ({type(error).__name__}: {error})") from error


def canonical(value: Any) -> str:
    """JSON with one spelling for each value: sorted keys, no blanks, ASCII, floats as the shortest that reads back."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
