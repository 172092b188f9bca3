"""Ten thousand damaged values among as many sound ones, for every encoding and every form of file.

All sound ones are served, every other is a dead letter that says why, and is served too once it is mended.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.commands.main import main
from pipelines.platform import Platform
from pipelines.report import RunReport
from schemas.errors import EventError, LaneError
from serving.tables import dead_table, events_table, rows_table
from tests import file_corruptions as files
from tests.corruptions import (
    ARRIVAL,
    AVRO,
    CONFLUENT,
    HEADER,
    JSON,
    LATE,
    NULL_KEYS,
    ORDER,
    Corruption,
    Event,
    datum,
    event,
    line,
    mended_line,
    micros,
)
from transforms.evaluate import evaluate

Make = Callable[..., Path]
SIZE = int(os.environ.get("TWINBEAM_SOAK_SIZE", "1"))
SEED = int(os.environ.get("TWINBEAM_SOAK_SEED", "0"))
COUNT = 10_000 * SIZE
NOW = datetime(2020, 7, 1, tzinfo=UTC)
DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
shop = Entity("shop", keys={"shop_id": "string"})
orders = Source("orders", avro="order.avsc", event_time="ts", %s)
by_user = FeatureView("by_user", entity=user, source=orders, features=[
    agg.count(), agg.sum("price", over=["7d", "90d"]), agg.max("qty"), latest("note"), latest("cost")])
by_shop = FeatureView("by_shop", entity=shop, source=orders, features=[
    agg.count(over="30d"), agg.count(by="kind"), agg.last_k("note", k=3), latest("ok")])
"""
SETTINGS = """
[sources.orders]
partitions = 3
"""
FILE_SETTINGS = """
[sources.orders]
lanes = 2
"""


@contextmanager
def opened(project: Make, where: str, settings: str) -> Iterator[tuple[Platform, Path]]:
    folder = project("shop", DEFINITIONS % where, settings)
    (folder / "order.avsc").write_text(json.dumps(ORDER))
    (folder / "data").mkdir()
    with Platform.open(folder) as platform:
        platform.apply()
        yield platform, folder


def shares(count: int, names: Sequence[str]) -> list[str]:
    """`count` names, each as often as any other."""
    return [names[at % len(names)] for at in range(count)]


def sound(count: int, rng: random.Random) -> list[Event]:
    return [event(number, rng) for number in range(count)]


def rows_of(events: Sequence[Event]) -> int:
    return sum((found["user_id"] is not None) + (found["shop_id"] is not None) for found in events)


def check(platform: Platform, events: Sequence[Event], orphans: int) -> None:
    """Both stores and every answer hold the sound events, each once, and nothing else.

    Args:
        platform: of the project.
        events: those that are sound.
        orphans: events without any key, which stay in `events` but are in no view.
    """
    places = platform.offline.read(events_table("orders"), ["_lane", "_offset"]).to_pylist()
    assert len(places) == len({tuple(place.values()) for place in places}) == len(events) + orphans
    keys = {"by_user": ("user_id", [*range(48), None]), "by_shop": ("shop_id", [f"s{n}" for n in range(12)])}
    for name, (key, asked) in keys.items():
        view = platform.registry.views[name]
        table = rows_table(name, platform.catalog.views[name].rows_fingerprint)
        assert platform.offline.count(table) == sum(found[key] is not None for found in events)
        spine = {key: asked, "at": [NOW] * len(asked)}
        expected = evaluate(view, {"orders": list(events)}, spine)
        assert platform.training_set(spine, name).to_dict() == expected.to_dict()
        served = platform.get(name, {key: asked}, now=NOW).to_dict()
        assert served == {column: values for column, values in expected.to_dict().items() if column != "at"}
    counted = platform.get("by_user", {"user_id": [*range(48)]}, now=NOW).to_dict()["by_user:count"]
    assert sum(counted) == sum(found["user_id"] is not None for found in events)


def letters(platform: Platform) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = platform.offline.read(dead_table("orders")).to_pylist()
    assert len({(letter["_lane"], letter["_offset"]) for letter in found}) == len(found)
    assert {letter["view"] for letter in found} <= {None}
    return found


