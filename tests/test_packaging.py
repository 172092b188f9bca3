"""The wheel: what is in it, how thin its base is, and what it says when a folder stands in its way."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from email import message_from_string
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.served import project, serving

pytestmark = pytest.mark.xdist_group("wheel")
ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("pipelines", "serving", "transforms", "schemas")
HEAVY = {"apache_beam", "deltalake", "fastavro", "numpy", "pandas", "polars", "pyarrow", "sqlglot"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git would hand out."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "-w", str(folder), str(copy)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's content, as site-packages would."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python(code: str, cwd: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in a folder, with `path` before the installed packages, but after the folder itself."""
    first = ["", *map(str, path)]
    lines = [
        "import sys",
        f"sys.path[:] = [*{first!r}, *(each for each in sys.path if each not in ('', {str(ROOT)!r}))]",
        code,
    ]
    return subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=cwd, capture_output=True, text=True)


def test_the_wheel_holds_the_floors_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        entry = archive.read("twinbeam-0.1.0.dist-info/entry_points.txt").decode()
        metadata = archive.read("twinbeam-0.1.0.dist-info/METADATA").decode()
        held = {name for name in archive.namelist() if name.endswith(".py")}
        beside = {name for name in archive.namelist() if name.startswith((*FLOORS, "twinbeam/"))} - held
    assert tops == {*FLOORS, "twinbeam", "twinbeam-0.1.0.dist-info"}
    ours = {str(path.relative_to(ROOT)) for top in (*FLOORS, "twinbeam") for path in (ROOT / top).rglob("*.py")}
    assert held == ours
    named = [*(ROOT / "pipelines" / "dev").iterdir(), *(ROOT / "pipelines" / "flink").iterdir()]
    assert beside == {str(path.relative_to(ROOT)) for path in named if path.is_file() and path.suffix != ".py"}
    assert len(beside) == 7
    assert "twinbeam = pipelines.commands.main:main" in entry
    base = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert base == ["Requires-Dist: httpx>=0.27"]
    extras = {line.partition(": ")[2] for line in metadata.splitlines() if line.startswith("Provides-Extra")}
    assert extras == {"define", "pipeline", "server", "tokens", "tracing", "kafka", "cassandra", "dev", "demo"}


def test_only_what_beam_and_the_runner_of_tests_cap_is_capped(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read("twinbeam-0.1.0.dist-info/METADATA").decode()
    needed = [line.partition(": ")[2] for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    capped = {line.partition(";")[0].strip() for line in needed if "<" in line or "==" in line.partition(";")[0]}
    assert {line.replace(" ", "") for line in capped} == {"apache-beam<2.78,>=2.77", "pytest<9.2,>=9"}


def test_the_base_import_is_thin(installed: Path, tmp_path: Path) -> None:
    code = "import twinbeam; print(twinbeam.__file__); print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = python(code, tmp_path, installed)
    assert done.returncode == 0, done.stderr
    where, modules = done.stdout.splitlines()
    assert where == str(installed / "twinbeam" / "__init__.py")
    assert HEAVY.isdisjoint(printed(modules))


@pytest.fixture(scope="session")
def base(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment of its own, with the wheel and what its base needs, and nothing else."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    said = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True
    )
    packages = Path(said.stdout.strip())
    shutil.copytree(installed, packages, dirs_exist_ok=True)
    metadata = next(installed.glob("*.dist-info")) / "METADATA"
    needed = [Requirement(text) for text in message_from_string(metadata.read_text()).get_all("Requires-Dist", [])]
    known: set[str] = set()
    while needed:
        requirement = needed.pop()
        name = canonicalize_name(requirement.name)
        if name in known or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        known.add(name)
        found = distribution(name)
        needed += [Requirement(text) for text in found.requires or []]
        for file in found.files or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), packages / file)
    assert "httpx" in known
    assert HEAVY.isdisjoint(known)
    return python


CLIENT = """\
import asyncio, sys
from twinbeam.client import AsyncClient, Client

async def read(url):
    async with AsyncClient(url) as client:
        return (await client.get("person", {"user_id": [1, 2]})).rows()

with Client(sys.argv[1]) as client:
    print(client.push("purchases", [{"user_id": 9, "ts": "2026-11-30T12:00:00Z"}]).events)
    found = client.get("person", {"user_id": [1, 2]})
    assert repr(asyncio.run(read(sys.argv[1]))) == repr(found.rows())
    print(found.rows()[0])
    for method in (found.to_arrow, found.to_pandas):
        try:
            method()
        except Exception as error:
            print(error)
print(sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_the_base_install_reads_from_a_server(base: Path, tmp_path: Path) -> None:
    with serving(project(tmp_path / "shop")) as server:
        done = subprocess.run([base, "-I", "-c", CLIENT, server.url], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pushed, row, arrow, pandas, modules = done.stdout.splitlines()
    assert pushed == "1"
    assert (
        "'person:score': 0.5, 'person:photo': b'\\x00\\xff', 'person:seen': datetime.datetime(2026, 11, 30, 12, 0"
        in row
    )
    assert (
        "'person:born': datetime.date(2026, 11, 30), 'person:owes': Decimal('12.50'), 'person:tags': [1.5, 2.0]" in row
    )
    assert arrow == "to_arrow: pyarrow is not installed; pip install pyarrow, or use to_dict()"
    assert pandas == "to_pandas: pandas is not installed; pip install pandas, or use to_dict()"
    assert HEAVY.isdisjoint(printed(modules))
    assert {"httpx", "schemas", "twinbeam"} <= printed(modules)
    assert {"pipelines", "serving", "transforms"}.isdisjoint(printed(modules))


def test_every_name_is_there(installed: Path, tmp_path: Path) -> None:
    done = python("import twinbeam; print([getattr(twinbeam, name) for name in dir(twinbeam)])", tmp_path, installed)
    assert done.returncode == 0, done.stderr
    done = python("import twinbeam; twinbeam.Entitty", tmp_path, installed)
    assert "module 'twinbeam' has no attribute 'Entitty'; it has DefinitionChanged," in done.stderr


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("kind", ["folder", "package", "module"])
def test_a_folder_in_the_way_is_named(installed: Path, tmp_path: Path, floor: str, kind: str) -> None:
    obstacle = tmp_path / (f"{floor}.py" if kind == "module" else floor)
    if kind == "module":
        obstacle.write_text("")
    else:
        obstacle.mkdir()
        if kind == "package":
            (obstacle / "__init__.py").write_text("")
    done = python("import twinbeam; print('fine')", tmp_path, installed)
    if kind == "folder":  # a folder without __init__.py gives way to a real package
        assert done.stdout == "fine\n", done.stderr
        return
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {obstacle} is in the way: twinbeam has a package of its own named {floor!r}")
    assert str(installed) in last


def test_what_is_missing_is_named_with_the_extra(installed: Path, tmp_path: Path) -> None:
    code = "sys.modules['pyarrow'] = None\nimport twinbeam\ntwinbeam.Entity"
    done = python(code, tmp_path, installed)
    assert "twinbeam.Entity needs the package 'pyarrow': pip install 'twinbeam[define]'" in done.stderr


def printed(text: str) -> set[str]:
    """Names of a printed list."""
    return {part.strip(" '") for part in text.strip("[]").split(",")}
