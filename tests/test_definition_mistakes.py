"""Every mistake in a definition is found, with its name, its place and the legal values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.checks import structural_mistakes
from schemas.entity import Entity
from schemas.errors import Mistake
from schemas.feature import Aggregation, Latest, agg
from schemas.feature_view import AliasedView, FeatureView
from schemas.on_demand import OnDemand
from schemas.registry import Registry
from schemas.service import FeatureService
from schemas.source import Source

PREAMBLE = """
from functools import partial

from schemas.entity import Entity
from schemas.feature import agg, latest
from schemas.feature_view import FeatureView
from schemas.on_demand import on_demand
from schemas.service import FeatureService
from schemas.source import Source

FIELDS = {"user_id": "int64", "ts": "timestamp(ms)", "price": "float64", "kind": "string", "items": "list<string>"}
UNION = '{"type": "record", "name": "r", "fields": [{"name": "x", "type": ["int", "string"]}]}'
user = Entity("user", keys={"user_id": "int64"})
buys = Source("buys", fields=FIELDS, event_time="ts", files="buys/*.parquet")
sells = Source("sells", fields={"user_id": "int64", "at": "timestamp"}, event_time="at", topic="sells")


def tripled(df):
    return df


def rated(rate):
    def f(df):
        return df * rate

    return f


