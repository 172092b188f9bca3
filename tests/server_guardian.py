"""The guardian of a test run's servers: ends them when the last process of the run is gone, however it went.

Every process of a run holds a shared lock on one file while it lives; the system lets go of it even for a process
that was killed. The guardian waits for the lock alone.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path

from pipelines.dev.stack import end_all

USERS = "users"


def main(folder: Path) -> None:
    with (folder / USERS).open("r") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        end_all(folder)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
