"""Groups as a caller sees them: found by name or ARN, if they may be read or written."""

from __future__ import annotations

import asyncio
import logging
import re

from schemas.errors import TwinbeamError
from schemas.feature_group import FeatureGroup
from serving.server.access import Caller
from serving.server.sagemaker.bodies import ARN, LEGAL_ARN, NAME
from serving.server.sagemaker.errors import forbidden, invalid, missing
from serving.server.sagemaker.ports import GroupStore

LOG = logging.getLogger("twinbeam.server")
_NAME = re.compile(ARN + f"({NAME})")
ROLES = ("read", "push")


class Groups:
    """Finds groups.

    Args:
        store: where they are kept.
    """

    def __init__(self, store: GroupStore) -> None:
        self._store = store

    async def of(self, caller: Caller, given: str, role: str) -> FeatureGroup:
        """Group of a name or an ARN that a caller has a role for; one that is applied is taken up for it.

        Raises:
            Problem: there is none, for all that they may know; or they may do something else with it.
        """
        name = plain_name(given)
        group = self._store.served(name)
        if self._store.stale(name):
            await asyncio.get_running_loop().run_in_executor(None, self._take_up)
            group = self._store.served(name)
        return allowed(caller, group, name, role)

    def at_hand(self, caller: Caller, given: str, role: str) -> FeatureGroup | None:
        """Group as of `of`, if this process serves it already.

        Raises:
            Problem: they may not do that.
        """
        name = plain_name(given)
        group = self._store.served(name)
        return None if group is None or self._store.stale(name) else allowed(caller, group, name, role)

    def _take_up(self) -> None:
        try:
            self._store.take_up()
        except TwinbeamError as error:
            LOG.warning("feature groups: %s", error)


def plain_name(given: str) -> str:
    """Name of a group that is given by its name or its ARN.

    Raises:
        Problem: it is neither.
    """
    match = _NAME.fullmatch(given)
    if match is None:
        raise invalid(
            f"FeatureGroupName: {given[:200]!r} is neither a name of a feature group nor an ARN of one: legal is "
            f"{LEGAL_ARN}"
        )
    return match[2]


def may(caller: Caller, group: FeatureGroup, role: str) -> bool:
    """Whether a caller has a role for a group, by its name or that of its source."""
    return caller.may(role, group.name) or caller.may(role, group.view_name) or caller.may(role, group.source)


def allowed(caller: Caller, group: FeatureGroup | None, name: str, role: str) -> FeatureGroup:
    """The group, if a caller has a role for it.

    Raises:
        Problem: there is none, for all that they may know; or they may do something else with it.
    """
    if group is None or not any(may(caller, group, each) for each in ROLES):
        raise missing(name)
    if not may(caller, group, role):
        raise forbidden(f"the caller {caller.name!r} has no grant {role}:{group.name}")
    return group