view = partial(FeatureView, entity=user, source=buys)
card = FeatureView("card", entity=user, source=buys, features=["kind", agg.count(over="24h")])
"""


@dataclass(frozen=True)
class Case:
    """A definitions file with one mistake, made at the line that ends in `# here`.

    Attributes:
        body: text after the preamble.
        name: that the mistake must carry.
        told: parts that its message must have.
    """

    id: str
    body: str
    name: str
    told: tuple[str, ...]


def case(id: str, body: str, name: str, *told: str) -> Case:
    return Case(id, body, name, told)


def feature(id: str, text: str, *told: str, operation: str | None = None) -> Case:
    """One aggregate feature of a view, with one mistake."""
    name = operation or text.partition("(")[0].removeprefix("agg.")
    body = f"v = FeatureView('v', entity=user, source=buys, features=[\n    {text},  # here\n])"
    return Case(id, body, f"v: agg.{name}", told)


NAMES = [
    case("view_name", "v = view('2cards', features=['kind'])  # here", "2cards", "'2cards'", "a letter, then up to 63"),
    case("entity_dash", "e = Entity('a-b', keys={'k': 'int64'})  # here", "a-b", "'a-b'", "digits or _"),
    case("long", f"e = Entity('{'e' * 65}', keys={{'k': 'int64'}})  # here", "e" * 65, "65 characters", "up to 63"),
    case("reserved", "e = Entity('now', keys={'k': 'int64'})  # here", "now", "'now' is reserved"),
    case("underscore", "e = Entity('_user', keys={'k': 'int64'})  # here", "_user", "begins with _, which is reserved"),
    case("no_text", "e = Entity(3, keys={'k': 'int64'})  # here", "3", "a name is text, not 3"),
    case("twins", "e = Entity('User', keys={'k': 'int64'})  # here", "User", "another entity at features.py", "'user'"),
    case(
        "same_source", "s = Source('buys', fields=FIELDS, event_time='ts', topic='t')  # here", "buys", "another source"
    ),
    case(
        "feature_twins",
        "v = view('v', features=['kind', latest('price', name='KIND')])  # here",
        "v",
        "'KIND'",
        "name=",
    ),
    case(
        "derived_twin", "v = view('v', features=['kind'], derive={'kind': '1'})  # here", "v", "two features", "'kind'"
    ),
    case(
        "view_and_function",
        "@on_demand(returns={'x': 'float64'})  # here\ndef card(df):\n    return df\n\n\n"
        "v = view('card', features=['kind'])",
        "card",
        "another feature view, on-demand function or encoding",
    ),
    case(
        "columns_meet",
        "a = view('a', features=[latest('kind', name='b__c')])\n"
        "b = view('a__b', features=[latest('kind', name='c')])  # here",
        "a__b",
        "'a__b__c'",
        "a:b__c",
    ),
    case(
        "people", "e = Entity('e', keys={'k': 'int64'}, description=5)  # here", "e", "description must be text, not 5"
    ),
    case(
        "tags",
        "v = view('v', features=['kind'], tags={'tier': 1})  # here",
        "v",
        "tags must be text to text",
        "'tier': 1",
    ),
    case("owner", "v = view('v', features=['kind'], owner=['a'])  # here", "v", "owner must be text"),
]

ENTITIES = [
    case("no_keys", "e = Entity('e', keys={})  # here", "e", "keys must name at least one"),
    case("keys_list", "e = Entity('e', keys=['k'])  # here", "e", "key must be a dict", "['k']"),
    case(
        "key_type", "e = Entity('e', keys={'k': 'int65'})  # here", "e", "unknown type 'int65'", "Did you mean 'int64'?"
    ),
    *(
        case(
            f"key_{kind.partition('<')[0]}",
            f"e = Entity('e', keys={{'k': '{kind}'}})  # here",
            "e",
            kind,
            "cannot be a key",
        )
        for kind in ("float64", "list<string>", "map<string,int64>", "struct<a:int64>", "decimal(5,2)")
    ),
    case("key_uint64", "e = Entity('e', keys={'k': 'uint64'})  # here", "e", "uint64 does not fit", "use int64"),
    case(
        "computed_no_key",
        "e = Entity('e', keys={'cell': 'string'}, key_from={'sell': 'x'}, inputs={'x': 'int64'})  # here",
        "e",
        "'sell', which is no key",
        "Did you mean 'cell'?",
    ),
    case(
        "no_inputs",
        "e = Entity('e', keys={'cell': 'string'}, key_from={'cell': 'x'})  # here",
        "e",
        "key_from needs inputs=",
    ),
    case(
        "needless_inputs", "e = Entity('e', keys={'k': 'int64'}, inputs={'x': 'int64'})  # here", "e", "add key_from="
    ),
    case(
        "input_is_key",
        "e = Entity('e', keys={'k': 'int64'}, key_from={'k': 'k'}, inputs={'k': 'int64'})  # here",
        "e",
        "input 'k' has the name of a key",
    ),
    case(
        "key_from_number",
        "e = Entity('e', keys={'k': 'int64'}, key_from={'k': 3}, inputs={'x': 'int64'})  # here",
        "e",
        "key_from 'k' must be the text of a row-local SQL expression",
    ),
]

SOURCES = [
    case(
        "field_type",
        "s = Source('s', fields={'t': 'timestamp', 'x': 'flot64'}, event_time='t', topic='s')  # here",
        "s",
        "field 'x'",
        "'flot64'",
        "Did you mean 'float64'?",
    ),
    case(
        "field_ours",
        "s = Source('s', fields={'t': 'timestamp', '_x': 'int64'}, event_time='t', topic='s')  # here",
        "s",
        "'_x' begins with _",
    ),
    case(
        "field_case",
        "s = Source('s', fields={'t': 'timestamp', 'T': 'int64'}, event_time='t', topic='s')  # here",
        "s",
        "'T' is there twice",
        "'t'",
    ),
    case(
        "no_event_time",
        "s = Source('s', fields={'at': 'timestamp(s)', 'x': 'int64'}, topic='s')  # here",
        "s",
        "event_time= is missing",
        "timestamp fields are at",
    ),
    case(
        "unknown_event_time",
        "s = Source('s', fields={'time': 'timestamp'}, event_time='tiem', topic='s')  # here",
        "s",
        "'tiem'",
        "Did you mean 'time'?",
    ),
    case(
        "event_time_kind",
        "s = Source('s', fields={'t': 'int64'}, event_time='t', topic='s')  # here",
        "s",
        "'t' is no timestamp but int64",
        "timestamp(s|ms|us)",
    ),
    case(
        "arrival_kind",
        "s = Source('s', fields=FIELDS, event_time='ts', arrival_time='kind', topic='s')  # here",
        "s",
        "arrival_time 'kind' is no timestamp but string",
    ),
    case(
        "sequence_kind",
        "s = Source('s', fields={'t': 'timestamp', 'v': 'float64'}, event_time='t', sequence='v', topic='s')  # here",
        "s",
        "sequence 'v' is of type double",
        "integers, timestamps and dates",
    ),
    case(
        "sequence_unknown",
        "s = Source('s', fields=FIELDS, event_time='ts', sequence='version', topic='s')  # here",
        "s",
        "unknown field in sequence 'version'",
        "user_id, ts, price",
    ),
    case(
        "no_cutover",
        "s = Source('s', fields=FIELDS, event_time='ts', files='a.csv', topic='s')  # here",
        "s",
        "no cutover",
        'cutover="2026-12-01T00:00:00Z"',
    ),
    case(
        "naive_cutover",
        "s = Source('s', fields=FIELDS, event_time='ts', files='a.csv', topic='s', cutover='2026-12-01')  # here",
        "s",
        "'2026-12-01' has no zone",
        "2026-12-01T00:00:00Z",
    ),
    case(
        "bad_cutover",
        "s = Source('s', fields=FIELDS, event_time='ts', files='a.csv', topic='s', cutover='May')  # here",
        "s",
        "cutover 'May' is no instant",
        "2026-12-01T00:00:00Z",
    ),
    case(
        "needless_cutover",
        "s = Source('s', fields=FIELDS, event_time='ts', topic='s', cutover='2026-12-01T00:00:00Z')  # here",
        "s",
        "legal with both alone",
    ),
    case(
        "encoding",
        "s = Source('s', fields=FIELDS, event_time='ts', topic='s', encoding='jsn')  # here",
        "s",
        "unknown encoding 'jsn'",
        "Did you mean 'json'?",
        "avro, json, confluent",
    ),
    case(
        "suffix",
        "s = Source('s', fields=FIELDS, event_time='ts', files='a/*.orc')  # here",
        "s",
        "'a/*.orc'",
        ".parquet, .avro, .csv, .jsonl",
    ),
    case(
        "no_logs", "s = Source('s', fields=FIELDS, event_time='ts')  # here", "s", "neither files nor a topic", "topic="
    ),
    case(
        "topic_name",
        "s = Source('s', fields=FIELDS, event_time='ts', topic='a b')  # here",
        "s",
        "'a b'",
        "letters, digits",
    ),
    case(
        "two_schemas",
        "s = Source('s', fields=FIELDS, avro='x.avsc', event_time='ts', topic='s')  # here",
        "s",
        "both fields= and avro=",
        "one of them",
    ),
    case("no_schema", "s = Source('s', event_time='ts', topic='s')  # here", "s", "not what an event holds", "fields="),
    case(
        "no_avro_file",
        "s = Source('s', avro='x.avsc', event_time='ts', topic='s')  # here",
        "s",
        "cannot read the Avro schema",
        "x.avsc",
        "No such file",
    ),
    case(
        "avro_union",
        """s = Source('s', topic='s', event_time='t', avro=UNION)  # here""",
        "s",
        "x is a union of int, string",
        "a union of null and one type",
    ),
    case(
        "deleted",
        "s = Source('s', fields=FIELDS, event_time='ts', topic='s', deleted=True)  # here",
        "s",
        "deleted must be the text of a row-local SQL",
    ),
]

