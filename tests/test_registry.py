"""Definition files: what is gathered, how modules find each other, and reloading."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pytest

from schemas.entity import Entity
from schemas.feature import agg
from schemas.feature_view import FeatureView
from schemas.modules import PREFIX
from schemas.on_demand import OnDemand
from schemas.registry import Registry
from schemas.service import FeatureService
from schemas.source import Source

HEAD = """
from schemas.entity import Entity
from schemas.feature import agg, latest
from schemas.feature_view import FeatureView
from schemas.on_demand import on_demand
from schemas.service import FeatureService
from schemas.source import Source
"""
BASE = (
    HEAD
    + """
user = Entity("user", keys={"user_id": "int64"})
buys = Source("buys", fields={"user_id": "int64", "ts": "timestamp", "price": "float64"}, event_time="ts", topic="buys")
"""
)
CARD = 'card = FeatureView("card", entity=user, source=buys, features=["price", agg.count(over="1h")])\n'


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def module(registry: Registry, name: str = "features") -> ModuleType:
    return sys.modules[f"{registry.modules[0]}.{name}"]


def test_what_is_bound_and_what_it_reaches_is_gathered(tmp_path: Path) -> None:
    text = (
        BASE
        + CARD
        + """
views = [FeatureView(f"v{n}", entity=user, source=buys, features=["price"]) for n in (1, 2)]
named = {"a": FeatureService("s", features=[FeatureView("deep", entity=Entity("e", keys={"user_id": "int64"}),
    source=Source("more", fields={"user_id": "int64", "t": "date", "ts": "timestamp"}, event_time="ts", topic="t"),
    features=["t"]).alias("role", user_id="x"), "card:price"])}


@on_demand(inputs=["card:price", "role:t"], returns={"x": "float64"})
def f(df):
    return df
