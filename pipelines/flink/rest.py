"""The JobManager's REST interface: jobs of a project, their end, their checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from schemas.errors import FlinkError

OVER = ("FINISHED", "CANCELED", "FAILED", "SUSPENDED")
SECONDS = 60.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class FlinkJob:
    """A job on a cluster.

    Attributes:
        id: Flink's.
        name: ours: the project, the version of its applied definitions, the run.
        state: Flink's word for how it is.
        started: when it was submitted.
    """

    id: str
    name: str
    state: str
    started: datetime

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in OVER


class JobManager:
    """A JobManager.

    Args:
        url: of its REST interface.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def jobs(self) -> list[FlinkJob]:
        """All jobs that it knows, the newest first.

        Raises:
            FlinkError: it cannot be reached.
        """
        found = [
            FlinkJob(each["jid"], each["name"], each["state"], datetime.fromtimestamp(each["start-time"] / 1e3, UTC))
            for each in self._ask("GET", "/jobs/overview")["jobs"]
        ]
        return sorted(found, key=lambda job: job.started, reverse=True)

    def job(self, id: str) -> FlinkJob:
        """One job.

        Raises:
            FlinkError: there is no such job, or the JobManager cannot be reached.
        """
        for job in self.jobs():
            if job.id == id:
                return job
        raise FlinkError(f"{self.url}: there is no job {id}; `twinbeam jobs list` shows those that there are")

    def slots(self) -> int:
        """Slots of all TaskManagers, free or not."""
        return int(self._ask("GET", "/overview")["slots-total"])

    def stop(self, id: str, savepoints: str) -> str:
        """Stops a job with a savepoint, and says where that is.

        Args:
            id: of the job.
            savepoints: folder or URL for it, as the cluster sees it.

        Raises:
            FlinkError: it could not be made; the job goes on.
        """
        asked = {"targetDirectory": savepoints, "drain": False, "formatType": "CANONICAL"}
        trigger = self._ask("POST", f"/jobs/{id}/stop", asked)["request-id"]
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            said = self._ask("GET", f"/jobs/{id}/savepoints/{trigger}")
            if said["status"]["id"] == "COMPLETED":
                done = said["operation"]
                if "location" in done:
                    self.await_end(id)
                    return str(done["location"])
                cause = str(done["failure-cause"]["stack-trace"]).splitlines()[0]
                raise FlinkError(f"job {id} was not stopped: its savepoint failed ({cause}); stop it without one")
            time.sleep(_POLL_SECONDS)
        raise FlinkError(f"job {id} was not stopped: no savepoint in {SECONDS:.0f} s; stop it without one")

    def cancel(self, id: str) -> None:
        """Ends a job as it is, and returns when it has ended.

        Raises:
            FlinkError: it does not end, or the JobManager cannot be reached.
        """
        if not self.job(id).over:
            self._ask("PATCH", f"/jobs/{id}?mode=cancel")
        self.await_end(id)

    def await_end(self, id: str) -> None:
        """Returns when a job has ended.

        Raises:
            FlinkError: it does not end, or the JobManager cannot be reached.
        """
        until = time.monotonic() + SECONDS
        while not self.job(id).over:
            if time.monotonic() >= until:
                raise FlinkError(f"job {id} did not end in {SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)

    def checkpoints(self, id: str) -> Mapping[str, Any]:
        """What Flink tells of a job's checkpoints."""
        return self._ask("GET", f"/jobs/{id}/checkpoints")

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        try:
            answer = httpx.request(method, f"{self.url}{path}", json=body, timeout=SECONDS, trust_env=False)
        except httpx.HTTPError as error:
            said = f"{error}" or type(error).__name__
            raise FlinkError(
                f"{self.url}: the JobManager cannot be reached ({said}); start the cluster (`twinbeam dev up --flink` "
                "starts one on this machine), or name another one: [run.flink] jobmanager"
            ) from None
        if answer.is_error:
            lines = "; ".join(str(each).splitlines()[0] for each in _errors(answer)[:2])
            raise FlinkError(f"{self.url}: {method} {path} was refused: {lines}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found


def _errors(answer: httpx.Response) -> list[Any]:
    try:
        return [each for each in answer.json()["errors"] if each] or [answer.reason_phrase]
    except (ValueError, KeyError, TypeError):
        return [f"{answer.status_code} {answer.reason_phrase}"]