VIEWS = [
    case(
        "entity",
        "v = FeatureView('v', entity='user', source=buys, features=['kind'])  # here",
        "v",
        "entity must be an Entity",
        "'user'",
    ),
    case(
        "source",
        "v = FeatureView('v', entity=user, source='buys', features=['kind'])  # here",
        "v",
        "source must be a Source",
        "'buys'",
    ),
    case(
        "source_twice",
        "v = view('v', features=['kind'], source=[buys, buys])  # here",
        "v",
        "source 'buys' is there twice",
    ),
    case(
        "key_column",
        "v = FeatureView('v', entity=Entity('u', keys={'usr_id': 'int64'}), source=buys, features=['kind'])  # here",
        "v",
        "'usr_id' of entity 'u'",
        "Did you mean 'user_id'?",
        "select=",
    ),
    case(
        "column",
        "v = view('v', features=['knd'])  # here",
        "v",
        "unknown column 'knd' of source 'buys'",
        "Did you mean 'kind'?",
    ),
    case(
        "second_source",
        "v = view('v', features=['kind'], source=[buys, sells])  # here",
        "v",
        "'kind' of source 'sells'",
        "user_id, at",
    ),
    case(
        "explode",
        "v = view('v', features=['kind'], explode='itms')  # here",
        "v",
        "explode: unknown column 'itms'",
        "'items'",
    ),
    case(
        "select",
        "v = view('v', features=['kind'], select={'x': ''})  # here",
        "v",
        "select 'x' must be the text of a row-local SQL",
    ),
    case("select_name", "v = view('v', features=['kind'], select={'now': '1'})  # here", "v", "'now' is reserved"),
    case(
        "select_case",
        "v = view('v', features=['kind'], select={'Price': 'price'})  # here",
        "v",
        "'Price' differs from 'price' by case",
    ),
    case("where", "v = view('v', features=['kind'], where=True)  # here", "v", "where must be the text", "not True"),
    case(
        "lambda",
        "v = view('v', features=['kind'], transform=lambda df: df)  # here",
        "v",
        "a lambda has no name",
        "made by def",
    ),
    case(
        "closure",
        "v = view('v', features=['kind'], transform=rated(2))  # here",
        "v",
        "f is a closure over rate",
        "made by def",
    ),
    case(
        "no_function",
        "v = view('v', features=['kind'], transform='tripled')  # here",
        "v",
        "'tripled' is no plain function",
    ),
    case("returns", "v = view('v', features=['kind'], returns={'x': 'int64'})  # here", "v", "add transform="),
    case(
        "returns_type",
        "v = view('v', features=['kind'], transform=tripled, returns={'x': 'itn64'})  # here",
        "v",
        "returns 'x'",
        "'int64'",
    ),
    case(
        "ties", "v = view('v', features=['kind'], ties='newest')  # here", "v", "unknown ties 'newest'", "last, first"
    ),
    case(
        "ttl", "v = view('v', features=['kind'], ttl='1 day')  # here", "v", "ttl: '1 day' is no duration", "24h or 7d"
    ),
    case("late", "v = view('v', features=['kind'], late='soon')  # here", "v", "late: 'soon' is no duration"),
    case(
        "needless_ttl",
        "v = view('v', features=[agg.count(over='1h')], ttl='1d')  # here",
        "v",
        "ttl limits the age of latest features",
        "over=",
    ),
    case("no_features", "v = view('v', features=[])  # here", "v", "features must be a list with something in it"),
    case(
        "features_text",
        "v = FeatureView('v', entity=user, source=buys, features='kind')  # here",
        "v",
        "features must be a list",
        "'kind'",
    ),
    case("odd_feature", "v = view('v', features=[3])  # here", "v", "not 3", "latest(...)"),
    case(
        "derive",
        "v = view('v', features=['kind'], derive={'trend': None})  # here",
        "v",
        "derive 'trend' must be the text",
    ),
]

