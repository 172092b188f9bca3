"""Files of events opened for reading: local, or on an object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyarrow import fs

from schemas.errors import EventError


def open_file(path: str) -> pa.NativeFile:
    """A file open for reading at any place.

    Args:
        path: local path, or URL of an object store.

    Raises:
        EventError: it is not there, or may not be read.
    """
    try:
        system, name = fs.FileSystem.from_uri(path) if "://" in path else (fs.LocalFileSystem(), path)
        return system.open_input_file(name)
    except FileNotFoundError:
        raise EventError(f"{path}: there is no such file") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise EventError(f"{path}: cannot be read: {error}") from error


@contextmanager
def damage(path: str, form: str) -> Iterator[None]:
    """Names the file in what goes wrong while it is read as a form of file."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, EOFError) as error:
        raise EventError(f"{path}: cannot be read as {form}: {error}") from error
