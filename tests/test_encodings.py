"""Encodings in a project: what is trained is served, to the bit, and by the artefact that was meant."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import definition_watch
from pipelines.clock import SystemClock
from pipelines.commands.main import main
from pipelines.platform import Platform
from pipelines.project import Project
from pipelines.settings import Settings
from schemas.encoding import Encoding, encode
from schemas.entity import Entity
from schemas.errors import DefinitionChanged, RequestError, StoreError
from schemas.feature import agg
from schemas.feature_view import FeatureView
from schemas.on_demand import on_demand
from schemas.registry import Registry
from schemas.service import FeatureService
from schemas.source import Source
from serving.deployment import Deployment
from serving.encoders import TABLE, kept_artefacts
from serving.stores.offline import OfflineStore
from tests.encoder_oracle import bits
from tests.encoder_rows import REQUEST, ROWS, START, STORED, TYPES, encoders, rows
from transforms.evaluate import evaluate, fit
from transforms.features import Features

pytestmark = pytest.mark.xdist_group("encodings")

FEATURES = list(encoders())
# One of each encoder, for calls of one row.
EACH = ["s_vocabulary", "s_one_hot", "s_target_mean", "x_standard", "x_min_max", "x_buckets", "x_quantiles", "s_x"]
EACH += ["s_device_cross"]
NOW = START + timedelta(days=1)
SCALES = {"price": pa.float64(), "label": pa.bool_()}


def definitions(folder: Path, **options: Any) -> list[Any]:
    """A view of a row a user, and every encoder over it; one of each over a view of its own."""
    source = Source(
        "events",
        fields={"user_id": "int64", "ts": "timestamp(us)", **STORED},
        event_time="ts",
        files=str(folder / "events.parquet"),
    )
    user = Entity("user", keys={"user_id": "int64"})
    view = FeatureView("v", entity=user, source=source, features=list(STORED), **options)
    plain = FeatureView("w", entity=user, source=source, features=["s", "x"])
    each = [encoder for name, encoder in encoders("w").items() if name in EACH]
    encoding = Encoding("enc", features=list(encoders().values()), request=REQUEST)
    return [view, encoding, plain, Encoding("each", features=each, request={"device": "string"})]


def write(folder: Path, given: Mapping[str, list[Any]]) -> None:
    count = len(given["s"])
    columns = {name: pa.array(given[name], TYPES[name], from_pandas=False) for name in STORED}
    keys = {"user_id": pa.array(range(count)), "ts": pa.array([START] * count, pa.timestamp("us", "UTC"))}
    pq.write_table(pa.table(keys | columns), folder / "events.parquet")


def spine(given: Mapping[str, list[Any]], targets: bool) -> pa.Table:
    """A spine row a user."""
    count = len(given["s"])
    columns = {"user_id": pa.array(range(count)), "t": pa.array([NOW] * count)}
    columns |= {name: pa.array(given[name], TYPES[name], from_pandas=False) for name in REQUEST}
    if targets:
        columns |= {name: pa.array(given[name], kind, from_pandas=False) for name, kind in SCALES.items()}
    return pa.table(columns)


def platform(folder: Path, *objects: Any) -> Platform:
    settings = Settings.of({"project": "p", "serving": {"log_sample": 0}}, folder)
    return Platform(settings, Registry.of(objects))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a row for each of 10,000 users, its encoders fitted on all of them."""
    folder = tmp_path_factory.mktemp("encodings")
    given = rows(1)
    write(folder, given)
    with platform(folder, *definitions(folder)) as p:
        p.apply()
        p.run_batch()
        p.fit("enc", spine(given, targets=True))
        p.fit("each", spine(given, targets=True))
    return folder


@pytest.fixture(scope="module")
def answers(folder: Path) -> tuple[Features, Features, list[Features]]:
    """All encoded features: trained, served in one call; one of each encoder: served one by one."""
    given = rows(1)
    keys = spine(given, targets=False).drop_columns(["t"])
    with platform(folder, *definitions(folder)) as p:
        trained = p.training_set(spine(given, targets=False), ["enc", "each"])
        served = p.get(["enc", "each"], keys, now=NOW)
        reader = p.reader("each")
        request = keys.select(["device", "user_id"])
        alone = [reader.get(request.slice(at, 1), now=NOW) for at in range(ROWS)]
    return trained, served, alone