FEATURES = [
    feature("duration", "agg.count(over='1 hour')", "over: '1 hour' is no duration", "500ms, 24h or 7d"),
    feature("number", "agg.count(over=3600)", "over: 3600 is no duration"),
    feature("zero", "agg.count(over='0h')", "'0h' is no duration", "above 0"),
    feature("no_windows", "agg.count(over=[])", "over: '' is no duration"),
    feature("offset", "agg.count(offset='1h')", "offset moves a window, and there is none"),
    feature("bad_offset", "agg.count(over='1h', offset='x')", "offset: 'x' is no duration"),
    feature("hop_alone", "agg.count(hop='1h')", "hop is the step of a window, and there is none"),
    feature("hop_above", "agg.count(over='1h', hop='2h')", "hop 2h is longer than the window 1h", "at most 1h"),
    feature("hop_part", "agg.count(over='1h', hop='7m')", "hop 7m does not divide the window 1h"),
    feature("tiles", "agg.count(over='7d', hop='1m')", "10,080 tiles of 1m", "at most 400"),
    feature("short", "agg.count(over='500us')", "hop 1ms is longer than the window 500us", "the least is 1ms"),
    feature("k", "agg.last_k('price', k=1001)", "k is 1001", "from 1 to 1,000"),
    feature("k_text", "agg.top_k('price', k='5')", "k is '5'", "a whole number from 1 to 1,000"),
    feature("histogram_k", "agg.histogram('kind', k=0)", "k is 0"),
    feature("q", "agg.approx_percentile('price', q=99)", "q is 99", "from 0 to 1"),
    feature("qs", "agg.approx_percentile('price', q=[0.5, float('nan')])", "q is (0.5, nan)", "q=[0.5, 0.99]"),
    feature("no_qs", "agg.approx_percentile('price', q=[])", "q is ()", "from 0 to 1"),
    feature("error", "agg.approx_percentile('price', q=0.5, error=2)", "error is 2", "from 0.001 to 0.5"),
    feature("p", "agg.approx_count_distinct('kind', p=3)", "p is 3", "from 4 to 16"),
    feature("ddof", "agg.variance('price', ddof=2)", "ddof is 2", "1 (of a sample) and 0"),
    feature("limit", "agg.unique_count('kind', limit=0)", "limit is 0", "at least 1"),
    feature("needless_limit", "agg.sum('price', limit=5)", "limit is legal on unique_count, histogram and with by="),
    feature("where_alone", "agg.count(where='price > 5')", "where= requires name="),
    feature("where_text", "agg.count(where=5, name='x')", "where must be the text"),
    feature("window", "agg.count(over=['1h', '2h'], name='x')", "'x' for 2 windows", "x_{window}"),
    feature("no_window", "agg.count(name='x_{window}')", "and there is no window: add over="),
    feature("name", "agg.count(name='a b')", "'a b'", "a letter, then"),
    feature("no_column", "agg.sum(None)", "needs a column", 'agg.sum("price")'),
    feature("columns", "agg.sum(['price', 'kind'])", "takes one column, not 2", "first_k, last_k"),
    feature("column_twice", "agg.last(['price', 'price'])", "column 'price' is there twice"),
    feature("keep_null", "agg.last('price', keep_null='yes')", "keep_null is 'yes'", "True and False"),
    feature("by", "agg.count(by='')", "by must be text that is not blank"),
    feature("long_name", f"agg.last_k({[c * 30 for c in 'abc']}, k=2)", "no legal name", "up to 63"),
    case(
        "by_column",
        "v = view('v', features=[\n    agg.count(by='knd'),  # here\n])",
        "v",
        "by: unknown column 'knd'",
        "'kind'",
    ),
    case(
        "agg_column",
        "v = view('v', features=[\n    agg.sum('prise'),  # here\n])",
        "v",
        "agg.sum: unknown column 'prise'",
        "'price'",
    ),
    case(
        "same_window",
        "v = view('v', features=[agg.count(over='1h'),\n    agg.count(over='1h'),  # here\n])",
        "v",
        "'count_1h'",
        "name=",
    ),
    case(
        "latest_column",
        "v = view('v', features=[\n    latest(3),  # here\n])",
        "v: 3",
        "the column of a latest feature must be text",
    ),
    case(
        "latest_name",
        "v = view('v', features=[\n    latest('kind', name='_k'),  # here\n])",
        "v: kind",
        "'_k' begins with _",
    ),
]

