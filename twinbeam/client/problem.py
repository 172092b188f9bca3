"""Problems: what the server says is wrong, from RFC 9457 problem details or whatever stands in their place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SHOWN = 200
_MOST_LEGAL = 20


@dataclass(frozen=True)
class Problem:
    """One answer that is an error.

    Attributes:
        status: HTTP status.
        kind: last part of the problem's type, as in "not-found"; empty for an answer that is none of the server's.
        detail: what is wrong.
        where: place in the request.
        legal: legal values there.
        hint: the nearest legal value, in a sentence.
        request_id: id of the request, as the server's log has it.
        members: all members of the problem.
    """

    status: int
    kind: str
    detail: str
    where: str
    legal: tuple[str, ...]
    hint: str
    request_id: str
    members: Mapping[str, Any]

    @staticmethod
    def of(status: int, body: bytes, request_id: str) -> Problem:
        """The problem that an answer's body tells."""
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict) or "detail" not in found:
            text = " ".join(body[:_SHOWN].decode(errors="replace").split())
            return Problem(status, "", text or "the answer says no more", "", (), "", request_id, {})
        return Problem(
            status,
            str(found.get("type", "")).rpartition(":")[2],
            str(found["detail"]),
            str(found.get("where", "")),
            tuple(map(str, found.get("legal", ()))),
            str(found.get("hint", "")),
            request_id,
            found,
        )

    @property
    def limit(self) -> float | None:
        """The most that the server takes at once, if the problem is that it was more."""
        found = self.members.get("limit")
        return float(found) if isinstance(found, int | float) else None

    @property
    def not_begun(self) -> bool:
        """Whether the server says that it did nothing for the request."""
        return self.members.get("begun") is False

    def __str__(self) -> str:
        text = f"{self.where}: {self.detail}" if self.where else self.detail
        if self.legal:
            more = ", …" if len(self.legal) > _MOST_LEGAL else ""
            text += f"; legal is {', '.join(self.legal[:_MOST_LEGAL])}{more}"
        if self.hint:
            text += f". {self.hint}"
        return f"{text} (HTTP {self.status}, request {self.request_id})"
