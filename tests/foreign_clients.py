"""The clients in other languages: built in folders of their own, and driven by lines of JSON."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.dev.artifacts import java, missing

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "clients"
LEAST_NODE = (18, 17)
_BUILT = shutil.ignore_patterns("node_modules", "dist", "target")


class ForeignClient:
    """One client, built.

    Args:
        language: of it.
        folder: it is built there.
        command: starts its driver.
        example: starts the example of the documentation.
    """

    def __init__(self, language: str, folder: Path, command: list[str], example: list[str]) -> None:
        self.language, self.folder, self._command, self._example = language, folder, command, example

    def run_example(self, environment: Mapping[str, str]) -> str:
        """What the example prints."""
        return ran(self._example, self.folder, {**os.environ, **environment})

    @contextmanager
    def driver(self, environment: Mapping[str, str] | None = None) -> Iterator[Driver]:
        """Its driver while the block lasts, with further variables."""
        pipe, known = subprocess.PIPE, {**os.environ, **(environment or {})}
        with subprocess.Popen(self._command, cwd=self.folder, stdin=pipe, stdout=pipe, text=True, env=known) as process:
            try:
                yield Driver(self.language, process)
                assert process.stdin is not None
                process.stdin.close()
                assert process.wait(60) == 0
            finally:
                process.kill()


class Driver:
    """A process that calls a client.

    Args:
        language: of it.
        process: that runs.
    """

    def __init__(self, language: str, process: subprocess.Popen[str]) -> None:
        self.language, self._process = language, process

    def ask(self, url: str, call: str, *arguments: Any, **options: Any) -> Any:
        """Has a client of a URL, with options, make a call: what came of it, an error too."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {"url": url, "options": options, "call": call, "arguments": arguments}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the driver in {self.language} has ended"
        return json.loads(line)

    def result(self, url: str, call: str, *arguments: Any, **options: Any) -> Any:
        """What came of a call that is to succeed."""
        answer = self.ask(url, call, *arguments, **options)
        assert "error" not in answer, answer
        return answer["result"]


def lacking(language: str) -> str | None:
    """What this machine lacks to build and run a client, or None."""
    if language == "java":
        no_jdk = "the Java client is built by a JDK 17, and there is no javac; on Debian: openjdk-17-jdk-headless"
        return missing() or (None if _javac().exists() else no_jdk)
    for name, package in (("node", "nodejs"), ("npm", "npm")):
        if shutil.which(name) is None:
            return f"the TypeScript client needs {name}, which is not installed; on Debian: {package}"
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:2]))
    return None if version >= LEAST_NODE else f"the TypeScript client needs Node 18.17 or later, and this is {said}"


def example(language: str) -> str:
    """The example of the documentation."""
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / "docs" / "clients.md").read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def typescript(folder: Path) -> ForeignClient:
    """The TypeScript client, built in a folder."""
    shutil.copytree(CLIENTS / "typescript", folder, ignore=_BUILT)
    (folder / "example").mkdir()
    (folder / "example" / "example.ts").write_text(example("ts"), "utf-8")
    ran(["npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
    ran(["node", "node_modules/typescript/bin/tsc"], folder)
    return ForeignClient("typescript", folder, ["node", "dist/test/driver.js"], ["node", "dist/example/example.js"])


def schema_of(page: bytes, client: ForeignClient) -> str:
    """The TypeScript types of an OpenAPI page."""
    (client.folder / "page.json").write_bytes(page)
    ran(["node", "node_modules/openapi-typescript/bin/cli.js", "page.json", "-o", "page.ts"], client.folder)
    return (client.folder / "page.ts").read_text("utf-8")


def jvm(folder: Path) -> ForeignClient:
    """The Java client, built in a folder."""
    shutil.copytree(CLIENTS / "java", folder, ignore=_BUILT)
    (folder / "src" / "test" / "java" / "Example.java").write_text(example("java"), "utf-8")
    quick = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    goals = ["package", "dependency:copy-dependencies", "-DoutputDirectory=target/jars", "-DincludeScope=runtime"]
    ran(["mvn", "-q", "-B", "-DskipTests", *goals], folder, {**os.environ, "MAVEN_OPTS": quick})
    jar = next((folder / "target").glob("twinbeam-client-*.jar"))
    command = [java(), *quick.split(), "-cp", f"{jar}:target/test-classes:target/jars/*"]
    return ForeignClient("java", folder, [*command, "twinbeam.client.Driver"], [*command, "Example"])


def ran(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints, which is to succeed."""
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {(done.stdout + done.stderr)[-4_000:]}"
    return done.stdout


def _javac() -> Path:
    return Path(java()).resolve().with_name("javac")