REFERENCES = [
    case(
        "service_view",
        "s = FeatureService('s', features=['crd:kind'])  # here",
        "s",
        "unknown view",
        "'crd'",
        "Did you mean 'card'?",
    ),
    case(
        "service_feature",
        "s = FeatureService('s', features=['card:knd'])  # here",
        "s",
        "card has no feature 'knd'",
        "'kind'",
        "kind, count_24h",
    ),
    case(
        "service_address",
        "s = FeatureService('s', features=['card'])  # here",
        "s",
        "'card' is no address",
        "view:feature",
    ),
    case(
        "service_twice",
        "s = FeatureService('s', features=[card, 'card:kind'])  # here",
        "s",
        "'card:kind' is asked for twice",
    ),
    case(
        "service_empty", "s = FeatureService('s', features=[])  # here", "s", "features must be a list with something"
    ),
    case("service_item", "s = FeatureService('s', features=[user])  # here", "s", "features are views, roles"),
    case("strict", "s = FeatureService('s', features=[card], strict=1)  # here", "s", "strict is 1", "True and False"),
    case(
        "alias_key",
        "a = card.alias('seller', usr_id='seller_id')  # here",
        "card.alias('seller')",
        "'usr_id'",
        "Did you mean 'user_id'?",
    ),
    case(
        "alias_column",
        "a = card.alias('seller', user_id=3)  # here",
        "card.alias('seller')",
        "the column of key 'user_id' must be text",
    ),
    case("alias_nothing", "a = card.alias('seller')  # here", "card.alias('seller')", "one or more of user_id"),
    case("role_taken", "a = card.alias('Card', user_id='x')  # here", "Card", "the role is taken at features.py"),
    case(
        "two_roles",
        "a = card.alias('r', user_id='x')\nb = card.alias('r', user_id='y')  # here",
        "r",
        "the role is taken at",
    ),
    case("role_name", "a = card.alias('_r', user_id='x')  # here", "card.alias('_r')", "begins with _"),
    case(
        "input",
        "@on_demand(inputs=['card:cnt'], returns={'x': 'float64'})  # here\ndef f(df):\n    return df",
        "f",
        "card has no feature 'cnt'",
        "count_24h",
    ),
    case(
        "input_now",
        "@on_demand(inputs=['now'], returns={'x': 'float64'})  # here\ndef f(df):\n    return df",
        "f",
        "leave it out",
    ),
    case(
        "inputs_text",
        "@on_demand(inputs='card:kind', returns={'x': 'float64'})  # here\ndef f(df):\n    return df",
        "f",
        "inputs must be a list",
    ),
    case(
        "input_twice",
        "@on_demand(inputs=['card:kind', 'card:kind'], returns={'x': 'float64'})  # here\ndef f(df):\n    return df",
        "f",
        "'card:kind' is there twice",
    ),
    case(
        "request",
        "@on_demand(request={'amount': 'float'}, returns={'x': 'float64'})  # here\ndef f(df):\n    return df",
        "f",
        "request column 'amount'",
        "'float'",
        "Did you mean 'float",
    ),
    case(
        "request_now",
        "@on_demand(request={'now': 'timestamp'}, returns={'x': 'float64'})  # here\ndef f(df):\n    return df",
        "f",
        "'now' is reserved",
    ),
    case(
        "no_returns",
        "@on_demand(returns={})  # here\ndef f(df):\n    return df",
        "f",
        "returns must name at least one feature",
    ),
    case(
        "arguments",
        "@on_demand(returns={'x': 'float64'})  # here\ndef f(a, b):\n    return a",
        "f",
        "must take one argument",
    ),
    case(
        "lambda_function",
        "f = on_demand(returns={'x': 'float64'})(lambda df: df)  # here",
        "<lambda>",
        "a lambda has no name",
    ),
]

