"""The listening socket: made by the supervisor, inherited by all workers, and deaf before the last of them ends."""

from __future__ import annotations

import ctypes
import signal
import socket
import struct
import sys

from schemas.errors import SettingsError

BACKLOG = 2_048
SOCKET = "TWINBEAM_SERVER_SOCKET"
READY = "TWINBEAM_SERVER_READY"
FINAL = signal.SIGUSR1
"""Tells a worker that it ends and that no other one will take what comes to the socket."""
_ATTACH_FILTER = 26
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        SettingsError: the address cannot be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        found = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SettingsError(f"server: cannot listen at {host}:{port}: {why}") from None
    found.set_inheritable(True)
    found.setblocking(False)
    return found


def deafen(listening: socket.socket) -> None:
    """Has a listening socket take no further connection, while those that clients have made wait to be taken.

    A socket that is closed resets the connections that wait in it, so they are to be taken before; without this, others
    would come meanwhile. A client whose attempt falls into that time tries again, and is refused. Where the system has
    no packet filters, some are reset.
    """
    if sys.platform != "linux":
        return
    rule = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
    listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(rule)))