@pytest.mark.parametrize("address", [*(f"enc:{name}" for name in FEATURES), *(f"each:{name}" for name in EACH)])
def test_enc_1_what_is_trained_is_served(answers: tuple[Features, Features, list[Features]], address: str) -> None:
    trained, served, alone = answers
    values = [bits(value) for value in trained.answers[address].values.to_pylist()]
    assert len(values) == ROWS
    assert len({repr(value) for value in values}) > 1
    assert [bits(value) for value in served.answers[address].values.to_pylist()] == values
    statuses = trained.answers[address].statuses.tolist()
    assert served.answers[address].statuses.tolist() == statuses
    if address.startswith("each:"):
        assert [bits(each.answers[address].values[0].as_py()) for each in alone] == values
        assert [each.answers[address].statuses[0] for each in alone] == statuses


def test_a_training_set_says_by_which_artefact_it_was_encoded(
    answers: tuple[Features, Features, list[Features]], folder: Path, tmp_path: Path
) -> None:
    trained, served, alone = answers
    with platform(folder, *definitions(folder)) as p:
        versions = Deployment.load(p.offline).encoders
    assert trained.artefacts == served.artefacts == versions
    assert alone[0].artefacts == {"each": versions["each"]}
    assert trained.fingerprint == served.fingerprint
    trained.to_parquet(tmp_path / "train.parquet")
    metadata = pq.read_schema(tmp_path / "train.parquet").metadata
    assert json.loads(metadata[b"twinbeam.artefacts"]) == versions


def test_the_pure_way_gives_the_same(answers: tuple[Features, Features, list[Features]], folder: Path) -> None:
    view, encoding, *_ = definitions(folder)
    given = rows(1)
    events = {"events": folder / "events.parquet"}
    artefact = fit(encoding, events, spine(given, targets=True), views=[view])
    assert answers[0].artefacts["enc"] == artefact.version
    few = spine(given, targets=False).slice(0, 500)
    found = evaluate([encoding, view], events, few, artefacts=[artefact])
    for address in (f"enc:{feature}" for feature in FEATURES):
        expected = answers[0].answers[address].values.slice(0, 500).to_pylist()
        assert [bits(value) for value in found.answers[address].values.to_pylist()] == list(map(bits, expected))


SMALL = """
from twinbeam import Encoding, Entity, FeatureService, FeatureView, Source, agg, encode, latest, on_demand

user = Entity("user", keys={"user_id": "int64"})
item = Entity("item", keys={"item_id": "int64"})
clicks = Source(
    "clicks", fields={"user_id": "int64", "ts": "timestamp", "country": "string", "score": "float64"},
    event_time="ts", topic="clicks",
)
items = Source(
    "items", fields={"item_id": "int64", "ts": "timestamp", "category": "string", "price": "float64"},
    event_time="ts", topic="items",
)
profile = FeatureView("profile", entity=user, source=clicks, features=["country", "score", agg.count(over="1d")])
offer = FeatureView("offer", entity=item, source=items, features=["category", "price"])
rival = offer.alias("rival", item_id="rival_id")


@on_demand(
    inputs=["profile:score", "offer:price", "rival:price"], request={"budget": "float64"},
    returns={"share": "float64", "cheaper": "bool"},
)
def deal(df):
    return df.select(
        share=(df["offer__price"] / df["budget"]) * df["profile__score"],
        cheaper=df["offer__price"] < df["rival__price"],
    )


inputs = Encoding(
    "inputs",
    features=[
        encode.vocabulary("profile:country"),
        encode.cross(["profile:country", "offer:category", "device"], size=100, name="who_what"),
        encode.cross(["device", "offer:category"], buckets=50, name="hashed"),
        encode.target_mean(encode.cross(["profile:country", "deal:cheaper"], buckets=1000), target="bought", name="t"),
        encode.standard("deal:share"),
        encode.standard("rival:price", name="rival"),
    ],
    request={"device": "string"},
    owner="growth",
)
model = FeatureService("model", features=[inputs, deal, "profile:count_1d"])
"""
CLICKS: list[dict[str, Any]] = [
    {"user_id": number, "ts": START + timedelta(seconds=number), "country": ["nl", "be", "de"][number % 3], "score": s}
    for number, s in enumerate([1.0, 2.5, -1.0, None, 0.5, 7.0])
]
ITEMS: list[dict[str, Any]] = [
    {"item_id": number, "ts": START + timedelta(seconds=number), "category": "ab"[number % 2], "price": 1.5 * number}
    for number in range(5)
]
SPINE: dict[str, list[Any]] = {
    "user_id": [0, 1, 2, 3, 4, 5, 0, 9, None],
    "item_id": [0, 1, 2, 3, 4, 0, 1, 2, 3],
    "rival_id": [4, 3, 2, 1, 0, 9, 2, 3, None],
    "device": ["ios", "web", "web", None, "ios", "web", "ios", "ios", "tv"],
    "budget": [10.0, 5.0, 2.0, 1.0, 0.0, 3.0, 9.0, 8.0, 7.0],
}
TIMES: dict[str, list[Any]] = {"t": [NOW] * 9}
BOUGHT: dict[str, list[Any]] = {"bought": [True, False, True, True, False, None, False, True, True]}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Platform]:
    """A small project of two entities, streamed, with nothing fitted."""
    (tmp_path / "twinbeam.toml").write_text(
        'project = "shop"\ndefinitions = "features.py"\n[run]\nmax_skew = "1000d"\n'
    )
    (tmp_path / "features.py").write_text(SMALL)
    with Platform.open(tmp_path) as p:
        p.apply()
        p.publish("clicks", CLICKS)
        p.publish("items", ITEMS)
        p.run_stream(until="caught_up")
        yield p


