"""Plans say what a changed definition would do to the stored state, before it is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import DefinitionChanged, RequestError, StoreError
from schemas.registry import Registry
from serving.deployment import Deployment
from serving.plan import Plan, PlannedView, apply, plan
from serving.stores.offline import OfflineStore
from transforms.catalog import Catalog

NOW = 1_790_000_000_000_001
DEFINITIONS = """
from twinbeam import Entity, Source, FeatureView, FeatureService, agg, latest, on_demand

user = Entity("user", keys={"user_id": "int64"}, description="A customer")
purchases = Source(
    "purchases",
    fields={"user_id": "int64", "ts": "timestamp(ms)", "price": "float64", "kind": "string", "country": "string"},
    event_time="ts",
    topic="purchases",
)
profiles = Source(
    "profiles",
    fields={"user_id": "int64", "ts": "timestamp(ms)", "score": "float64", "country": "string"},
    event_time="ts",
    topic="profiles",
)
RATE = 0.92


def euros(df):
    return df.with_columns(fixed=df["price"] * RATE)


user_purchases = FeatureView(
    "user_purchases",
    entity=user,
    source=purchases,
    where="kind = 'card'",
    transform=euros,
    returns={"fixed": "float64"},
    select={"price_eur": "price * 0.92"},
    features=[
        agg.sum("price_eur", over=["1h", "24h"]),
        agg.count(over="24h"),
        agg.count(over="24h", where="price > 500", name="big"),
        "country",
    ],
    derive={"mean": "price_eur_sum_24h / NULLIF(count_24h, 0)"},
    ttl="30d",
)
user_profile = FeatureView("user_profile", entity=user, source=profiles, features=["country", latest("score")])
seller = user_profile.alias("seller", user_id="seller_id")
fraud = FeatureService("fraud", features=[user_purchases, seller])
plain = FeatureService("plain", features=["user_profile:country"])


@on_demand(inputs=["user_purchases:count_24h"], request={"amount": "float64"}, returns={"burst": "float64"})
def burst(df):
    return df.select(burst=df["amount"] * df["user_purchases__count_24h"])
