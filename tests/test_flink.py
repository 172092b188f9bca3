"""Jobs on a real Flink cluster: whatever is killed, stopped or added, both stores end as after one local run."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.commands.main import main
from pipelines.dev.cassandra import COMMIT_LOG_WINDOW, Cassandra
from pipelines.dev.flink import Flink
from pipelines.platform import Platform
from schemas.errors import FlinkError, RequestError
from tests.flink_jobs import (
    USERS,
    cancel_all,
    definitions,
    ended,
    eventually,
    job_manager,
    kill_worker,
    only_worker,
    resubmit,
    settings,
    workers,
)
from tests.kill_workers import SEED, pause_pid
from tests.store_contents import Folded, assert_same, online_file, published, taken
from tests.test_kills import NOON, event

pytestmark = [pytest.mark.xdist_group("flink"), pytest.mark.long]
Make = Callable[..., Path]
SOURCES = ("buys", "looks")
ONLINE = """
[online]
store = "cassandra"
[online.cassandra]
hosts = "{hosts}"
commit_log_window = "{window}"
"""
# As long as a few restarts of a worker would take.
AWAY_SECONDS = float(os.environ.get("TWINBEAM_AWAY_SECONDS", "15"))


@pytest.fixture(params=[SEED], ids=lambda seed: f"TWINBEAM_SOAK_SEED={seed}")
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


def publish(platform: Platform, begin: int, count: int) -> None:
    """Publishes events of both sources."""
    for at, source in enumerate(SOURCES):
        numbers = range(begin + at * 100_000, begin + at * 100_000 + count)
        platform.publish(source, [event(number, NOON + timedelta(days=2)) for number in numbers])


def all_taken(platform: Platform) -> bool:
    """Whether all that the topics hold is in the offline store, and all of that folded."""
    held = {source: published(platform, source) for source in SOURCES}
    if any(platform.offline.count(f"events/{source}") < held[source] for source in SOURCES):
        return False
    folded = Folded(platform)
    now = folded.now()
    folded.close()
    blocks = {view.name: len(view.features) for view in platform.catalog.views.values()}
    return now >= sum(held.values()) and bool(blocks)


def assert_exact(platform: Platform, project: Make) -> None:
    """Compares both stores with those of one undisturbed local run over the same topics."""
    for source in SOURCES:
        assert taken(platform, source) == published(platform, source)
    path = platform.settings.stream.path
    calm = project("calm", "", f'[stream.sqlite]\npath = "{path}"\n')
    shutil.copy(platform.settings.folder / "features.py", calm / "features.py")
    with Platform.open(calm) as undisturbed:
        undisturbed.apply()
        undisturbed.run_stream(until="caught_up")
        assert_same(platform, undisturbed, USERS)


def finish(platform: Platform) -> None:
    """Ends the project's jobs, and takes in by a local run what is left."""
    cancel_all(platform)
    platform.run_stream(until="caught_up", runner="local")


def test_a_stream_until_caught_up_takes_in_several_sources_and_says_what_it_took(flink: Flink, project: Make) -> None:
    folder = project("several", definitions(), settings(flink))
    with Platform.open(folder) as platform, ended(platform):
        platform.apply()
        publish(platform, 0, 3000)
        report = platform.run_stream(until="caught_up", runner="flink")
        assert report.events == 6000
        assert report.views["both"].rows == 6000
        assert [job.state for job in platform.jobs()] == ["CANCELED"]
        assert_exact(platform, project)
        assert platform.run_stream(until="caught_up", runner="flink").events == 0


def test_whatever_is_killed_both_stores_end_exactly(
    own_flink: Callable[..., Flink], project: Make, chance: random.Random
) -> None:
    flink = own_flink(task_managers=1)
    folder = project("killed", definitions(), settings(flink))
    with Platform.open(folder) as platform:
        platform.apply()
        folded = Folded(platform)
        platform.submit_stream()
        steps: list[Callable[[], Any]] = [lambda: kill_worker(flink, chance)] * 2
        steps += [flink.task_managers[0].strike, flink.task_managers[0].kill, flink.job_manager.kill]
        chance.shuffle(steps)
        for number, strike in enumerate(steps):
            before = folded.now()
            publish(platform, number * 1000, 400)
            eventually(lambda before=before: folded.now() > before)  # type: ignore[misc]
            publish(platform, number * 1000 + 400, 400)
            time.sleep(chance.random() * 0.5)
            lost = strike == flink.job_manager.kill
            strike()
            flink.start()
            if lost:
                resubmit(platform)
        publish(platform, 9000, 50)
        eventually(lambda: all_taken(platform))
        finish(platform)
        folded.close()
        assert_exact(platform, project)
    flink.stop()
    assert workers(flink) == []


def test_a_stale_worker_that_goes_on_beside_its_successor_changes_nothing(flink: Flink, project: Make) -> None:
    folder = project("stale", definitions(), settings(flink))
    with Platform.open(folder) as platform, ended(platform):
        platform.apply()
        folded = Folded(platform)
        sealed = folded.now()
        publish(platform, 0, 300)
        platform.submit_stream()
        eventually(lambda: folded.now() > sealed)
        stale = only_worker(flink)
        pause_pid(stale, online_file(folder))
        platform.submit_stream()
        for turn in range(1, 4):
            before = folded.now()
            publish(platform, turn * 1000, 300)
            eventually(lambda before=before: folded.now() > before)  # type: ignore[misc]
            os.kill(stale, signal.SIGCONT)
            for call in range(4):
                publish(platform, turn * 1000 + 300 + call * 50, 50)
                time.sleep(0.5)
            if turn < 3:
                pause_pid(stale, online_file(folder))
        assert len(workers(flink)) == 2
        eventually(lambda: all_taken(platform))
        finish(platform)
        folded.close()
        assert_exact(platform, project)


