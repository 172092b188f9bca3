"""The command line: the way of a newcomer from `init` to `audit`, and one clear line for every wrong use."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from pipelines.commands.main import COMMANDS, main

pytestmark = pytest.mark.xdist_group("newcomer")
COMMAND = [sys.executable, "-m", "pipelines.commands.main"]
HISTORY, LIVE = 4_000, 300
Typed = Callable[..., str]


def twinbeam(*words: str, cwd: Path, code: int = 0, stdin: str | None = None) -> str:
    """Runs the command as a user does; what it printed."""
    done = subprocess.run([*COMMAND, *words], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Runs the command in this process, which is quicker; what it printed."""

    def run(*words: str, cwd: Path, code: int = 0) -> str:
        monkeypatch.chdir(cwd)
        assert main(words) == code
        said = capsys.readouterr()
        assert said.err == ""
        return said.out

    return run


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example project, applied, its files taken in, one more day published and streamed."""
    folder = tmp_path_factory.mktemp("newcomer")
    said = twinbeam("init", "shop", cwd=folder)
    assert "cd shop" in said
    shop = folder / "shop"
    assert "user_purchases: added" in twinbeam("plan", cwd=shop, code=2)
    assert twinbeam("apply", cwd=shop).splitlines()[-1].startswith("applied; a running stream takes it up")
    report = json.loads(twinbeam("run", "batch", "--json", cwd=shop))
    assert (report["events"], report["dead_letters"]) == (HISTORY, 0)
    assert report["views"]["user_purchases"]["rows"] == report["views"]["user_profile"]["rows"] == HISTORY
    published = json.loads(twinbeam("publish", "purchases", "data/live.jsonl", "--json", cwd=shop))
    assert published["events"] == LIVE
    assert sum(published["lanes"].values()) == LIVE - len(published["lanes"])
    report = json.loads(twinbeam("run", "stream", "--until", "caught_up", "--json", cwd=shop))
    assert (report["events"], report["dead_letters"]) == (LIVE, 0)
    return shop


def test_nothing_is_left_to_apply(shop: Path, typed: Typed) -> None:
    assert "Nothing to apply" in typed("plan", cwd=shop)
    assert json.loads(typed("plan", "--json", cwd=shop)) == {"changes": False, "views": []}


def test_features_are_read_as_the_events_say(shop: Path, typed: Typed) -> None:
    answer = json.loads(typed("get", "fraud_v1", "user_id=7", "user_id=1", "--now", "latest", "--json", cwd=shop))
    history = pl.concat([pl.read_csv(path) for path in sorted((shop / "data" / "purchases").glob("*.csv"))])
    events = pl.concat([history, pl.read_ndjson(shop / "data" / "live.jsonl").select(history.columns)])
    events = events.with_columns(pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ")).sort("ts")
    for row, user in enumerate((7, 1)):
        mine = events.filter(pl.col("user_id") == user)
        newest = mine["ts"].max()
        week = mine.filter(pl.col("ts") >= (pl.lit(newest) - pl.duration(days=7)).dt.truncate("6h"))
        values = {address: column[row] for address, column in answer["values"].items()}
        assert values["user_purchases:count_7d"] == len(week)
        assert values["user_purchases:big_7d"] == len(week.filter(pl.col("price") > 100))
        assert values["user_purchases:kind_last_k3"] == mine["kind"].to_list()[-1:-4:-1]
        assert values["user_purchases:count_7d_by_kind"] == dict(week["kind"].value_counts().iter_rows())
        assert values["user_profile:country"] == mine["country"].to_list()[-1]
        assert answer["statuses"]["user_purchases:count_7d"][row] == "PRESENT"
    shown = typed("get", "user_purchases:count_7d,user_profile:country", "user_id=7", "--now", "latest", cwd=shop)
    assert [line.split()[:3] for line in shown.splitlines()[1:]] == [
        ["7", "user_purchases:count_7d", str(answer["values"]["user_purchases:count_7d"][0])],
        ["7", "user_profile:country", answer["values"]["user_profile:country"][0]],
    ]


def test_keys_come_from_a_file_too(shop: Path, tmp_path: Path, typed: Typed) -> None:
    (tmp_path / "keys.csv").write_text("user_id\n7\n12345\n")
    words = ["user_profile:country", "--keys", str(tmp_path / "keys.csv"), "--now", "latest", "--json"]
    answer = json.loads(typed("get", *words, cwd=shop))
    assert answer["statuses"]["user_profile:country"] == ["PRESENT", "NOT_FOUND"]
    assert answer["values"]["user_profile:country"][1] == "unknown"


def test_a_training_set_keeps_every_row_of_its_spine(shop: Path, tmp_path: Path, typed: Typed) -> None:
    spine = pl.read_csv(shop / "data" / "refunds.csv")
    for more, names in (((), "user_purchases__count_24h"), (("--names", "short"), "count_24h")):
        out = tmp_path / f"{names}.parquet"
        words = ["--service", "fraud_v1", "--spine", "data/refunds.csv", "--label", "refunded", "--out", str(out)]
        assert f"{len(spine)} rows of 10 features" in typed("training-set", *words, *more, cwd=shop)
        frame = pl.read_parquet(out)
        assert len(frame) == len(spine)
        assert frame["user_id"].to_list() == spine["user_id"].to_list()
        assert names in frame.columns
        assert not any(":" in column for column in frame.columns)


def test_strict_leaves_out_the_event_itself(shop: Path, tmp_path: Path, typed: Typed) -> None:
    counts = []
    for more in ((), ("--strict",)):
        out = tmp_path / "train.parquet"
        words = ["--features", "user_purchases:count_24h", "--spine", "data/refunds.csv", "--out", str(out)]
        report = json.loads(typed("training-set", *words, *more, "--json", cwd=shop))
        counts.append(pl.read_parquet(out)["user_purchases__count_24h"])
    assert report["coincident"] == len(counts[0])
    assert ((counts[0] - counts[1]) >= 1).all()


def test_what_was_served_is_replayed_without_a_difference(shop: Path, typed: Typed) -> None:
    typed("get", "fraud_v1", "user_id=3", "user_id=99999", cwd=shop)
    report = json.loads(typed("audit", "--json", cwd=shop))
    assert report["answers"] >= 1
    assert report["values"] >= 20
    assert report["mismatches"] == []
    assert "0 differ" in typed("audit", cwd=shop)


def test_features_are_found(shop: Path, typed: Typed) -> None:
    listed = json.loads(typed("features", "list", "--json", cwd=shop))
    assert [entry["address"] for entry in listed][-1] == "user_profile:country"
    found = typed("features", "search", "PAYMENTS", "trend", cwd=shop)
    assert [line.split()[0] for line in found.splitlines()] == ["FEATURE", "user_purchases:trend"]
    assert typed("features", "search", "nothing like it", cwd=shop) == "no feature fits\n"
    assert len(typed("features", "list", "--tag", "tier=1", cwd=shop).splitlines()) == 10
    trend = json.loads(typed("features", "show", "user_purchases:trend", "--json", cwd=shop))
    assert trend["upstream"] == ["user_purchases:count_24h", "user_purchases:count_24h_offset_24h"]
    assert trend["downstream"] == ["service fraud_v1"]
    count = json.loads(typed("features", "show", "user_purchases:count_24h", "--json", cwd=shop))
    assert count["upstream"] == ["source purchases"]
    assert count["downstream"] == ["user_purchases:trend", "service fraud_v1"]


def test_all_is_well_and_compacts(shop: Path, typed: Typed) -> None:
    assert typed("doctor", cwd=shop).splitlines()[-1] == "all is well"
    tables = json.loads(typed("compact", "--vacuum", "--json", cwd=shop))
    assert "events/purchases" in [row["table"] for row in tables]
    assert json.loads(typed("audit", "--json", cwd=shop))["mismatches"] == []


def test_dead_letters_are_listed_and_replayed_once(tmp_path: Path, typed: Typed) -> None:
    typed("init", "shop", cwd=tmp_path)
    shop = tmp_path / "shop"
    typed("apply", cwd=shop)
    lines = '{"user_id": "seven"}\nno json\n{"user_id": 7, "ts": "2025-03-15T01:00:00Z", "price": 1.5}\n'
    assert "3 events published" in twinbeam("publish", "purchases", "--raw", cwd=shop, stdin=lines)
    report = json.loads(typed("run", "stream", "--until", "caught_up", "--json", cwd=shop))
    assert (report["events"], report["dead_letters"]) == (1, 2)
    letters = json.loads(typed("dead-letters", "list", "--json", cwd=shop))
    assert sorted(letter["value"] for letter in letters) == ["no json", '{"user_id": "seven"}']
    assert all(letter["reason"] for letter in letters)
    assert "1 dead letter\n" in typed("dead-letters", "list", "purchases", "--reason", "user_id", cwd=shop)
    assert "WRONG" not in typed("doctor", cwd=shop)
    definitions = (shop / "features.py").read_text()
    (shop / "features.py").write_text(definitions.replace('"user_id": "int64"', '"user_id": "string"'))
    typed("apply", "--accept", "state", cwd=shop)
    sent = json.loads(typed("dead-letters", "replay", "purchases", "--reason", "user_id", "--json", cwd=shop))
    assert (sent["sent"], sent["sent before"]) == (1, 0)
    sent = json.loads(typed("dead-letters", "replay", "purchases", "--json", cwd=shop))
    assert (sent["sent"], sent["sent before"]) == (1, 1)


def test_a_stream_is_ended_by_a_signal_with_all_it_took_in_both_stores(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    twinbeam("init", "shop", cwd=tmp_path)
    shop = tmp_path / "shop"
    twinbeam("apply", cwd=shop)
    words = ["run", "stream", "--json"]
    process = start([*COMMAND, *words], cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    rate = twinbeam("publish", "purchases", "data/live.jsonl", "--rate", "150", "--json", cwd=shop)
    assert json.loads(rate)["events"] == LIVE
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = json.loads(
            twinbeam("get", "user_purchases:count_7d", "user_id=1", "--json", "--now", "latest", cwd=shop)
        )
        if answer["values"]["user_purchases:count_7d"] != [0]:
            break
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    report = json.loads(out)
    ended = json.loads(twinbeam("run", "stream", "--until", "caught_up", "--json", cwd=shop))
    assert report["events"] + ended["events"] == LIVE
    assert report["events"] > 0


def test_a_value_that_differs_from_its_rows_is_told(shop: Path, tmp_path: Path, typed: Typed) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shop, copy)
    typed("get", "user_purchases:price_eur_sum_7d", "user_id=7", "--now", "latest", cwd=copy)
    table = next((copy / "store" / "offline" / "rows" / "user_purchases").iterdir())
    DeltaTable(table).update(updates={"price_eur": "price_eur + 1"})
    said = typed("audit", cwd=copy, code=1)
    assert " 0 differ" not in said
    assert re.search(r"user_purchases:price_eur_sum_7d +user_id=7 .*PRESENT", said)
    report = json.loads(typed("audit", "--json", cwd=copy, code=1))
    assert {each["address"] for each in report["mismatches"]} >= {"user_purchases:price_eur_sum_7d"}


def test_bad_rows_of_files_are_dead_letters_too(shop: Path, tmp_path: Path, typed: Typed) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shop, copy)
    header = "user_id,ts,price,kind,country\n"
    rows = "7,2025-03-14T23:00:00Z,9.5,card,DE\n7,2025-03-14T23:30:00Z,nine,card,DE\n"
    (copy / "data" / "purchases" / "more.csv").write_text(header + rows)
    report = json.loads(typed("run", "batch", "--json", cwd=copy))
    assert (report["events"], report["dead_letters"]) == (1, 1)
    letter = json.loads(typed("dead-letters", "list", "purchases", "--json", cwd=copy))[0]
    assert "price" in letter["reason"]
    assert json.loads(letter["value"])["price"] == "nine"
    assert "1 are rows of files: put them right in a new file" in typed("dead-letters", "replay", "purchases", cwd=copy)
    assert "source purchases: 1\n" in typed("doctor", cwd=copy)


def test_events_are_published_from_other_kinds_of_files(shop: Path, tmp_path: Path, typed: Typed) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shop, copy)
    live = pl.read_ndjson(copy / "data" / "live.jsonl").head(10)
    live.write_csv(tmp_path / "live.csv")
    events = live.with_columns(pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_zone="UTC"))
    events.write_parquet(tmp_path / "live.parquet")
    for kind in ("csv", "parquet"):
        said = json.loads(typed("publish", "purchases", str(tmp_path / f"live.{kind}"), "--json", cwd=copy))
        assert said["events"] == 10
    report = json.loads(typed("run", "stream", "--until", "caught_up", "--json", cwd=copy))
    assert (report["events"], report["dead_letters"]) == (20, 0)


@pytest.mark.parametrize(("answer", "given_up"), [("y", True), ("", False)])
def test_state_is_given_up_only_if_one_says_so(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, given_up: bool
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shop, copy)
    text = (copy / "features.py").read_text()
    (copy / "features.py").write_text(text.replace("price * 0.92", "price * 0.93"))
    monkeypatch.chdir(copy)
    assert main(["apply"]) == 1
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    asked: list[str] = []

    def reply(prompt: str) -> str:
        asked.append(prompt)
        return answer

    monkeypatch.setattr("builtins.input", reply)
    assert main(["apply"]) == (0 if given_up else 1)
    assert asked == ["This gives up stored state of user_purchases. Go on? [y/N] "]
    assert main(["plan"]) == (0 if given_up else 2)


def test_doctor_sees_a_store_that_is_held(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(shop / "store" / "online.db")) as holder:
        holder.execute("begin immediate")
        assert findings(shop, capsys)["online store"][0] == "note"
    assert "online store" not in findings(shop, capsys)


def test_try_needs_no_project(shop: Path, tmp_path: Path) -> None:
    words = [str(shop / "features.py"), "--events", str(shop / "data" / "live.jsonl"), "--keys", "3"]
    shown = json.loads(twinbeam("try", *words, "--json", cwd=tmp_path))
    assert len(shown["user_purchases"]["user_id"]) == 3
    assert all(value >= 1 for value in shown["user_purchases"]["user_purchases:count_7d"])
    served = twinbeam("try", *words, "--stream", cwd=tmp_path)
    assert served.splitlines()[-1] == "published, streamed and served: every value equal to the one evaluated"
    assert list(tmp_path.iterdir()) == []


def test_a_registry_is_compared_without_a_store(shop: Path, tmp_path: Path, typed: Typed) -> None:
    exported = tmp_path / "registry.json"
    typed("plan", "--export", str(exported), cwd=shop)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("features.py", "twinbeam.toml"):
        (other / name).write_text((shop / name).read_text())
    assert "Nothing to apply" in typed("plan", "--against", str(exported), cwd=other)
    text = (other / "features.py").read_text()
    (other / "features.py").write_text(
        text.replace('over=["24h", "7d"]),  # price', 'over=["1h", "24h", "7d"]),  # price')
    )
    planned = typed("plan", "--against", str(exported), "--markdown", cwd=other, code=2)
    assert "| `user_purchases` | changed |" in planned
    assert not (other / "store").exists()


ACTIONS = ["run batch", "run stream", "dead-letters list", "dead-letters replay"]
ACTIONS += ["features list", "features show", "features search"]


@pytest.mark.parametrize("name", [*COMMANDS, *ACTIONS])
def test_every_command_explains_itself_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert f"  twinbeam {name}" in said.out.partition("example:")[2]


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "twinbeam 0.1.0\n"


WRONG: dict[str, tuple[list[str], str]] = {
    "an unknown command": (["pln"], "there is no command 'pln'. Did you mean 'plan'?"),
    "an unknown option": (["plan", "--jsn"], "unknown option --jsn. Did you mean '--json'?"),
    "an argument too many": (["doctor", "now"], "'now' is one argument too many"),
    "no action": (["run"], "what to run is missing: one of batch, stream"),
    "an unknown action": (["run", "stram"], "'stram' is not legal: one of batch, stream. Did you mean 'stream'?"),
    "an unknown action of features": (["features", "lst"], "one of list, show, search. Did you mean 'list'?"),
    "an unknown action of dead-letters": (["dead-letters", "rerun"], "one of list, replay"),
    "no project": (["plan", "--project", "nowhere"], "nowhere/twinbeam.toml: there is no such file; `twinbeam init"),
    "an unknown environment": (["plan", "--env", "prod"], "there is no environment 'prod': twinbeam.toml has no [env."),
    "an unknown view": (["run", "batch", "--views", "user_purchase"], "Did you mean 'user_purchases'?"),
    "an unknown source": (["run", "batch", "--sources", "buys"], "there is no source 'buys': legal is purchases."),
    "a wrong time to stop": (["run", "stream", "--until", "later"], "--until 'later' is not legal: caught_up, or a"),
    "a source that is not there": (["publish", "purchase", "x.jsonl"], "no source 'purchase': legal is purchases. Did"),
    "a file that is not there": (["publish", "purchases", "x.jsonl"], "x.jsonl: there is no such file"),
    "a rate that is none": (["publish", "purchases", "--rate", "0"], "'0' is no number above 0"),
    "no keys": (["get", "fraud_v1"], "give the keys: KEY=VALUE, or --keys FILE"),
    "a key that is none": (["get", "fraud_v1", "7"], "'7' is not of the form NAME=VALUE"),
    "a key of another name": (["get", "fraud_v1", "usr_id=7"], "key 'usr_id' is not asked for: legal is user_id. Did"),
    "a key of another type": (["get", "fraud_v1", "user_id=seven"], "key user_id: 'seven' is no int64"),
    "a service that is not there": (["get", "fraud", "user_id=7"], "Did you mean 'fraud_v1'?"),
    "a feature that is not there": (["get", "user_purchases:count_23h", "user_id=7"], "Did you mean 'count_24h'?"),
    "a time that is none": (["get", "fraud_v1", "user_id=7", "--now", "noon"], "'noon' is no time: legal is ISO 8601"),
    "a time before what is stored": (
        ["get", "fraud_v1", "user_id=7", "--now", "2025-03-01T00:00:00Z"],
        "training_set",
    ),
    "another fingerprint": (["get", "fraud_v1", "user_id=7", "--fingerprint", "0" * 16], "fingerprint"),
    "a request value that nobody asks for": (
        ["get", "fraud_v1", "user_id=7", "--request", "amount=3"],
        "request value 'amount' is not asked for: legal is none",
    ),
    "no spine": (["training-set", "--service", "fraud_v1", "--out", "x.parquet"], "--spine"),
    "a spine that is not there": (
        ["training-set", "--service", "fraud_v1", "--spine", "no.parquet", "--out", "x.parquet"],
        "no.parquet: there is no such file",
    ),
    "a spine without a key": (
        ["training-set", "--service", "fraud_v1", "--spine", "other.csv", "--out", "x.parquet"],
        "column 'user_id' is missing",
    ),
    "another kind of output": (
        ["training-set", "--service", "fraud_v1", "--spine", "data/refunds.csv", "--out", "x.csv"],
        "give a file that ends in .parquet",
    ),
    "a label that is not there": (
        [
            "training-set",
            "--service",
            "fraud_v1",
            "--spine",
            "data/refunds.csv",
            "--label",
            "refund",
            "--out",
            "x.parquet",
        ],
        "Did you mean 'refunded'?",
    ),
    "features and a service": (
        ["training-set", "--service", "a", "--features", "b:c", "--spine", "d.csv", "--out", "x.parquet"],
        "not allowed with",
    ),
    "a share above one": (["audit", "--sample", "2"], "'2' is no number from 0 to 1"),
    "a feature to show that is not there": (
        ["features", "show", "user_purchases:trnd"],
        "Did you mean 'user_purchases:trend'?",
    ),
    "a table that is not there": (["compact", "events/purchase"], "Did you mean 'events/purchases'?"),
    "definitions that are not there": (
        ["try", "feature.py", "--events", "x.jsonl"],
        "feature.py: there is no such file",
    ),
    "a sample of another source": (
        ["try", "features.py", "--events", "buys=data/live.jsonl"],
        "there is no source 'buys': legal is purchases",
    ),
    "a registry that is not there": (["plan", "--against", "registry.json"], "registry.json: there is no such file"),
    "a registry that is none": (["plan", "--against", "other.json"], "this is no export of a registry"),
    "something to accept that is none": (["apply", "--accept", "all"], "invalid choice: 'all' (choose from"),
    "a folder that holds a project": (["init", "."], "has twinbeam.toml already; nothing was written"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_use_is_one_clear_line(
    name: str, shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, said = WRONG[name]
    monkeypatch.chdir(shop)
    (shop / "other.csv").write_text("customer,ts\n7,2025-03-02T00:00:00Z\n")
    (shop / "other.json").write_text("[]")
    assert main(words) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("twinbeam: ")
    assert printed.err.count("\n") == 1, printed.err
    assert said in printed.err


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('{"user_id": 1, "ts": "2025-03-15T01:00:00Z"}\n{"user_id"', "line 2: is no JSON"),
        ('[1]\n{"user_id": 1, "ts": "2025-03-15T01:00:00Z"}', "line 1: is no JSON object"),
        ('{"user_id": "one", "ts": "2025-03-15T01:00:00Z"}', "user_id"),
    ],
)
def test_lines_that_do_not_fit_are_named(shop: Path, tmp_path: Path, lines: str, said: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shop, copy)
    done = subprocess.run([*COMMAND, "publish", "purchases"], cwd=copy, input=lines, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert "before it sent" in done.stderr


def test_mistakes_in_definitions_are_a_line_each(
    project: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    text = """\
