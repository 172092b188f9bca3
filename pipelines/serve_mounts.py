"""The foreign protocols that the server speaks beside its own."""

from __future__ import annotations

from collections.abc import Sequence

from serving.server.site import Mount

MOUNTS: Sequence[Mount] = ()
