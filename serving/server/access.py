"""Access: who may read which views, push to which sources, and see the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

ROLES = ("read", "push", "admin")
LEGAL = (
    "a grant is ROLE or ROLE:NAME, after PROJECT/ for one project alone: roles are read (of a view), push (to a "
    "source, or to all that a view is fed by) and admin (all of it); NAME may end in *: as in "
    '"read:user_*" or "shop/push"'
)
_GRANT = re.compile(r"(?:(?P<project>[A-Za-z][\w-]*|\*)/)?(?P<role>\w+)(?::(?P<name>[\w-]*\*?))?")


@dataclass(frozen=True)
class Grant:
    """One right.

    Attributes:
        role: one of `ROLES`.
        name: view or source that it is for; one that ends in * is for all that begin so.
        project: name of the project that it is for, "*" for any.
    """

    role: str
    name: str = "*"
    project: str = "*"

    @staticmethod
    def parse(text: str) -> Grant:
        """Grant from its text.

        Raises:
            ValueError: it is none; says what is legal.
        """
        match = _GRANT.fullmatch(text)
        if match is None or match["role"] not in ROLES or match["name"] == "":
            raise ValueError(f"{text!r} is no grant: {LEGAL}")
        return Grant(match["role"], match["name"] or "*", match["project"] or "*")

    def fits(self, name: str) -> bool:
        """Whether it is for a view or source."""
        return name.startswith(self.name[:-1]) if self.name.endswith("*") else name == self.name


class Caller:
    """Who asks, and what they may.

    Args:
        name: for logs and metrics.
        grants: their rights in this project.

    Attributes:
        everything: whether they may read all there is.
        scope: the same for callers of the same rights.
    """

    def __init__(self, name: str, grants: Iterable[Grant]) -> None:
        self.name, self.scope = name, frozenset(grants)
        self.admin = any(grant.role == "admin" and grant.name == "*" for grant in self.scope)
        self.everything = self.admin or any(grant.role == "read" and grant.name == "*" for grant in self.scope)

    def may(self, role: str, name: str) -> bool:
        """Whether a role is theirs for a view or source; an admin has every role."""
        return any(grant.role in (role, "admin") and grant.fits(name) for grant in self.scope)

    def may_any(self, role: str) -> bool:
        """Whether a role is theirs for anything at all."""
        return any(grant.role in (role, "admin") for grant in self.scope)


NOBODY = Caller("", ())
ANYBODY = Caller("anybody", [Grant("admin")])
"""Who asks where no credentials are configured."""