def counts(report: RunReport) -> tuple[int, int, int]:
    return report.events, report.rows, report.dead_letters


def named(reasons: Sequence[tuple[str, str, str]]) -> None:
    """Every reason names its fault.

    Args:
        reasons: kind of fault, pattern, reason.
    """
    wrong = {kind: reason for kind, pattern, reason in reasons if not re.search(pattern, reason)}
    assert wrong == {}


Encode = Callable[[Event], bytes]
ENCODINGS: dict[str, tuple[Mapping[str, Corruption], Encode]] = {
    "avro": (AVRO, datum),
    "json": (JSON, line),
    "confluent": (CONFLUENT, lambda found: HEADER + datum(found)),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_damaged_values_of_a_topic(
    encoding: str, project: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(SEED)
    corruptions, encode = ENCODINGS[encoding]
    good = sound(COUNT, rng)
    intended: dict[bytes | None, list[Event]] = {}
    kinds: dict[bytes | None, str] = {}
    bad: list[bytes | None] = []
    mends = [event(COUNT + at, rng) for at in range(COUNT)]
    for kind, meant in zip(shares(COUNT, list(corruptions)), mends, strict=True):
        value = corruptions[kind].make(meant, rng)
        while kinds.setdefault(value, kind) != kind:  # one value, one kind
            value = corruptions[kind].make(meant, rng)
        bad.append(value)
        intended.setdefault(value, []).append(meant)
    values = [*map(encode, good), *bad]
    rng.shuffle(values)
    per_kind = Counter(kinds[value] for value in bad)
    with opened(project, f'topic="orders", encoding="{encoding}"', SETTINGS) as (platform, folder):
        platform.broker.publish("orders", [None] * len(values), values, now=micros(ARRIVAL))
        report = platform.run_stream(until="caught_up")
        orphans = per_kind["null keys"]
        assert counts(report) == (len(good) + orphans, rows_of(good), len(bad))
        found = letters(platform)
        named([(kinds[each["value"]], corruptions[kinds[each["value"]]].reason, each["reason"]) for each in found])
        assert Counter(each["value"] for each in found) == Counter(bad)
        check(platform, good, orphans)

        mended = [mended_line(intended[each["value"]].pop(), each["_lane"], each["_offset"]) for each in found]
        (tmp_path / "mended.jsonl").write_bytes(b"\n".join(mended))
        monkeypatch.chdir(folder)
        capsys.readouterr()
        for sent, before in ((len(bad), 0), (0, len(bad))):
            assert main(["dead-letters", "replay", "orders", "--mended", str(tmp_path / "mended.jsonl"), "--json"]) == 0
            said = json.loads(capsys.readouterr().out)
            assert (said["sent"], said["sent before"]) == (sent, before)
        again = platform.run_stream(until="caught_up")
        assert counts(again) == (len(bad), rows_of(mends), 0)
        check(platform, good + mends, orphans)
        assert len(letters(platform)) == len(bad)


Rows = list[tuple[str, Any]]  # kind of fault ("" if sound), and the row as the file holds it
FORMS: dict[str, Callable[[Path, list[Any]], None]] = {
    ".csv": files.write_lines,
    ".jsonl": files.write_lines,
    ".parquet": lambda path, rows: files.write_parquet(path, rows, stamped=path.stem in ("1", "3")),
    ".avro": lambda path, rows: files.write_avro(path, rows, "null" if path.stem == "1" else "deflate"),
}
FILES = 4


def row_of(form: str, found: Event) -> Any:
    """A sound event as a file of the form holds it."""
    return {".csv": files.csv_line, ".jsonl": line}.get(form, files.wide)(found)


def damaged_row(form: str, kind: str, found: Event, rng: random.Random) -> Any:
    """The event damaged in one way."""
    if form in (".csv", ".jsonl"):
        return (files.CSV if form == ".csv" else files.LINES)[kind].make(found, rng)
    return files.wide(found) | files.TYPED[kind].change(rng)


@pytest.mark.parametrize("form", FORMS)
def test_damaged_rows_of_files(form: str, project: Make) -> None:
    rng = random.Random(SEED)
    patterns = {
        kind: each.reason for kind, each in ({".csv": files.CSV, ".jsonl": files.LINES}.get(form, files.TYPED)).items()
    }
    good, meant = sound(COUNT, rng), [event(COUNT + at, rng) for at in range(COUNT)]
    rows: Rows = [("", row_of(form, found)) for found in good]
    kinds = shares(COUNT, list(patterns))
    rows += [(kind, damaged_row(form, kind, found, rng)) for kind, found in zip(kinds, meant, strict=True)]
    events = good + meant
    order = list(range(len(rows)))
    rng.shuffle(order)
    orphans = kinds.count("null keys")
    with opened(project, f'files="data/*{form}"', FILE_SETTINGS) as (platform, folder):
        chosen = [order[number::FILES] for number in range(FILES)]
        paths = [folder / "data" / f"{number}{form}" for number in range(FILES)]
        for path, places in zip(paths, chosen, strict=True):
            FORMS[form](path, [rows[at][1] for at in places])
        report = platform.run_batch()
        assert counts(report) == (len(good) + orphans, rows_of(good), len(meant))
        reasons = []
        for letter in letters(platform):
            number, row = divmod(letter["_offset"], 1 << 40)
            kind = rows[chosen[number][row]][0]
            place = "" if patterns[kind] in (LATE, NULL_KEYS) else f"{paths[number]}: row {row}: "
            assert letter["reason"].startswith(place)
            reasons.append((kind, patterns[kind], letter["reason"].removeprefix(place)))
        named(reasons)
        assert Counter(kind for kind, _, _ in reasons) == Counter(kinds)
        check(platform, good, orphans)

        for path, places in zip(paths, chosen, strict=True):
            FORMS[form](path, [row_of(form, events[at]) for at in places])
        with pytest.raises(LaneError, match="--rebuild"):
            platform.run_batch()
        platform.rebuild()
        assert counts(platform.run_batch()) == (len(events), rows_of(events), 0)
        check(platform, events, 0)
        assert letters(platform) == []


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def flipped(content: bytes) -> bytes:
    """The content with its middle third as noise."""
    third = len(content) // 3
    return content[:third] + bytes(byte ^ 0xA5 for byte in content[third : 2 * third]) + content[2 * third :]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str, str]] = {
    "parquet cut off": (cut, ".parquet", "cannot be read as Parquet: "),
    "parquet noise": (flipped, ".parquet", "cannot be read as Parquet: "),
    "avro cut off": (cut, ".avro", r"cannot be read as Avro: the block that begins at row \d+ is cut off"),
    "avro noise": (flipped, ".avro", r"cannot be read as Avro: the block that begins at row \d+ "),
    "avro without a head": (lambda content: content[9:], ".avro", "does not begin as an Avro file does"),
    "avro of another schema": (
        lambda content: content.replace(b'"qty", "type": ["null", "long"]', b'"qty", "type": ["null", "date"]'),
        ".avro",
        "its schema is not legal: .*date",
    ),
    "avro of another type": (
        lambda content: content.replace(b'"qty", "type": ["null", "long"]', b'"qty", "type": "string"        '),
        ".avro",
        "column qty is of type string; legal for int32 are integers",
    ),
    "csv without a head": (
        lambda content: content.partition(b"\n")[2],
        ".csv",
        "there is no column 'ts', the event time",
    ),
    "csv that is empty": (lambda content: b"", ".csv", "is empty; the first line of a CSV file holds"),
}


@pytest.mark.parametrize("fault", DAMAGE)
def test_a_damaged_file_is_refused_as_a_whole(fault: str, project: Make) -> None:
    damaged, form, said = DAMAGE[fault]
    events = sound(300, random.Random(SEED))
    with opened(project, f'files="data/*{form}"', FILE_SETTINGS) as (platform, folder):
        path = folder / "data" / f"1{form}"
        FORMS[form](path, [row_of(form, found) for found in events])
        whole = path.read_bytes()
        path.write_bytes(damaged(whole))
        for _ in range(2):
            with pytest.raises(EventError, match=f"^{re.escape(str(path))}: .*{said}"):
                platform.run_batch()
        path.write_bytes(whole)
        platform.rebuild()
        assert counts(platform.run_batch()) == (300, rows_of(events), 0)
        check(platform, events, 0)