def reopened(shop: Platform, before: str, after: str) -> Platform:
    """The project with other definitions."""
    path = Path(shop.settings.folder) / "features.py"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    return Platform.open(shop.settings.folder)


def same(trained: Features, served: Features) -> None:
    assert list(trained.answers) == list(served.answers)
    for address, answer in trained.answers.items():
        other = served.answers[address]
        assert list(map(bits, answer.values.to_pylist())) == list(map(bits, other.values.to_pylist())), address
        assert answer.statuses.tolist() == other.statuses.tolist(), address


def test_feathr_2_on_demand_features_of_two_entities_are_trained_and_served_alike(shop: Platform) -> None:
    trained, served = shop.training_set(SPINE | TIMES, "deal"), shop.get("deal", SPINE, now=NOW)
    same(trained, served)
    expected = [-0.0 if s is None else s for s in [0.0, 0.75, -1.5, None, None, 0.0]]
    assert trained.to_dict()["deal:share"][:3] == expected[:3]
    assert trained.to_dict()["deal:cheaper"] == [True, True, False, False, False, None, True, True, None]
    request = {"budget": SPINE["budget"]}
    same(trained, shop.get("deal", {k: v for k, v in SPINE.items() if k != "budget"}, request=request, now=NOW))
    for row in range(9):
        alone = shop.get("deal", {name: [column[row]] for name, column in SPINE.items()}, now=NOW)
        assert bits(alone.to_dict()["deal:share"][0]) == bits(trained.to_dict()["deal:share"][row])
    pure = evaluate(
        [
            shop.catalog.registry.on_demand["deal"],
            *shop.catalog.registry.views.values(),
            shop.registry.aliases["rival"],
        ],
        {"clicks": CLICKS, "items": ITEMS},
        SPINE | TIMES,
    )
    assert list(map(bits, pure.to_dict()["deal:share"])) == list(map(bits, trained.to_dict()["deal:share"]))


@on_demand(request={"amount": "float64"}, returns={"double": "float64", "half": "float64"})
def arithmetic(df: pl.DataFrame) -> pl.DataFrame:
    return df.select(double=df["amount"] * 2, half=df["amount"] / 2)


def test_an_on_demand_function_of_the_request_alone_needs_no_entity(tmp_path: Path) -> None:
    with platform(tmp_path, *definitions(tmp_path), arithmetic) as p:
        p.apply()
        trained = p.training_set({"amount": [1.0, None], "t": [NOW, NOW]}, arithmetic)
        served = p.get(arithmetic, {"amount": [1.0, None]}, now=NOW)
    same(trained, served)
    assert served.to_dict()["arithmetic:double"] == [2.0, None]
    assert served.to_dict()["arithmetic:half"] == [0.5, None]


