"""The floors: who may import whom, where imports stand, and what modules are like."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("schemas", "transforms", "serving", "pipelines", "twinbeam")
FACADES = {"twinbeam/__init__.py", "twinbeam/client/__init__.py"}
ENGINES = {"numpy", "polars", "pyarrow", "sqlglot", "pandas"}
MAY_IMPORT = {
    "schemas": {"pyarrow", "fastavro"},
    "transforms": {*ENGINES, "fastavro"},
    "serving": {*ENGINES, "deltalake", "duckdb"},
    "pipelines": {*ENGINES, "deltalake", "fastavro", "apache_beam", "cloudpickle"},
    "twinbeam": {"httpx"},
}
# Packages of extras, and the only modules that know them.
EXTRAS = {
    "pipelines/": {"httpx", "prometheus_client"},
    "pipelines/brokers/": {"confluent_kafka", "kafka", "httpx"},
    "pipelines/flink/": {"google", "grpc"},  # which come with Beam
    "serving/fiber": {"greenlet"},
    "serving/stores/cassandra": {"cassandra"},
    "twinbeam/client/arrow_table": {"pyarrow"},
    "twinbeam/client/feature_table": {"pandas", "pyarrow"},  # for annotations alone
    "twinbeam/client/pandas_frame": {"pandas"},
    "serving/server/": {"httptools", "jwt", "msgspec", "opentelemetry", "uvloop"},
}
OPTIONAL = {
    "pandas",
    "jwt",
    "opentelemetry",
    "pipelines.brokers.kafka",
    "pipelines.brokers.schema_registry",
    "serving.stores.cassandra",
    "twinbeam.client.arrow_table",
    "twinbeam.client.pandas_frame",
}
SHAPELESS = {"util", "utils", "helper", "helpers", "common", "misc", "base_utils"}
MOST_LINES = 400


MODULES = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """Modules that a file imports, with the statements."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module), node


def outside(floor: str, names: Iterator[str] | list[str]) -> set[str]:
    """Top-level packages that a floor may not import."""
    below = set(FLOORS[: FLOORS.index(floor) + 1])
    tops = {each.partition(".")[0] for each in names}
    return {top for top in tops if top not in {*sys.stdlib_module_names, *below, *MAY_IMPORT[floor]}}


def extras(path: Path) -> set[str]:
    """Packages of extras that a module may import."""
    return {each for beginning, known in EXTRAS.items() if name(path).startswith(beginning) for each in known}


def optional(module: str) -> bool:
    """Whether a module is one of an extra, or needs one."""
    return any(module == each or module.startswith(f"{each}.") for each in OPTIONAL)


def inside(tree: ast.Module) -> set[str]:
    """Modules imported inside functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    imports = [node for function in functions for node in ast.walk(function)]
    return {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in imports
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def test_the_contracts_hold() -> None:
    program = str(Path(sys.executable).with_name("lint-imports"))
    command = [program, "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_every_module_keeps_to_its_floor() -> None:
    found = {
        name(path): outside(path.relative_to(ROOT).parts[0], [top for top, _ in imported(path)]) - extras(path)
        for path in MODULES
    }
    assert {path: tops for path, tops in found.items() if tops} == {}
    assert len(found) > 50


def test_what_a_floor_may_not_import_is_found() -> None:
    assert outside("schemas", ["polars", "fastavro", "pyarrow.compute", "json"]) == {"polars"}
    assert outside("transforms", ["serving.stores.base", "schemas.lane", "apache_beam.coders"]) == {
        "serving",
        "apache_beam",
    }
    assert outside("serving", ["apache_beam", "deltalake"]) == {"apache_beam"}
    assert outside("pipelines", ["apache_beam", "cassandra.cluster"]) == {"cassandra"}


def test_every_module_is_short_and_named_for_a_thing_and_says_what_it_is() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in MODULES}
    assert [name(path) for path, text in texts.items() if len(text.splitlines()) > MOST_LINES] == []
    assert [name(path) for path in MODULES if path.stem in SHAPELESS] == []
    silent = [path for path, text in texts.items() if not ast.get_docstring(ast.parse(text))]
    assert [name(path) for path in silent if path.name != "__init__.py"] == []


def test_a_package_hands_nothing_on() -> None:
    inits = [path for path in MODULES if path.name == "__init__.py"]
    assert {name(path) for path in inits if path.read_text()} == FACADES


def test_imports_stand_at_the_top() -> None:
    """Only an optional extra is imported inside a function."""
    found = {name(path): inside(ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES}
    deep = {path: {each for each in names if not optional(each)} for path, names in found.items()}
    assert {path: names for path, names in deep.items() if names} == {}
    assert inside(ast.parse("import os\ndef f():\n    if 1:\n        from polars.io import x")) == {"polars.io"}


def test_the_oracle_shares_no_code_with_what_it_judges() -> None:
    names = {top.partition(".")[0] for top, _ in imported(ROOT / "tests" / "oracle.py")}
    assert names <= set(sys.stdlib_module_names)
