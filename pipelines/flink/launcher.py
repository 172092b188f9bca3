"""The launcher: hands the proto of a pipeline to a JobManager, by a small Java program that ends at once."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.dev.artifacts import java, resolve
from schemas.errors import FlinkError

POM = Path(__file__).with_name("flink_pom.xml")
PROGRAM = Path(__file__).with_name("FlinkSubmit.java")
HEAP = "256m"
JDK = "openjdk-17-jdk-headless"
SECONDS = 180.0
# What Flink and Beam open of the JDK's own classes.
OPENS = [
    *(
        f"--add-opens=java.base/java.{package}=ALL-UNNAMED"
        for package in (
            "lang",
            "lang.reflect",
            "net",
            "io",
            "nio",
            "text",
            "time",
            "util",
            "util.concurrent",
            "util.concurrent.atomic",
            "util.concurrent.locks",
        )
    ),
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
]
_LINES = 6


def hand_over(pipeline: bytes, jobmanager: str, options: Mapping[str, str]) -> None:
    """Submits a pipeline, and returns as soon as the JobManager has it.

    Args:
        pipeline: its proto, serialized.
        jobmanager: URL of the JobManager's REST interface.
        options: of Beam's Flink runner, by their Java names.

    Raises:
        FlinkError: the JobManager did not take it.
        ServerError: Java or the runner's jars cannot be had.
    """
    at = urlsplit(jobmanager)
    given = {**options, "flinkMaster": at.netloc, "streaming": "true", "attachedMode": "false"}
    with tempfile.TemporaryDirectory(prefix="twinbeam-") as folder:
        file = Path(folder) / "pipeline"
        file.touch(mode=0o600)
        file.write_bytes(pipeline)
        command = [java(), f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *OPENS]
        command += ["-cp", f"{resolve(POM)}/*", str(PROGRAM), str(file)]
        command += [f"--{name}={value}" for name, value in given.items()]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise FlinkError(f"{jobmanager}: the JobManager did not take the job within {SECONDS:.0f} s") from None
    if "jdk.compiler" in done.stderr:
        raise FlinkError(f"{java()} is a runtime, and to submit jobs takes a whole JDK; on Debian: {JDK}")
    if done.returncode:
        causes = [line.strip() for line in done.stderr.splitlines() if "Exception" in line or "Caused by" in line]
        tail = "\n".join(causes[-_LINES:] or done.stderr.strip().splitlines()[-_LINES:])
        raise FlinkError(f"{jobmanager}: the JobManager did not take the job:\n{tail}")