"""
COUNTS = {"events/purchases": 1000, "events/profiles": 70}

Change = tuple[str, str]


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[..., Catalog]:
    """Compiles the definitions after replacing texts in them."""
    made = iter(range(100))

    def compile_changed(*changes: Change) -> Catalog:
        text = DEFINITIONS
        for old, new in changes:
            assert text.count(old) >= 1, old
            text = text.replace(old, new)
        folder = tmp_path / str(next(made))
        folder.mkdir()
        (folder / "features.py").write_text(text)
        return Catalog.compile(Registry.load(folder / "features.py"))

    return compile_changed


def stored(table: str) -> int:
    return 400 if table.startswith("rows/") else COUNTS[table]


def first(catalog: Catalog) -> Deployment:
    return apply(plan(catalog, Deployment(), stored), None, NOW, "anna")


def only(found: Plan) -> PlannedView:
    (row,) = found.views
    return row


def test_everything_is_new_at_first(compiled: Callable[..., Catalog]) -> None:
    found = plan(compiled(), Deployment(), stored)
    assert [(row.view, row.change, row.state, row.backfill) for row in found.views] == [
        ("user_purchases", "added", "new", 1000),
        ("user_profile", "added", "new", 70),
    ]
    assert [row.services for row in found.views] == [("fraud",), ("fraud", "plain")]
    assert found.changes
    assert found.exit_code == 2
    assert found.discards == ()


def test_nothing_is_to_be_done_after_it_was_applied(compiled: Callable[..., Catalog]) -> None:
    found = plan(compiled(), first(compiled()), stored)
    assert (found.changes, found.exit_code, found.views) == (False, 0, ())
    assert "Nothing to apply" in found.to_text()
    assert json.loads(found.to_json()) == {"changes": False, "views": []}


@pytest.mark.parametrize(
    "change",
    [
        ('description="A customer"', 'description="Somebody"'),
        ('    ttl="30d",\n', '    ttl="720h", owner="me", tags={"tier": "1"}, description="x",\n'),
        ('"price * 0.92"', '"price*0.92 -- to euros"'),
        ('topic="purchases"', 'topic="purchases-v2"'),
        ("    return df.with_columns(", "    # a comment\n    return df.with_columns("),
        ('over=["1h", "24h"]', 'over=["1h", "24h"], description="spent"'),
    ],
)
def test_looks_names_and_places_change_nothing(compiled: Callable[..., Catalog], change: Change) -> None:
    assert plan(compiled(change), first(compiled()), stored).views == ()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (('"price * 0.92"', '"price * 0.93"'), "select price_eur changed: price * 0.92 -> price * 0.93"),
        (("kind = 'card'", "kind = 'cash'"), "where changed: kind = 'card' -> kind = 'cash'"),
        (("    where=\"kind = 'card'\",\n", ""), "where removed"),
        (("RATE = 0.92", "RATE = 0.93"), "transform changed"),
        (('select={"price_eur"', 'select={"user_id": "user_id + 1", "price_eur"'), "select user_id added: user_id + 1"),
    ],
)
def test_changed_row_rules_make_new_state(compiled: Callable[..., Catalog], change: Change, cause: str) -> None:
    deployment = first(compiled())
    found = plan(compiled(change), deployment, stored)
    row = only(found)
    assert (row.view, row.change, row.state, row.backfill) == ("user_purchases", "changed", "new", 1000)
    assert row.causes[0] == cause
    assert row.services == ("fraud",)
    assert found.discards == ("user_purchases",)
    with pytest.raises(RequestError, match=r"user_purchases: applying this gives up stored state.*--accept state"):
        apply(found, None, NOW, "anna")
    after = apply(found, "state", NOW, "anna")
    old = {block.id for block in deployment.blocks["user_purchases"]}
    assert not old & {block.id for block in after.blocks["user_purchases"]}
    assert old <= after.retired
    assert after.blocks["user_profile"] == deployment.blocks["user_profile"]


def test_a_changed_source_is_named(compiled: Callable[..., Catalog]) -> None:
    change = ('topic="profiles",\n', 'topic="profiles",\n    sequence="score",\n    deleted="score < 0",\n')
    change = (change[0], change[1].replace('sequence="score"', 'arrival_time="ts"'))
    row = only(plan(compiled(change), first(compiled()), stored))
    assert row.causes == ("source profiles arrival_time added: ts", "source profiles deleted added: score < 0")
    assert (row.state, row.services) == ("new", ("fraud", "plain"))


def test_a_window_beside_others_keeps_the_state(compiled: Callable[..., Catalog]) -> None:
    catalog = compiled(('over=["1h", "24h"]', 'over=["1h", "24h", "20h"]'))
    deployment = first(compiled())
    found = plan(catalog, deployment, stored)
    assert only(found).causes == ("window added: price_eur_sum_20h (state kept)",)
    assert (only(found).state, only(found).backfill, only(found).services) == ("kept", 0, ("fraud",))
    assert apply(found, None, NOW, "anna").blocks == deployment.blocks


def test_a_feature_is_filled_into_a_block_of_its_own(compiled: Callable[..., Catalog]) -> None:
    deployment = first(compiled())
    found = plan(
        compiled(('        "country",\n', '        "country",\n        agg.max("price", over="24h"),\n')),
        deployment,
        stored,
    )
    row = only(found)
    assert row.causes == ("feature added: price_max_24h",)
    assert (row.state, row.backfill) == ("new block", 400)
    after = apply(found, None, NOW, "anna").blocks["user_purchases"]
    assert after[:-1] == deployment.blocks["user_purchases"]
    assert [state.operation for state in after[-1].states] == ["max"]


def test_features_renamed_changed_derived_and_removed_are_told_apart(compiled: Callable[..., Catalog]) -> None:
    changes = (
        ('name="big"', 'name="large"'),
        ("NULLIF(count_24h, 0)", "NULLIF(count_24h, 1)"),
        ('ttl="30d"', 'ttl="31d"'),
        ('        "country",\n', '        latest("country", default="?"),\n'),
        ('derive={"mean"', 'derive={"twice": "count_24h * 2", "mean"'),
        ('over=["1h", "24h"]', 'over=["24h"]'),
    )
    row = only(plan(compiled(*changes), first(compiled()), stored))
    assert row.causes == (
        "ttl changed: 30d -> 31d",
        "feature renamed: big -> large",
        "feature changed: country (default added: '?')",
        "feature added: twice (derived: stored nowhere)",
        "feature changed: mean (derive changed: price_eur_sum_24h / NULLIF ( count_24h , 0 ) -> "
        "price_eur_sum_24h / NULLIF ( count_24h , 1 ))",
        "feature removed: price_eur_sum_1h",
    )
    assert row.state == "kept"
    assert len(row.lost) == 1


def test_a_feature_whose_meaning_changed_is_new(compiled: Callable[..., Catalog]) -> None:
    row = only(plan(compiled(("price > 500", "price > 900")), first(compiled()), stored))
    assert row.causes == ("feature changed: big (where changed: price > 500 -> price > 900)",)
    assert row.state == "new block"


def test_a_removed_view_gives_up_its_state(compiled: Callable[..., Catalog]) -> None:
    start = DEFINITIONS.index("user_profile = FeatureView")
    end = DEFINITIONS.index("fraud = FeatureService")
    gone = (DEFINITIONS[start:end], "")
    catalog = compiled(
        gone, ("user_purchases, seller]", "user_purchases]"), ('"user_profile:country"', '"user_purchases:mean"')
    )
    deployment = first(compiled())
    found = plan(catalog, deployment, stored)
    row = next(row for row in found.views if row.view == "user_profile")
    assert (row.change, row.state, row.causes, row.services) == (
        "removed",
        "discarded",
        ("view removed",),
        ("fraud", "plain"),
    )
    with pytest.raises(RequestError, match="user_profile: applying this gives up stored state"):
        apply(found, None, NOW, "anna")
    after = apply(found, "state", NOW, "anna")
    assert "user_profile" not in after.views


def test_a_block_that_comes_back_gets_an_id_that_no_store_has_seen(compiled: Callable[..., Catalog]) -> None:
    """The stores may still hold its cells and the mark that it has caught up, from before the gap."""
    change = ('"price * 0.92"', '"price * 0.93"')
    deployment = first(compiled())
    seen = {block.id for block in deployment.blocks["user_purchases"]}
    for catalog in (compiled(change), compiled(), compiled(change), compiled()):
        deployment = apply(plan(catalog, deployment, stored), "state", NOW, "anna")
        ids = {block.id for block in deployment.blocks["user_purchases"]}
        assert not ids & seen
        seen |= ids
        assert plan(catalog, deployment, stored).views == ()


def test_an_entity_of_another_name_gets_blocks_of_its_own(compiled: Callable[..., Catalog]) -> None:
    deployment = first(compiled())
    found = plan(compiled(('Entity("user"', 'Entity("customer"')), deployment, stored)
    assert [row.causes for row in found.views] == [("entity changed: user -> customer",)] * 2
    assert [row.state for row in found.views] == ["new", "new"]
    after = apply(found, "state", NOW, "anna")
    assert {block.entity for blocks in after.blocks.values() for block in blocks} == {"customer"}
    assert not {b.id for bs in after.blocks.values() for b in bs} & {
        b.id for bs in deployment.blocks.values() for b in bs
    }


def test_accept_has_one_legal_value(compiled: Callable[..., Catalog]) -> None:
    with pytest.raises(RequestError, match=r"accept='stat': legal is 'state', or nothing. Did you mean 'state'\?"):
        apply(plan(compiled(), Deployment(), stored), "stat", NOW, "anna")


def test_plans_read_well(compiled: Callable[..., Catalog]) -> None:
    changed = compiled(
        ('"price * 0.92"', '"price * 0.93"'), ('        "country",\n', '        "country", agg.min("price"),\n')
    )
    found = plan(changed, first(compiled()), stored)
    text = found.to_text()
    assert "user_purchases: changed, state new" in text
    assert "    select price_eur changed: price * 0.92 -> price * 0.93" in text
    assert "    rows to backfill: 1,000" in text
    assert "    services hit: fraud" in text
    lines = found.to_markdown().splitlines()
    assert lines[0].startswith("| view | change | cause | state | rows to backfill | services |")
    assert lines[2] == (
        "| `user_purchases` | changed | select price_eur changed: price * 0.92 -> price * 0.93<br>"
        "feature added: price_min | new | 1,000 | fraud |"
    )
    value = json.loads(found.to_json())
    assert value["changes"] is True
    assert value["views"][0]["state"] == "new"
    assert value["views"][0]["discards"] is True


def test_the_registry_keeps_every_deployment(compiled: Callable[..., Catalog], tmp_path: Path) -> None:
    offline = OfflineStore(tmp_path / "offline")
    assert Deployment.load(offline) == Deployment()
    assert Deployment.history(offline) == []
    one = first(compiled())
    one.save(offline)
    two = apply(plan(compiled(("price > 500", "price > 900")), one, stored), "state", NOW + 1, "bert")
    two.save(offline)
    assert Deployment.load(offline) == two
    assert Deployment.history(offline) == [one, two]
    assert [(old.version, old.applied_by, old.applied_at) for old in (one, two)] == [
        (1, "anna", NOW),
        (2, "bert", NOW + 1),
    ]
    with pytest.raises(StoreError, match="something else was applied meanwhile; run twinbeam plan again"):
        replace(two, applied_by="carl").save(OfflineStore(tmp_path / "offline"))
    assert Deployment.load(offline).applied_by == "bert"


def test_an_export_stands_for_the_store(compiled: Callable[..., Catalog]) -> None:
    exported = first(compiled()).to_json()
    found = plan(compiled(("price > 500", "price > 900")), Deployment.from_json(exported), None)
    assert (only(found).state, only(found).backfill) == ("new block", None)
    assert "rows to backfill: unknown" in found.to_text()
    for text in ("", "[]", "{}", '{"changes": true, "views": []}'):
        with pytest.raises(StoreError, match="registry: this is no export of a registry"):
            Deployment.from_json(text)
    with pytest.raises(StoreError, match="format 9, this version reads 1"):
        Deployment.from_json('{"format": 9}')


def test_an_upgraded_engine_is_refused_even_behind_another_change(compiled: Callable[..., Catalog]) -> None:
    catalog = compiled()
    deployment = first(catalog)
    deployment.check_engine(catalog)
    view = replace(deployment.views["user_purchases"], probe="0123456789abcdef")
    views = {**deployment.views, "user_purchases": view}
    upgraded = replace(deployment, views=views, engines={**deployment.engines, "polars": "0.1"})
    with pytest.raises(DefinitionChanged, match=r"user_purchases: unchanged, but .* upgraded \(polars 0\.1 -> "):
        upgraded.check_engine(catalog)
    changed = compiled(('over=["1h", "24h"]', 'over=["1h", "24h", "20h"]'))
    after = apply(plan(changed, upgraded, stored), None, NOW, "anna")
    with pytest.raises(DefinitionChanged, match="user_purchases"):
        after.check_engine(changed)
    function = replace(deployment, on_demand={"burst": (deployment.on_demand["burst"][0], "x")})
    with pytest.raises(DefinitionChanged, match="burst: unchanged"):
        apply(plan(changed, function, stored), None, NOW, "anna").check_engine(changed)
    other = compiled(('"price * 0.92"', '"price * 0.93"'))
    apply(plan(other, upgraded, stored), "state", NOW, "anna").check_engine(other)


def test_definitions_that_were_not_applied_are_refused(compiled: Callable[..., Catalog]) -> None:
    deployment = first(compiled())
    deployment.check_applied(compiled())
    deployment.check_applied(compiled(('over=["1h", "24h"]', 'over=["1h", "24h", "20h"]')))
    for change in (("price > 500", "price > 900"), ('"price * 0.92"', '"price * 0.93"'), ('"user"', '"customer"')):
        with pytest.raises(RequestError, match=r"user_purchases.*: not applied as defined now; run twinbeam plan"):
            deployment.check_applied(compiled(change))
    with pytest.raises(RequestError, match="user_purchases, user_profile: not applied"):
        Deployment().check_applied(compiled())
