"""`dead-letters replay --mended`: what may stand for a dead letter, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.commands.main import main
from pipelines.platform import Platform

Make = Callable[..., Path]
DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg

user = Entity("user", keys={"user_id": "int64"})
FIELDS = {"user_id": "int64", "ts": "timestamp", "price": "int64"}
buys = Source("buys", fields=FIELDS, event_time="ts", files="data/*.jsonl", topic="buys",
    cutover="2020-03-02T00:00:00Z", encoding="json")
old = Source("old", fields=FIELDS, event_time="ts", files="data/*.jsonl")
spent = FeatureView("spent", entity=user, source=buys, select={"much": "price * 1000000000000000000"},
    features=[agg.count()])
past = FeatureView("past", entity=user, source=old, features=[agg.count()])
"""
GOOD = '{"user_id": 1, "ts": "2020-03-03T00:00:00Z", "price": 3}'
SEVEN = {"user_id": 1, "ts": "2020-03-03T00:00:00Z", "price": 7}


@pytest.fixture
def shop(project: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Platform, Path, list[dict[str, Any]]]]:
    """A project with a dead letter of each kind: of the topic, of a view, of a file."""
    folder = project("shop", DEFINITIONS)
    (folder / "data").mkdir()
    (folder / "data" / "a.jsonl").write_text('{"user_id": 1, "ts": "2020-03-01", "price": "x"}\n')
    with Platform.open(folder) as platform:
        platform.apply()
        platform.publish(
            "buys", [GOOD.encode(), b"no json", *(GOOD.replace("3}", f"{n}}}").encode() for n in (2**63, 99))]
        )
        platform.run_batch()
        platform.run_stream(until="caught_up")
        letters: list[dict[str, Any]] = platform.offline.read("dead_letters/buys").to_pylist()
        monkeypatch.chdir(folder)
        yield platform, folder, letters


def place(letters: list[dict[str, Any]], reason: str) -> dict[str, Any]:
    letter = next(letter for letter in letters if reason in letter["reason"])
    return {"_lane": letter["_lane"], "_offset": letter["_offset"]}


def replayed(folder: Path, *rows: dict[str, Any], capsys: pytest.CaptureFixture[str], source: str = "buys") -> Any:
    """What the command says of rows in a Parquet file: its counts, or its error."""
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "mended.parquet")
    capsys.readouterr()
    code = main(["dead-letters", "replay", source, "--mended", "mended.parquet", "--json"])
    said = capsys.readouterr()
    return json.loads(said.out) if code == 0 else said.err


def test_each_letter_is_sent_once_mended_or_not(
    shop: tuple[Platform, Path, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    platform, folder, letters = shop
    assert len(letters) == 4
    mended = [SEVEN | place(letters, "no JSON"), SEVEN | place(letters, "9223372036854775808")]
    assert replayed(folder, mended[0], capsys=capsys)["sent"] == 1
    said = replayed(folder, *mended, capsys=capsys)
    assert (said["sent"], said["sent before"]) == (1, 1)
    main(["dead-letters", "replay", "buys", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (said["sent"], said["sent before"], said["of files"]) == (0, 2, 1)
    assert said["failed in a view"] == 1
    report = platform.run_stream(until="caught_up")
    assert (report.events, report.dead_letters) == (2, 0)
    assert platform.get("spent:count", {"user_id": [1]}).to_dict()["spent:count"] == [3]


def test_what_stands_for_no_letter_of_a_topic_is_refused(
    shop: tuple[Platform, Path, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    platform, folder, letters = shop
    sound = SEVEN | place(letters, "no JSON")
    wrong = {
        "row 1: there is no dead letter at offset 77 of lane": sound | {"_offset": 77},
        "row 1: _lane and _offset of the dead letter that it stands for are missing": sound | {"_offset": None},
        "row 1: is a row of a file: put it right in a new file of the source": SEVEN | place(letters, "a.jsonl: row 0"),
        "row 1: failed in view 'spent': mend the view; the event is in the store": SEVEN | place(letters, "much"),
        "row 1: ts: null, but an event needs its event time": sound | {"ts": None},
    }
    for reason, row in wrong.items():
        assert re.search(re.escape(f"mended.parquet: {reason}"), replayed(folder, sound, row, capsys=capsys))
    assert "has no topic: put its rows right in a new file" in replayed(folder, sound, capsys=capsys, source="old")
    assert platform.run_stream(until="caught_up").events == 0