CALLS = [
    case(
        "keyword",
        "v = FeatureView('v', entity=user, sorce=buys, features=[])  # here",
        "v",
        "no parameter 'sorce'",
        "Did you mean 'source'?",
    ),
    case(
        "agg_keyword",
        "v = FeatureView('v', entity=user, source=buys, features=[\n    agg.count(ovr='1h'),  # here\n])",
        "v",
        "agg.count has no parameter 'ovr'",
        "Did you mean 'over'?",
        "offset, hop",
    ),
    case(
        "operation",
        "v = view('v', features=[\n    agg.avg('price')])  # here",
        "v",
        "agg has no operation 'avg'",
        "mean, min, max",
    ),
    case(
        "missing",
        "v = FeatureView('v', source=buys, features=['kind'])  # here",
        "v",
        "missing",
        "'entity'",
        "Its parameters are name, entity",
    ),
    case("positional", "e = Entity('e', {'k': 'int64'})  # here", "e", "2 positional arguments but 3", "name, keys"),
    case(
        "undefined",
        "v = FeatureView('v', entity=usr, source=buys, features=['kind'])  # here",
        "v",
        "'usr' is not defined",
        "Did you mean 'user'?",
    ),
    case(
        "import",
        "from schemas.entity import Entiti  # here",
        "Entiti",
        "no name 'Entiti' to import",
        "Did you mean 'Entity'?",
    ),
    case("exception", "x = 1 / 0  # here", "x", "ZeroDivisionError: division by zero"),
    case("exit", "raise SystemExit(3)  # here", "features", "SystemExit: 3"),
    case("syntax", "x = (  # here", "features", "cannot be read as Python", "was never closed"),
]

