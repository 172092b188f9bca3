"""`twinbeam jobs`: the streams of a project on its Flink cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from pipelines.commands.arguments import Parser, UsageError, project_folder, subtasks
from pipelines.commands.tables import json_text, table
from pipelines.flink.rest import OVER
from pipelines.platform import Platform
from schemas.errors import did_you_mean
from serving.deployment import Deployment

ACTIONS = {
    "list": ("List the project's jobs that the cluster knows.", "twinbeam jobs list"),
    "stop": (
        "Stop a job with a savepoint. Nothing is lost: the next one goes on where the stores are.",
        "twinbeam jobs stop\ntwinbeam jobs stop 5d0a92cf --without-savepoint",
    ),
    "resume": (
        "Submit the stream again, by the definitions applied now: where it goes on, the stores say, whatever became "
        "of the job before it and of its JobManager.",
        "twinbeam jobs resume --parallelism 2",
    ),
}
HEADERS = ("job", "state", "submitted", "definitions")


def run(name: str, words: Sequence[str]) -> int:
    """Lists, stops or resumes jobs."""
    action = words[0] if words else ""
    if action in ("-h", "--help"):
        print("usage: twinbeam jobs list|stop|resume ...\n")
        print("\n".join(f"  jobs {each.ljust(6)}  {caption}" for each, (caption, _) in ACTIONS.items()))
        print("\nexample:\n  twinbeam jobs list")
        return 0
    if action not in ACTIONS:
        said = f"{action!r} is not legal" if action else "what to do is missing"
        raise UsageError(f"twinbeam jobs: {said}: one of {', '.join(ACTIONS)}.{did_you_mean(action, ACTIONS)}")
    parser = Parser(f"jobs {action}", *ACTIONS[action])
    if action == "stop":
        parser.add_argument("job", nargs="?", help="its id, or how that begins (default: the one that runs)")
        parser.add_argument("--without-savepoint", action="store_true", help="end it at once")
    if action == "resume":
        parser.add_argument("--parallelism", type=subtasks, metavar="N", help="subtasks (default: the settings')")
        parser.add_argument("--savepoint", metavar="URL", help="that Flink is to begin from; none is needed")
    parser.json_option()
    parser.project_options()
    given = parser.parse(words[1:])
    with Platform.open(project_folder(given.project), given.env) as platform:
        if action == "list":
            return _list(platform, given.json)
        if action == "stop":
            job, savepoint = platform.stop_job(given.job, savepoint=not given.without_savepoint)
            said, found = f"stopped job {job.id}", {"job": job.id, "savepoint": savepoint}
            said += f"; its savepoint: {savepoint}" if savepoint else ""
        else:
            job = platform.resume_job(parallelism=given.parallelism, savepoint=given.savepoint)
            said, found = f"submitted job {job.id}", {"job": job.id, "name": job.name}
    print(json_text(found, 2) if given.json else said)
    return 0


def _list(platform: Platform, as_json: bool) -> int:
    jobs = platform.jobs()
    if as_json:
        print(json_text([asdict(job) for job in jobs], 2))
    elif jobs:
        applied = f"v{Deployment.newest(platform.offline)}"
        rows = [(job.id, job.state, job.started.replace(microsecond=0), job.name.split("/")[2]) for job in jobs]
        print(table(HEADERS, rows))
        for id, state, _, version in rows:
            if state not in OVER and version != applied:
                print(f"job {id} runs by {version}, and {applied} is applied: stop and resume it to take that up")
    else:
        print("the cluster knows no job of this project")
    return 0