def test_ndt_4_crosses_of_context_and_item_are_trained_and_served_alike(shop: Platform) -> None:
    artefact = shop.fit("inputs", SPINE | TIMES | BOUGHT)
    trained, served = shop.training_set(SPINE | TIMES, "model"), shop.get("model", SPINE, now=NOW)
    same(trained, served)
    table = served.to_dict()
    words = artefact.fitted["who_what"]["own"]["values"]
    rows = zip(SPINE["user_id"], SPINE["item_id"], SPINE["device"], table["inputs:who_what"], strict=True)
    for user, item, device, number in rows:
        if user in range(6) and device is not None:
            assert words[number - 1] == [["nl", "be", "de"][user % 3], "ab"[item % 2], device]
        else:
            assert number is None
    assert served.statuses["inputs:country_vocabulary"][7:] == ["NOT_FOUND", "NOT_FOUND"]
    assert shop.audit().mismatches == ()
    assert shop.audit().values == 9 * len(served.answers)


def test_what_is_not_fitted_is_refused_and_what_needs_no_fit_is_not(shop: Platform) -> None:
    told = r"inputs:country_vocabulary: is not fitted yet.*twinbeam fit inputs"
    with pytest.raises(RequestError, match=told):
        shop.get("model", SPINE, now=NOW)
    with pytest.raises(RequestError, match=told):
        shop.training_set(SPINE | TIMES, "model")
    same(shop.training_set(SPINE | TIMES, "inputs:hashed"), shop.get("inputs:hashed", SPINE, now=NOW))


def test_enc_2_another_artefact_than_a_model_was_trained_by_is_refused(shop: Platform) -> None:
    first = shop.fit("inputs", SPINE | TIMES | BOUGHT)
    trained = shop.training_set(SPINE | TIMES, "model")
    shop.get("model", SPINE, now=NOW, fingerprint=trained.fingerprint)
    few = {name: values[:4] for name, values in (SPINE | TIMES | BOUGHT).items()}
    second = shop.fit("inputs", few, pin=False)
    assert second.version != first.version
    same(trained, shop.get("model", SPINE, now=NOW, fingerprint=trained.fingerprint))
    reader = shop.reader("model")
    shop.pin("inputs", second.version)
    with pytest.raises(DefinitionChanged) as error:
        reader.get(SPINE, now=NOW, fingerprint=trained.fingerprint)
    assert f"inputs:rival (artefact {second.version[:12]} is applied)" in str(error.value)
    assert "inputs:hashed" not in str(error.value)
    assert "deal:share" not in str(error.value).replace("inputs:share_standard", "")
    assert shop.training_set(SPINE | TIMES, "model").fingerprint != trained.fingerprint
    shop.pin("inputs", first.version[:10])
    same(trained, shop.get("model", SPINE, now=NOW, fingerprint=trained.fingerprint))


def test_the_same_rows_in_another_order_are_the_same_artefact(shop: Platform) -> None:
    everything = SPINE | TIMES | BOUGHT
    first = shop.fit("inputs", everything)
    version = Deployment.newest(shop.offline)
    backwards = shop.fit("inputs", {name: values[::-1] for name, values in everything.items()})
    assert backwards == first
    assert Deployment.newest(shop.offline) == version
    assert [kept.version for kept in kept_artefacts(shop.offline)] == [first.version]


def test_a_training_set_is_fitted_on_as_its_spine_is(shop: Platform) -> None:
    everything = SPINE | TIMES | BOUGHT
    inputs = ["profile", "offer:category", "deal:cheaper", "deal:share", "rival:price"]
    at_hand = shop.training_set(everything, inputs)
    assert shop.fit("inputs", at_hand) == shop.fit("inputs", everything)
    with pytest.raises(RequestError, match="feature 'rival:price' is missing"):
        shop.fit("inputs", shop.training_set(everything, inputs[:-1]))
    changed = reopened(shop, 'features=["category", "price"]', 'features=["category", agg.max("price", name="price")]')
    with changed, pytest.raises(DefinitionChanged, match="fit of inputs: the training set is of other definitions"):
        changed.fit("inputs", at_hand)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('encode.vocabulary("profile:country")', 'encode.vocabulary("profile:country", size=2)'),
        ('df["offer__price"] / df["budget"]', 'df["offer__price"] * df["budget"]'),
    ],
)
def test_an_artefact_of_another_definition_is_refused(shop: Platform, before: str, after: str) -> None:
    artefact = shop.fit("inputs", SPINE | TIMES | BOUGHT)
    stale = "inputs:country_vocabulary" if "vocabulary" in before else "inputs:share_standard"
    told = f"{stale}: its definition, or that of an input, has changed since artefact {artefact.version[:12]} of inputs"
    with reopened(shop, before, after) as changed:
        with pytest.raises(DefinitionChanged, match=told):
            changed.get(stale, SPINE, now=NOW)
        with pytest.raises(DefinitionChanged, match=told):
            changed.training_set(SPINE | TIMES, stale)
        changed.get("inputs:rival", SPINE, now=NOW)
        with pytest.raises(DefinitionChanged, match="fit it anew: twinbeam fit inputs"):
            changed.get("model", SPINE, now=NOW)
        changed.fit("inputs", SPINE | TIMES | BOUGHT)
        same(changed.training_set(SPINE | TIMES, "model"), changed.get("model", SPINE, now=NOW))