CASES = [*NAMES, *ENTITIES, *SOURCES, *VIEWS, *FEATURES, *REFERENCES, *CALLS]


def load(folder: Path, text: str) -> Registry:
    file = folder / "features.py"
    file.write_text(text)
    return Registry.load(file)


def test_the_preamble_has_no_mistake(tmp_path: Path) -> None:
    assert load(tmp_path, PREAMBLE).mistakes == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_mistake_is_told_with_its_name_place_and_legal_values(case: Case, tmp_path: Path) -> None:
    text = PREAMBLE + "\n\n" + case.body + "\n"
    line = next(number for number, row in enumerate(text.splitlines(), 1) if row.endswith("# here"))
    mistakes = load(tmp_path, text).mistakes
    found = [item for item in mistakes if (item.place, item.name) == (f"features.py:{line}", case.name)]
    assert any(all(part in item.message for part in case.told) for item in found), list(map(str, mistakes))


def test_there_are_many_kinds_of_mistake() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert len(CASES) >= 100


def test_all_mistakes_are_told_at_once_and_in_order(tmp_path: Path) -> None:
    text = PREAMBLE + "\n".join(
        [
            "a = Entity('_a', keys={'k': 'flot'})",
            "b = FeatureView('b', entity=user, sorce=buys, features=[])",
            "c = view('c', features=[agg.count(over='x'), 'knd'])",
        ]
    )
    mistakes = load(tmp_path, text).mistakes
    lines = [int(item.place.rpartition(":")[2]) for item in mistakes]
    assert lines == sorted(lines)
    assert [item.name for item in mistakes] == ["_a", "_a", "b", "c", "c: agg.count"]