from twinbeam import Entity, Source, FeatureView, agg
user = Entity("user", keys={"user_id": "int46"})
events = Source("events", fields={"user_id": "int64", "ts": "timestamp"}, event_time="tz", files="*.csv")
view = FeatureView("view", entity=user, source=events, features=[agg.count(over="1 hour")])
"""
    folder = project("broken", text)
    assert main(["plan", "--project", str(folder)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith("twinbeam: features.py:") for line in lines)
    assert main(["doctor", "--project", str(folder)]) == 1
    assert "WRONG  definitions" in capsys.readouterr().out


def test_doctor_says_how_to_mend(project: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    text = """\
from twinbeam import Entity, Source, FeatureView, agg
user = Entity("user", keys={"user_id": "int64"})
events = Source("events", fields={"user_id": "int64", "ts": "timestamp"}, event_time="ts", files="data/*.csv")
view = FeatureView("view", entity=user, source=events, features=[agg.count(over="1h")])
"""
    folder = project("ill", text)
    found = findings(folder, capsys)
    assert found["files"] == ("note", "put files there, or set [sources.events] files")
    assert found["plan"] == ("note", "twinbeam plan, then twinbeam apply")
    assert main(["apply", "--project", str(folder)]) == 0
    capsys.readouterr()
    (folder / "data").mkdir()
    (folder / "data" / "events.csv").write_text("user_id,ts\n1,2025-03-01T00:00:00Z\n")
    assert main(["run", "batch", "--project", str(folder)]) == 0
    capsys.readouterr()
    assert findings(folder, capsys) == {}
    (folder / "features.py").write_text(text.replace('agg.count(over="1h")', 'agg.count(over=["1h", "30d"])'))
    assert findings(folder, capsys) == {"plan": ("note", "twinbeam plan, then twinbeam apply")}
    assert main(["apply", "--project", str(folder)]) == 0
    capsys.readouterr()
    assert findings(folder, capsys) == {"blocks": ("note", "twinbeam run batch, or twinbeam run stream")}
    (folder / "store" / "online.db").write_bytes(b"this is no database" * 1000)
    assert findings(folder, capsys, 1)["online store"][0] == "wrong"
    (folder / "twinbeam.toml").write_text('project = "ill"\n[onlin]\n')
    assert findings(folder, capsys, 1)["settings"] == ("wrong", "mend twinbeam.toml, or name the folder with --project")


def findings(folder: Path, capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    assert main(["doctor", "--json", "--project", str(folder)]) == code
    found = json.loads(capsys.readouterr().out)
    return {each["check"]: (each["state"], each["mend"]) for each in found if each["state"] != "ok"}


def test_the_project_is_found_from_a_folder_inside(shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(shop / "data" / "purchases")
    assert main(["features", "list"]) == 0
    assert "user_profile:country" in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error(shop: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, "features", "list"], cwd=shop, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 141
