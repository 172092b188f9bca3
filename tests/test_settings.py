"""Settings: what twinbeam.toml may hold, and what is said when it holds something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.settings import Settings, SourceSettings
from schemas.errors import SettingsError
from schemas.source import Source

WHOLE = """
project = "shop"
definitions = ["features.py", "more"]
[offline]
root = "store/offline"
[offline.options]
region = "north"
[offline.secrets]
password_env = "SHOP_PASSWORD"
token_file = "token.txt"
[online]
store = "sqlite"
[online.sqlite]
path = "store/online.db"
[stream]
broker = "sqlite"
[stream.sqlite]
path = "/elsewhere/topics.db"
[run]
runner = "local"
max_skew = "90s"
flush = "2s"
[serving]
log_sample = 0.25
[sources.purchases]
topic = "bought"
files = ["data/a/*.csv", "s3://bucket/*.parquet"]
lanes = 3
partitions = 4
[env.prod.offline]
root = "s3://bucket/offline"
[env.prod.run]
max_skew = "5m"
[env.later.online]
store = "cassandra"
"""


def load(folder: Path, text: str, env: str | None = None) -> Settings:
    (folder / "twinbeam.toml").write_text(text)
    return Settings.load(folder, env)


def test_every_setting_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hush")
    (tmp_path / "token.txt").write_text("quiet\n")
    settings = load(tmp_path, WHOLE)
    assert settings.project == "shop"
    assert settings.folder == tmp_path
    assert settings.definitions == (tmp_path / "features.py", tmp_path / "more")
    assert settings.offline.root == str(tmp_path / "store/offline")
    assert settings.offline.options == {"region": "north", "password": "hush", "token": "quiet"}
    assert (settings.online.store, settings.online.path) == ("sqlite", tmp_path / "store/online.db")
    assert (settings.stream.broker, settings.stream.path) == ("sqlite", Path("/elsewhere/topics.db"))
    assert (settings.run.runner, settings.run.max_skew, settings.run.flush) == ("local", 90_000_000, 2_000_000)
    assert settings.serving.log_sample == 0.25
    assert settings.sources == {
        "purchases": SourceSettings("bought", (str(tmp_path / "data/a/*.csv"), "s3://bucket/*.parquet"), 3, 4)
    }
    assert "hush" not in repr(settings)


def test_a_name_alone_is_enough(tmp_path: Path) -> None:
    settings = load(tmp_path, 'project = "shop"')
    assert settings.definitions == (tmp_path / "features.py",)
    assert settings.offline.root == str(tmp_path / "store/offline")
    assert settings.online.path == tmp_path / "store/online.db"
    assert settings.stream.path == tmp_path / "store/topics.db"
    assert settings.run.max_skew == 60_000_000
    assert settings.serving.log_sample == 1.0
    assert settings.source("anything") == SourceSettings(None, None, 1, 1)


@pytest.mark.parametrize("way", ["argument", "variable"])
def test_an_environment_is_laid_over_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    text = WHOLE.replace('password_env = "SHOP_PASSWORD"\ntoken_file = "token.txt"\n', "")
    monkeypatch.setenv("TWINBEAM_ENV", "prod" if way == "variable" else "other")
    settings = load(tmp_path, text, "prod" if way == "argument" else None)
    assert settings.env == "prod"
    assert settings.offline.root == "s3://bucket/offline"
    assert settings.offline.options == {"region": "north"}
    assert settings.run.max_skew == 300_000_000
    assert settings.run.flush == 2_000_000


def test_where_a_source_lies(tmp_path: Path) -> None:
    settings = load(tmp_path, 'project = "shop"\n[sources.b]\ntopic = "t"\nfiles = "own.csv"')
    a = Source("a", fields={"ts": "timestamp"}, event_time="ts", files="data/*.csv", topic="a")
    b = Source("b", fields={"ts": "timestamp"}, event_time="ts", files="data/*.csv", topic="b")
    assert settings.files(a) == (str(tmp_path / "data/*.csv"),)
    assert settings.files(b) == (str(tmp_path / "own.csv"),)
    assert (settings.topic(a), settings.topic(b)) == ("a", "t")
    settings.check_sources(["a", "b"])
    with pytest.raises(SettingsError, match=r"sources\.b: there is no source 'b': legal is 'a', 'bb'.* mean 'bb'"):
        settings.check_sources(["a", "bb"])


MISTAKES = {
    "no project": ('definitions = "f.py"', ["project: is missing", 'project = "shop"']),
    "a bad name": ('project = "9 lives"', ["project: '9 lives' is no name", "a letter, then"]),
    "an unknown setting": ('project = "p"\nprojekt = 1', ["projekt: unknown setting", "'online'", "mean 'project'?"]),
    "an unknown table": ('project = "p"\n[onlin]\nstore = "sqlite"', ["onlin: unknown setting", "mean 'online'?"]),
    "an unknown setting in a table": (
        'project = "p"\n[run]\nmaxskew = "1m"',
        ["run.maxskew: unknown setting", "'runner', 'max_skew', 'flush'", "mean 'max_skew'?"],
    ),
    "an unknown setting of an environment not in use": (
        'project = "p"\n[env.prod.online]\nstor = "sqlite"',
        ["env.prod.online.stor: unknown setting", "mean 'store'?"],
    ),
    "an unknown setting of a source": (
        'project = "p"\n[sources.a]\nfile = "x.csv"',
        ["sources.a.file: unknown setting", "mean 'files'?"],
    ),
    "an unknown store": (
        'project = "p"\n[online]\nstore = "sqlight"',
        ["online.store: 'sqlight' is not legal", "legal is 'sqlite'", "mean 'sqlite'?"],
    ),
    "a server without a port": (
        'project = "p"\n[online.cassandra]\nhosts = ["one:9042", "two"]',
        ["online.cassandra.hosts: 'two' is no address", '"host:port"'],
    ),
    "no URL": (
        'project = "p"\n[run.flink]\njobmanager = "127.0.0.1:8081"',
        ["run.flink.jobmanager: '127.0.0.1:8081' is no URL", "http://host:port"],
    ),
    "a start that is none": (
        'project = "p"\n[stream.kafka]\nstart = "newest"',
        ["stream.kafka.start: 'newest' is not legal", "'latest' or a time"],
    ),
    "an unknown secret": (
        'project = "p"\n[stream.kafka.secrets]\npasword_file = "twinbeam.toml"',
        ["stream.kafka.secrets.pasword: unknown secret", "'password', 'key_password'"],
    ),
    "a bad duration": (
        'project = "p"\n[run]\nmax_skew = "a minute"',
        ["run.max_skew: 'a minute' is no duration", "500ms"],
    ),
    "a duration without a unit": ('project = "p"\n[run]\nmax_skew = 60', ["run.max_skew: 60 is no duration"]),
    "a share above one": ('project = "p"\n[serving]\nlog_sample = 1.5', ["serving.log_sample: 1.5", "from 0 to 1"]),
    "lanes as text": ('project = "p"\n[sources.a]\nlanes = "2"', ["sources.a.lanes: '2'", "from 1 to 1000"]),
    "no lanes": ('project = "p"\n[sources.a]\nlanes = 0', ["sources.a.lanes: 0", "from 1 to 1000"]),
    "a truth as a number": ('project = "p"\n[sources.a]\npartitions = true', ["sources.a.partitions: True"]),
    "a table where a value belongs": ('[project]\nname = "p"', ["project: is a value, not a table"]),
    "a value where a table belongs": (
        'project = "p"\nonline = "sqlite"',
        ["online: 'sqlite' is no table", "[online]"],
    ),
    "an empty path": ('project = "p"\n[offline]\nroot = ""', ["offline.root: '' is no text"]),
    "no definitions": ('project = "p"\ndefinitions = []', ["definitions: [] is empty"]),
    "a URL for a local file": (
        'project = "p"\n[online.sqlite]\npath = "s3://b/x.db"',
        ["online.sqlite.path: 's3://b/x.db' is a URL", "on this machine"],
    ),
    "a secret written down": (
        'project = "p"\n[offline.secrets]\npassword = "hush"',
        ["offline.secrets.password: secrets are not written here", "password_env", "password_file"],
    ),
    "a secret's variable that is not set": (
        'project = "p"\n[offline.secrets]\npassword_env = "NOT_SET_HERE"',
        ["offline.secrets.password_env: environment variable NOT_SET_HERE is not set"],
    ),
    "a secret's file that is not there": (
        'project = "p"\n[offline.secrets]\npassword_file = "gone.txt"',
        ["offline.secrets.password_file: file gone.txt cannot be read (No such file"],
    ),
    "an environment as a value": ('project = "p"\nenv = "prod"', ["env: legal are tables named [env.NAME]"]),
    "no TOML": ("project = p", ["twinbeam.toml: is no TOML", "line 1"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_what_is_legal(name: str, tmp_path: Path) -> None:
    text, said = MISTAKES[name]
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert message.count("\n") == 0
    assert "twinbeam.toml: " in message
    for part in said:
        assert part in message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, 'project = "p"\n[run]\nmax_skew = "x"\nflush = "y"\n[sources.a]\nlanes = 0')
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "run.max_skew",
        "run.flush",
        "sources.a.lanes",
    ]


@pytest.mark.parametrize("env", ["prud", "nothing like it"])
def test_an_environment_that_is_not_there(tmp_path: Path, env: str) -> None:
    with pytest.raises(SettingsError, match=f"no environment '{env}': legal is 'prod'") as caught:
        load(tmp_path, 'project = "p"\n[env.prod.run]\nmax_skew = "2m"', env)
    assert ("mean 'prod'?" in str(caught.value)) == (env == "prud")
    with pytest.raises(SettingsError, match=r"has no \[env.NAME\] tables"):
        load(tmp_path, 'project = "p"', env)


def test_a_folder_without_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no such file; `twinbeam init FOLDER` makes a project"):
        Settings.load(tmp_path / "nowhere")


def test_settings_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "twinbeam.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.load(tmp_path)
