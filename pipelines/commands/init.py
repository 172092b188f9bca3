"""`twinbeam init`: a project with a working example."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipelines.commands import example
from pipelines.commands.arguments import Parser
from pipelines.settings import Settings
from schemas.errors import TwinbeamError

NEXT = """\
{folder} holds a project with a working example: features.py, twinbeam.toml and a fortnight of purchases.

{enter}  twinbeam plan                                           # what would be built
  twinbeam apply                                          # build it
  twinbeam run batch                                      # the files, into both stores
  twinbeam publish purchases data/live.jsonl              # one more day, live
  twinbeam run stream --until caught_up                   # the same pipeline over the topic
  twinbeam get fraud_v1 user_id=7 --now latest            # read online
  twinbeam training-set --service fraud_v1 --spine data/refunds.csv --out train.parquet
  twinbeam audit                                          # replay what was served: skew"""


def run(name: str, words: Sequence[str]) -> int:
    """Writes the example into a folder that has none of its files yet."""
    parser = Parser("init", "Make a project with a working example.", "twinbeam init shop && cd shop && twinbeam plan")
    parser.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="where to (default: here)")
    parser.add_argument("--name", help="name of the project (default: the folder's)")
    arguments = parser.parse(words)
    folder = Path(arguments.folder)
    home = folder.absolute()
    project = arguments.name or re.sub(r"^[^A-Za-z]+|[^A-Za-z0-9_-]", "", home.resolve().name)[:64] or "shop"
    Settings.of({"project": project}, home)
    texts = dict(example.files(project))
    if home.exists() and not home.is_dir():
        raise TwinbeamError(f"{folder} is a file; name a folder")
    taken = [path for path in texts if (home / path).exists()]
    if taken:
        raise TwinbeamError(f"{folder} has {taken[0]} already; nothing was written")
    for path, text in texts.items():
        where = home / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text, encoding="utf-8")
    enter = "" if home == Path.cwd() else f"  cd {folder}\n"
    print(NEXT.format(folder=home if folder == Path() else folder, enter=enter))
    return 0
