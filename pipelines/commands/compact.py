"""`twinbeam compact`: small files of the offline store joined, files and tiles that nothing needs removed."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.commands.arguments import Parser, project_folder
from pipelines.commands.tables import counted, json_text, table
from pipelines.platform import Platform
from schemas.errors import RequestError, did_you_mean

KEEP_HOURS = 168


def run(name: str, words: Sequence[str]) -> int:
    """Compacts tables."""
    parser = Parser(
        "compact",
        "Join the small files of the offline store, and remove online tiles that no window can read any more (of views "
        "with late=); runs may go on meanwhile. With --vacuum also delete files that no version of the last "
        f"{KEEP_HOURS} hours needs.",
        "twinbeam compact events/purchases --vacuum",
    )
    parser.add_argument("table", nargs="*", metavar="TABLE", help="tables (default: all), as in events/purchases")
    parser.add_argument("--vacuum", action="store_true", help="also delete files that are no longer needed")
    parser.json_option()
    parser.project_options()
    given = parser.parse(words)
    with Platform.open(project_folder(given.project), given.env) as platform:
        store = platform.offline
        tables = store.tables()
        for wanted in given.table:
            if wanted not in tables:
                legal, hint = ", ".join(tables) or "none", did_you_mean(wanted, tables)
                raise RequestError(f"there is no table {wanted!r}: legal is {legal}.{hint}")
        rows = []
        for each in given.table or tables:
            joined = store.compact(each)
            removed = len(store.vacuum(each, KEEP_HOURS)) if given.vacuum else 0
            rows.append({"table": each, "files joined": joined, "files deleted": removed})
        expired = platform.expire()
    if given.json:
        print(json_text(rows, 2))
    elif rows:
        print(table(tuple(rows[0]), [tuple(row.values()) for row in rows]))
    else:
        print("the offline store has no tables yet")
    if expired and not given.json:
        print(f"removed from the online store, as no window can read them any more: {counted(expired, 'cell')}")
    return 0