def test_all_mistakes_of_a_source_are_told_though_a_type_is_wrong() -> None:
    source = Source("s", fields={"t": "timestmp", "a": "string", "v": "float64"}, event_time="t", arrival_time="a",
                    sequence="v", files="x.orc", encoding="xml")  # fmt: skip
    told = " ".join(mistake.message for mistake in Registry.of([source]).mistakes)
    for part in ("'timestmp'", "arrival_time 'a'", "sequence 'v'", "'x.orc'", "'xml'"):
        assert part in told
    assert "event_time" not in told


def test_a_statement_that_fails_does_not_echo(tmp_path: Path) -> None:
    text = PREAMBLE + "\n".join(
        [
            "things = Source('things', feilds=FIELDS, event_time='ts', topic='t')",
            "v = FeatureView('v', entity=user, source=things, features=['kind'])",
            "w = v.alias('w', user_id='x')",
            "s = FeatureService('s', features=[v, 'v:kind'])",
            "t = FeatureService('t', features=['v:kind'])",
        ]
    )
    assert [item.name for item in load(tmp_path, text).mistakes] == ["things"]


def test_each_mistake_of_a_feature_is_told_once_for_all_its_windows() -> None:
    buys = Source("buys", fields={"k": "int64", "t": "timestamp"}, event_time="t", topic="buys")
    entity = Entity("e", keys={"k": "int64"})
    view = FeatureView("v", entity=entity, source=buys, features=[agg.sum("x", over=["1h", "2h", "3h"])])
    assert len(Registry.of([view]).mistakes) == 1


def test_what_is_no_definition_is_a_mistake() -> None:
    (mistake,) = Registry.of(["card"]).mistakes
    assert mistake.name == "'card'"
    assert "FeatureView" in mistake.message


JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
def test_values_of_any_kind_are_mistakes_and_never_exceptions(data: st.DataObject) -> None:
    def junk(**right: Any) -> dict[str, Any]:
        """Parameters, some of them replaced by anything."""
        return {name: data.draw(st.just(value) | JUNK, label=name) for name, value in right.items()}

    keys = {"k": "int64"}
    entity = Entity(**junk(name="e", keys=keys, key_from={}, inputs={}, description=""))
    source = Source(
        **junk(name="s", fields={"k": "int64", "t": "timestamp"}, avro=None, event_time="t", files=None, topic="s"),
        **junk(cutover=None, encoding="avro", arrival_time=None, sequence=None, deleted=None, description=""),
    )
    total = agg.sum(
        **junk(column="k", over="1h", offset=None, hop=None, by=None, where=None, limit=None, name=None, description="")
    )
    ranked = agg.approx_percentile("k", **junk(q=0.5, error=0.01))
    view = FeatureView(
        **junk(name="v", entity=entity, source=source, where=None, select={}, transform=None, returns={}, explode=None),
        **junk(features=[total, ranked, Latest(**junk(column="k", name="x"))], derive={}, ttl=None, late=None),
        **junk(ties="last", owner="", tags={}, description=""),
    )
    alias = AliasedView(view, data.draw(st.just("r") | JUNK), {"k": data.draw(st.just("x") | JUNK)})
    function = OnDemand(**junk(name="f", function=None, inputs=["v:x"], request={}, returns={"y": "int64"}))
    service = FeatureService(**junk(name="s", features=[view, alias, function, "v:x"], strict=False))
    registry = Registry.of([entity, source, view, alias, function, service])
    assert all(isinstance(item, Mistake) and item.message for item in registry.mistakes)


def test_an_operation_of_no_name_is_a_mistake() -> None:
    buys = Source("buys", fields={"k": "int64", "t": "timestamp"}, event_time="t", topic="buys")
    view = FeatureView(
        "v", entity=Entity("e", keys={"k": "int64"}), source=buys, features=[Aggregation("summ", ("k",))]
    )
    (mistake,) = structural_mistakes(Registry.of([view]))
    assert "unknown operation 'summ'. Did you mean 'sum'?" in mistake.message