"""
    )
    registry = Registry.load(write(tmp_path, features=text) / "features.py")
    assert registry.mistakes == ()
    assert sorted(registry.entities) == ["e", "user"]
    assert sorted(registry.sources) == ["buys", "more"]
    assert sorted(registry.views) == ["card", "deep", "v1", "v2"]
    assert (list(registry.services), list(registry.aliases), list(registry.on_demand)) == (["s"], ["role"], ["f"])
    assert registry.views["card"].place == "features.py:11"
    assert isinstance(registry.on_demand["f"], OnDemand)


def test_a_registry_of_objects_reaches_as_far() -> None:
    user = Entity("user", keys={"k": "int64"})
    source = Source("s", fields={"k": "int64", "t": "timestamp"}, event_time="t", topic="s")
    view = FeatureView("v", entity=user, source=source, features=[agg.count()])
    registry = Registry.of([FeatureService("s", features=[view.alias("r", k="x")])])
    assert registry.mistakes == ()
    assert (registry.entities, registry.sources, registry.views) == ({"user": user}, {"s": source}, {"v": view})


def test_a_folder_with_modules_that_import_each_other(tmp_path: Path) -> None:
    write(
        tmp_path,
        base=BASE,
        cards=f"{HEAD}from base import user, buys\nimport shared.rates\n{CARD}RATE = shared.rates.EUR\n",
        deep__views="from ..cards import card\nfrom ..base import *\nimport here\nx = card.alias('r', user_id='y')\n",
        deep__here="X = 1\n",
        shared__rates="EUR = 0.5\n",
        test_cards="raise AssertionError\n",
        _private="raise AssertionError\n",
    )
    registry = Registry.load(tmp_path)
    assert registry.mistakes == ()
    assert [view.name for view in registry.every(FeatureView)] == ["card"]
    assert registry.aliases["r"].view is registry.views["card"]
    assert registry.aliases["r"].place == "deep/views.py:4"
    assert module(registry, "cards").RATE == 0.5
    assert not {"base", "cards", "shared", "shared.rates", "here"} & set(sys.modules)


def test_one_file_imports_what_lies_beside_it_and_no_more_is_gathered(tmp_path: Path) -> None:
    write(tmp_path, base=BASE + "other = Entity('other', keys={'k': 'int64'})\n", features=f"{HEAD}import base\n{CARD}")
    text = (tmp_path / "features.py").read_text().replace("=user", "=base.user").replace("=buys", "=base.buys")
    (tmp_path / "features.py").write_text(text)
    registry = Registry.load(tmp_path / "features.py")
    assert registry.mistakes == ()
    assert list(registry.entities) == ["user"]


def test_a_list_of_files_and_folders(tmp_path: Path) -> None:
    write(tmp_path, a__one=BASE, b__two=HEAD + "e = Entity('e', keys={'k': 'int64'})\n")
    registry = Registry.load([tmp_path / "a", tmp_path / "b" / "two.py", tmp_path / "a" / "one.py"])
    assert registry.mistakes == ()
    assert list(registry.entities) == ["user", "e"]
    assert len(registry.modules) == 2


def test_bare_names_are_not_left_behind_nor_taken_from_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = ModuleType("base")
    monkeypatch.setitem(sys.modules, "base", foreign)
    write(tmp_path, base=BASE, features=f"{HEAD}from base import user, buys\n{CARD}")
    finders = list(sys.meta_path)
    assert Registry.load(tmp_path / "features.py").mistakes == ()
    assert sys.modules["base"] is foreign
    assert sys.meta_path == finders


def test_two_projects_never_meet(tmp_path: Path) -> None:
    registries = []
    for name, rate in (("a", 1), ("b", 2)):
        write(tmp_path / name, rates=f"RATE = {rate}\n", features=f"{BASE}from rates import RATE\n")
        registries.append(Registry.load(tmp_path / name / "features.py"))
    assert [module(registry).RATE for registry in registries] == [1, 2]
    assert all(name.startswith(PREFIX) for registry in registries for name in registry.modules)


def test_an_edited_file_gives_the_new_definitions(tmp_path: Path) -> None:
    file = write(tmp_path, features=BASE + CARD, rates="RATE = 1\n") / "features.py"
    for hours in (1, 2, 3):  # within one tick of the file's time, and of equal length
        file.write_text(BASE + CARD.replace("1h", f"{hours}h"))
        assert Registry.load(file).views["card"].feature_names == ("price", f"count_{hours}h")
    for rate in (1, 2):
        file.write_text(f"{BASE}{CARD}from rates import RATE\n")
        (tmp_path / "rates.py").write_text(f"RATE = {rate}\n")
        found = module(Registry.load(file)).RATE
        assert found == rate
    assert not list(tmp_path.rglob("*.pyc"))


def test_functions_are_pickled_by_value(tmp_path: Path) -> None:
    text = f"{BASE}from rates import RATE\n\n\ndef f(x):\n    return g(x) * RATE\n\n\ndef g(x):\n    return x + 1\n"
    registry = Registry.load(write(tmp_path, features=text, rates="RATE = 3\n") / "features.py")
    package = sys.modules[registry.modules[0]]
    cloudpickle.register_pickle_by_value(package)
    try:
        blob = cloudpickle.dumps(module(registry).f)
    finally:
        cloudpickle.unregister_pickle_by_value(package)
    program = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read())(4))"
    answer = subprocess.run([sys.executable, "-c", program], input=blob, capture_output=True, check=True, cwd=tmp_path)
    assert answer.stdout.decode().strip() == "15"


def test_definitions_are_pickled_without_their_file(tmp_path: Path) -> None:
    registry = Registry.load(write(tmp_path, features=BASE + CARD) / "features.py")
    (tmp_path / "features.py").unlink()
    card = registry.views["card"]
    assert pickle.loads(pickle.dumps(card)) == card


def test_annotations_may_be_postponed(tmp_path: Path) -> None:
    text = f'"""Doc."""\nfrom __future__ import annotations\n{BASE}\n\ndef f(x: Unknown) -> Unknown:\n    return x\n'
    registry = Registry.load(write(tmp_path, features=text) / "features.py")
    assert registry.mistakes == ()
    assert module(registry).f.__annotations__ == {"x": "Unknown", "return": "Unknown"}
    assert module(registry).__doc__ == "Doc."


@pytest.mark.parametrize(
    ("name", "told"),
    [("nothing.py", "no such file or folder"), ("empty", "no definition files"), ("x.py", "no Entity")],
)
def test_paths_without_definitions(name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.py").write_text("x = 1\n")
    (mistake,) = Registry.load(tmp_path / name).mistakes
    assert told in mistake.message
    assert name in mistake.place


def test_a_module_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    write(tmp_path, base="def (:\n", features=f"{HEAD}from base import user, buys\n{CARD}import base\nx = base.user\n")
    (mistake,) = Registry.load(tmp_path).mistakes
    assert (mistake.place, mistake.name) == ("base.py:1", "base")
    (tmp_path / "base.py").write_bytes(b"\xff\xfe")
    (mistake,) = Registry.load(tmp_path).mistakes
    assert (mistake.place, mistake.name) == ("base.py:1", "base")


def test_a_failure_is_placed_where_the_user_can_mend_it(tmp_path: Path) -> None:
    text = f"{BASE}\n\ndef made(name):\n    return Entity(name, kyes={{}})\n\n\nthing = made('x')\n"
    (mistake,) = Registry.load(write(tmp_path, features=text)).mistakes
    assert (mistake.place, mistake.name) == ("features.py:14", "x")
    assert "Did you mean 'keys'?" in mistake.message


def test_a_file_imported_under_its_full_name_too_is_no_twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, shop__base=BASE, shop__features=f"{HEAD}from shop.base import user, buys\n{CARD}")
    registry = Registry.load(tmp_path / "shop")
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]
    assert registry.mistakes == ()


def test_names_of_files_need_not_be_names_of_python(tmp_path: Path) -> None:
    (tmp_path / "my features v1.2.py").write_text(BASE)
    assert list(Registry.load(tmp_path).entities) == ["user"]


def test_a_package_is_a_folder_too(tmp_path: Path) -> None:
    write(tmp_path, __init__="from .base import user\n", base=BASE)
    registry = Registry.load(tmp_path)
    assert registry.mistakes == ()
    assert list(registry.entities) == ["user"]


def test_order_is_that_of_the_file(tmp_path: Path) -> None:
    names = ["zebra", "ant", "Monkey"]
    text = HEAD + "\n".join(f"e{n} = Entity('{name}', keys={{'k': 'int64'}})" for n, name in enumerate(names))
    registry = Registry.load(write(tmp_path, features=text))
    assert list(registry.entities) == names


def test_an_interrupt_is_no_mistake(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Registry.load(write(tmp_path, features="raise KeyboardInterrupt\n"))
    registry: Any = Registry.load(write(tmp_path, features=BASE))
    assert registry.mistakes == ()
