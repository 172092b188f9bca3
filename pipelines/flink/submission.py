"""The submission of a stream to Flink: planned like a local one, handed over, and gone on with by the cluster."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState

from pipelines.flink.launcher import hand_over
from pipelines.flink.reader import TickedLanes
from pipelines.flink.rest import FlinkJob, JobManager
from pipelines.flink.slots import key_groups
from pipelines.graph import COMPOSITE, FeaturePipeline
from pipelines.job import Job, Pace, pickled
from pipelines.lane_plan import plan_lanes
from pipelines.launch import make_job
from pipelines.progress import FedView, Progress
from pipelines.project import Project
from pipelines.stream import topic_ends
from pipelines.work import JobRef
from schemas.errors import FlinkError

# A bundle is a poll's: what it brings is read in a moment, and written before the next checkpoint. On a busy machine
# ticks queue in front of it, thousands of them: they must not cost a bundle each.
PACE = Pace(lane_rows=20_000, bundle_rows=100_000, bundle_bytes=32 << 20, hold=20_000, linger=5_000, poll=5_000)
WORKER = "twinbeam-worker"
_SECONDS = 60.0
_POLL_SECONDS = 0.2
# Failed attempts do not count: what a worker waits for comes back, and nothing is lost meanwhile.
_RESTARTS = 2**31 - 1
_RESTART_DELAY = 1_000


def submit(
    project: Project, views: Sequence[str] | None, ends: bool, parallelism: int | None, savepoint: str | None
) -> tuple[FlinkJob, Job]:
    """Plans a stream, submits it, and returns when the JobManager has it.

    Args:
        project: the project.
        views: names of the views to feed, or None for all.
        ends: whether everything is to be in the stores as soon as the topics' present ends are reached.
        parallelism: subtasks; None for the settings'.
        savepoint: that Flink is to begin from, or None. Where lanes begin, the stores say in any case.

    Returns:
        The job on the cluster, and what was planned.

    Raises:
        FlinkError: the cluster cannot be reached, or does not take the job.
        RequestError: a definition was not applied as it is, or there is no such view.
    """
    manager = JobManager(project.settings.run.flink.jobmanager)
    subtasks = parallelism or project.settings.run.flink.parallelism
    if manager.slots() < subtasks:
        raise FlinkError(
            f"{manager.url}: the cluster has {manager.slots()} slots, and {subtasks} are asked for: add TaskManagers "
            "(one slot each is best), or ask for less ([run.flink] parallelism)"
        )
    sources = project.sources(None)
    ends_now = topic_ends(project, sources)
    deployment = project.checked_deployment()
    fed = tuple(project.fed_views(deployment, views, sources))
    progress = Progress.read(project.offline, project.online, sources, fed)
    tasks = plan_lanes(sources, fed, progress, ends_now, unbounded=True)
    job = make_job(project, sources, fed, tasks, {}, PACE, ends)
    name = f"{prefix(project)}v{deployment.version}/{job.name}"
    options = job_options(project, name, subtasks) | ({} if savepoint is None else {"savepointPath": savepoint})
    ref = JobRef(job.name, pickled(job, project.registry.modules), job.lanes, restarts=True)
    build(ref, _Runner(manager.url, options), subtasks, worker_command(project)).run(False)
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        for each in manager.jobs():
            if each.name == name:
                return each, job
        time.sleep(_POLL_SECONDS)
    raise FlinkError(f"{manager.url}: the JobManager took the job {name} and does not know it")


def prefix(project: Project) -> str:
    """What the names of a project's jobs begin with."""
    return f"twinbeam/{project.settings.project}/"


def build(job: JobRef, runner: Any, parallelism: int, worker: str) -> Any:
    """The pipeline of a job: ticks and polls, and the same composite as everywhere past them.

    Args:
        job: the job.
        runner: that runs it.
        parallelism: subtasks.
        worker: command that starts a worker.
    """
    environment = json.dumps({"command": worker})
    flags = ["--streaming", "--environment_type=PROCESS", f"--environment_config={environment}"]
    pipeline = beam.Pipeline(runner=runner, options=PipelineOptions(flags))
    batches = pipeline | "lanes" >> TickedLanes(job, parallelism)
    batches | COMPOSITE >> FeaturePipeline(job)
    return pipeline


def worker_command(project: Project) -> str:
    """Command that starts a worker on a TaskManager's machine: the settings', or the one beside this Python."""
    return project.settings.run.flink.worker or str(Path(sys.executable).with_name(WORKER))


def job_options(project: Project, name: str, parallelism: int) -> dict[str, str]:
    """Options of Beam's Flink runner for a job."""
    options: dict[str, Any] = {
        "jobName": name,
        "parallelism": parallelism,
        "maxParallelism": key_groups(parallelism),
        "checkpointingInterval": max(project.settings.run.flink.checkpoint // 1000, 1),
        "checkpointTimeoutMillis": 600_000,
        "failOnCheckpointingErrors": False,
        "retainExternalizedCheckpointsOnCancellation": True,
        "allowNonRestoredState": True,
        "finishBundleBeforeCheckpointing": True,
        "maxBundleSize": 64,
        "maxBundleTimeMills": 10,
        "numberOfExecutionRetries": _RESTARTS,
        "executionRetryDelay": _RESTART_DELAY,
    }
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in options.items()}


def reached(project: Project, fed: Sequence[FedView], job: Job) -> bool:
    """Whether all that the topics held at the submission is in the stores."""
    progress = Progress.read(project.offline, project.online, job.sources, fed)
    return all(progress.start(task.lane, fed) >= task.end for task in job.lanes)


class _Runner(PipelineRunner):
    """Hands pipelines over instead of running them."""

    def __init__(self, jobmanager: str, options: Mapping[str, str]) -> None:
        super().__init__()
        self._jobmanager, self._options = jobmanager, options

    def run_pipeline(self, pipeline: Any, options: Any) -> PipelineResult:
        proto = PortableRunner.get_proto_pipeline(pipeline, options)
        hand_over(proto.SerializeToString(), self._jobmanager, self._options)
        return PipelineResult(PipelineState.RUNNING)