def test_a_name_is_no_part_of_what_was_learnt(shop: Platform) -> None:
    shop.fit("inputs", SPINE | TIMES | BOUGHT)
    with reopened(shop, 'owner="growth"', 'owner="risk", description="For the model"') as changed:
        changed.get("model", SPINE, now=NOW)


def test_a_damaged_artefact_is_refused(shop: Platform) -> None:
    artefact = shop.fit("inputs", SPINE | TIMES | BOUGHT)
    changed = artefact.text.replace('"prior":', '"prior":1')
    table = shop.offline.read(TABLE)
    columns = [[artefact.encoding], [artefact.version], [0], ["eve"], [artefact.rows], [changed]]
    row = [pa.array(column, field.type) for column, field in zip(columns, table.schema, strict=True)]
    shutil.rmtree(Path(shop.offline.root) / TABLE)
    with Platform.open(shop.settings.folder) as again:
        with pytest.raises(StoreError, match=f"an artefact that is applied is gone.*{artefact.version[:12]}"):
            again.get("model", SPINE, now=NOW)
        again.offline.append(TABLE, [pa.RecordBatch.from_arrays(row, schema=table.schema)], {})
        with pytest.raises(StoreError, match=f"artefact {artefact.version[:12]}: its content has the hash"):
            again.get("model", SPINE, now=NOW)
        with pytest.raises(StoreError, match=f"artefact {artefact.version[:12]}: its content has the hash"):
            again.training_set(SPINE | TIMES, "model")


def test_pins_outlive_other_applications(shop: Platform) -> None:
    artefact = shop.fit("inputs", SPINE | TIMES | BOUGHT)
    with reopened(shop, 'features=["category", "price"]', 'features=["category", "price", agg.count(over="1h")]') as p:
        p.apply()
        assert Deployment.load(p.offline).encoders == {"inputs": artefact.version}
        p.run_stream(until="caught_up")
        same(p.training_set(SPINE | TIMES, "model"), p.get("model", SPINE, now=NOW))


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("input", SPINE, "there is no encoding 'input': legal is inputs. Did you mean 'inputs'?"),
        ("inputs", SPINE | TIMES, "target column 'bought' is missing"),
        ("inputs", TIMES | BOUGHT | {"user_id": [1] * 9}, "column 'item_id' is missing"),
        (
            "inputs",
            SPINE | TIMES | {"bought": ["yes"] * 9},
            "inputs:t: its target is string: legal are bool and numbers",
        ),
        ("inputs", SPINE | BOUGHT, "needs one timestamp column"),
    ],
)
def test_a_fit_that_cannot_be_is_told_why(shop: Platform, name: str, given: Any, told: str) -> None:
    with pytest.raises(RequestError) as error:
        shop.fit(name, given)
    assert told in str(error.value)