def test_a_job_is_stopped_resumed_on_two_subtasks_and_given_a_new_view(
    flink: Flink, project: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project("resumed", definitions().partition("news = ")[0], settings(flink))
    at = ["--project", str(folder)]
    with Platform.open(folder) as platform, ended(platform):
        platform.apply()
        publish(platform, 0, 1000)
        assert main(["run", "stream", "--runner", "flink", "--json", *at]) == 0
        first = json.loads(capsys.readouterr().out)["job"]
        eventually(lambda: all_taken(platform))
        with pytest.raises(RequestError, match=f"job {first} of this project runs; stop it first"):
            platform.resume_job()
        sizes = checkpoint_sizes(platform, first, 3)
        publish(platform, 1000, 1000)
        assert main(["jobs", "stop", first[:8], "--json", *at]) == 0
        savepoint = json.loads(capsys.readouterr().out)["savepoint"]
    (folder / "features.py").write_text(definitions())
    with Platform.open(folder) as platform, ended(platform):
        platform.apply()
        publish(platform, 2000, 1000)
        assert main(["jobs", "resume", "--parallelism", "2", "--savepoint", savepoint, "--json", *at]) == 0
        second = json.loads(capsys.readouterr().out)["job"]
        publish(platform, 3000, 1000)
        eventually(lambda: all_taken(platform))
        eventually(lambda: sorted(run.pid for run in platform.status()) == sorted(workers(flink)))
        assert len(workers(flink)) == 2
        assert max(checkpoint_sizes(platform, second, 3)) <= 2 * max(sizes) < 100_000
        assert main(["jobs", "list", *at]) == 0
        shown = capsys.readouterr().out
        assert [line.split()[:2] for line in shown.splitlines() if first in line or second in line] == [
            [second, "RUNNING"],
            [first, "FINISHED"],
        ]
        finish(platform)
        assert_exact(platform, project)


def test_a_store_that_is_away_is_waited_for_and_that_is_said_once(
    flink: Flink, own_cassandra: Callable[..., Cassandra], project: Make
) -> None:
    cassandra = own_cassandra()
    online = ONLINE.format(hosts=cassandra.hosts, window=COMMIT_LOG_WINDOW)
    folder = project("shop", definitions(), settings(flink, online))
    with Platform.open(folder) as platform, ended(platform):
        platform.apply()
        publish(platform, 0, 300)
        job = platform.submit_stream()
        eventually(lambda: all_taken(platform))
        cassandra.kill()
        publish(platform, 1000, 300)
        eventually(lambda: waits(flink, cassandra) == 1)
        time.sleep(AWAY_SECONDS)
        assert waits(flink, cassandra) == 1
        assert job_manager(platform).job(job.id).state == "RUNNING"
        cassandra.start()
        eventually(lambda: all_taken(platform))
        finish(platform)
        assert_exact(platform, project)


def waits(flink: Flink, cassandra: Cassandra) -> int:
    """How often workers have said that they wait for a store."""
    lines = [line for each in flink.task_managers for line in each.log.read_text("utf-8", "replace").splitlines()]
    return sum("waiting until it answers" in line and cassandra.hosts in line for line in lines)


def checkpoint_sizes(platform: Platform, job: str, count: int) -> list[int]:
    """Bytes of the first checkpoints of a job, once there are so many."""

    def done() -> list[int]:
        history = job_manager(platform).checkpoints(job)["history"]
        return [each["state_size"] for each in history if each["status"] == "COMPLETED"]

    eventually(lambda: len(done()) >= count)
    return done()


def test_what_the_cluster_cannot_do_is_refused(flink: Flink, project: Make) -> None:
    folder = project("shop", definitions(), settings(flink))
    with Platform.open(folder) as platform:
        platform.apply()
        with pytest.raises(FlinkError, match="the cluster has 2 slots, and 64 are asked for"):
            platform.submit_stream(parallelism=64)
        with pytest.raises(RequestError, match="the job to stop is not one that runs: legal is none"):
            platform.stop_job()
        with pytest.raises(RequestError, match="submit_stream submits it"):
            platform.run_stream(runner="flink")
        with pytest.raises(RequestError, match="until='never'"):
            platform.run_stream(until="never", runner="flink")


@pytest.fixture
def nowhere(project: Make) -> Path:
    """A project whose cluster is not there."""
    lost = '[run]\nrunner = "flink"\n[run.flink]\njobmanager = "http://127.0.0.1:9"\n'
    return project("lost", definitions(), lost)


@pytest.mark.parametrize("words", [["run", "stream"], ["jobs", "list"], ["jobs", "stop"], ["jobs", "resume"]])
def test_a_cluster_that_cannot_be_reached_is_named(
    nowhere: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["apply", "--project", str(nowhere)]) == 0
    capsys.readouterr()
    assert main([*words, "--project", str(nowhere)]) == 1
    said = capsys.readouterr().err
    assert "http://127.0.0.1:9: the JobManager cannot be reached" in said
    assert "[run.flink] jobmanager" in said


def test_words_that_jobs_does_not_know_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "halt"]) == 1
    assert "twinbeam jobs: 'halt' is not legal: one of list, stop, resume" in capsys.readouterr().err
    assert main(["jobs", "resume", "--parallelism", "none"]) == 1
    assert "'none' is not legal: a whole number from 1 to 1000" in capsys.readouterr().err


def test_subtasks_are_for_flink(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "stream", "--runner", "local", "--parallelism", "2", "--project", str(nowhere)]) == 1
    assert "--parallelism is for a stream on Flink without --until" in capsys.readouterr().err