def test_the_command_line(
    shop: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = Path(shop.settings.folder)
    pq.write_table(pa.table(SPINE | TIMES | BOUGHT), folder / "spine.parquet")
    pl.DataFrame(SPINE | TIMES | BOUGHT).head(5).write_csv(folder / "few.csv")
    monkeypatch.chdir(folder)

    def typed(*words: str) -> str:
        assert main(words) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    assert "not fitted" in typed("encoders", "list")
    said = json.loads(typed("fit", "inputs", "--spine", "spine.parquet", "--json"))
    assert said["rows"] == 9
    assert f"artefact {said['version'][:12]}" in typed("fit", "inputs", "--spine", "spine.parquet")
    other = json.loads(typed("fit", "inputs", "--spine", "few.csv", "--no-pin", "--json"))
    listed = json.loads(typed("encoders", "list", "--json"))
    assert [(row["artefact"], row["state"]) for row in listed] == [(said["version"], "applied"), (other["version"], "")]
    shown = json.loads(typed("encoders", "show", "inputs", "--json"))
    assert shown["version"] == said["version"]
    assert shown["fitted"]["country_vocabulary"]["own"]["values"] == ["nl", "be", "de"]
    assert '"nl", "be", "de"' in typed("encoders", "show", "inputs")
    assert "is applied" in typed("encoders", "pin", "inputs", other["version"][:8])
    assert json.loads(typed("encoders", "show", "inputs", "--json"))["version"] == other["version"]
    assert "deal:share" in typed("features", "show", "inputs:share_standard")
    assert "inputs:share_standard" in typed("features", "show", "deal:share")
    assert main(["encoders", "pin", "inputs", "nothing"]) == 1
    assert "inputs: there is no artefact 'nothing': legal is" in capsys.readouterr().err
    assert main(["encoders", "lst"]) == 1
    assert "Did you mean 'list'?" in capsys.readouterr().err


def test_a_running_stream_minds_other_views_and_no_pin(shop: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, looked, told = shop.settings, threading.Semaphore(0), threading.Event()
    project = Project(settings, Registry.load(list(settings.definitions)), None, SystemClock())
    newest = Deployment.newest

    def look(offline: OfflineStore) -> int:
        looked.release()
        return newest(offline)

    monkeypatch.setattr(definition_watch, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(Deployment, "newest", look)
    with definition_watch.DefinitionWatch(project, Deployment.load(shop.offline), told.set) as watch:
        shop.fit("inputs", SPINE | TIMES | BOUGHT)
        while looked.acquire(blocking=False):
            pass
        for _ in range(3):
            assert looked.acquire(timeout=60)
        assert not told.is_set()
        with reopened(shop, 'features=["category", "price"]', 'features=["category", latest("price")]') as same_views:
            assert not same_views.plan().changes
        with reopened(shop, 'latest("price")', '"price", agg.count(over="1h")') as changed:
            changed.apply()
        assert told.wait(60)
        assert watch.found is not None
    watch.found[0].close()
    project.close()


def test_an_on_demand_function_that_changed_is_applied(shop: Platform) -> None:
    before = Deployment.load(shop.offline).on_demand["deal"]
    with reopened(shop, 'df["offer__price"] / df["budget"]', 'df["offer__price"] * df["budget"]') as changed:
        changed.apply()
        assert Deployment.load(changed.offline).on_demand["deal"] != before
        version = Deployment.newest(changed.offline)
        changed.apply()
        assert Deployment.newest(changed.offline) == version


def test_a_service_without_its_encoding_is_a_service(shop: Platform) -> None:
    service = FeatureService("other", features=["inputs:hashed", "profile:country"])
    assert [output.address for output in shop.catalog.select(service).outputs] == ["inputs:hashed", "profile:country"]


def test_encodings_of_aggregates(tmp_path: Path) -> None:
    user = Entity("user", keys={"user_id": "int64"})
    source = Source("c", fields={"user_id": "int64", "ts": "timestamp", "x": "float64"}, event_time="ts", topic="c")
    view = FeatureView("w", entity=user, source=source, features=[agg.sum("x", over="1h"), agg.count(over="1h")])
    encoding = Encoding("e", features=[encode.standard("w:x_sum_1h", default=0.0), encode.one_hot("w:count_1h")])
    events = {"c": [{"user_id": 1, "ts": START, "x": 2.0}, {"user_id": 1, "ts": START, "x": 3.0}]}
    times = {"user_id": [1, 1, 2], "t": [START, START + timedelta(hours=9), START]}
    artefact = fit(encoding, events, times, views=[view])
    found = evaluate([encoding, view], events, times, artefacts=[artefact]).to_dict()
    assert found["e:x_sum_1h_standard"] == [0.0, 0.0, 0.0]
    assert found["e:count_1h_one_hot"] == [[0, 1], [1, 0], [1, 0]]
