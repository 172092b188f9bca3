"""All benches in one table: `python -m bench [--only reads,storage] [--scale 0.1] [--times 3] [--json]`."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import time
from pathlib import Path

from bench.measuring import TIMES, machine
from bench.table import Measured, json_text, markdown, text

MODULES = (
    *("operations", "pipeline", "reads", "training", "storage", "kafka", "cassandra", "feast"),
    *("serving", "serving_streaming", "serving_cassandra", "serving_push", "serving_values"),
)


def main() -> None:
    """Runs what was asked for and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", default=",".join(MODULES), help=f"some of {', '.join(MODULES)}")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full sizes; 0.1 is a quick look")
    parser.add_argument("--times", type=int, help="processes a figure: by default 3, and 1 for a quick look")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    form.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    names = options.only.split(",")
    for name in names:
        if name not in MODULES:
            parser.error(f"no bench is called {name!r}; there are {', '.join(MODULES)}")
    logging.basicConfig(level=logging.ERROR)
    os.environ[TIMES] = str(options.times or (1 if options.scale < 1 else 3))
    here, rows = machine(), list[Measured]()
    for name in names:
        if not (Path(__file__).parent / f"{name}.py").exists():
            continue
        begun = time.perf_counter()
        print(f"{name} ...", end="", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"bench.{name}").measure(options.scale)
        print(f" {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    if options.json:
        print(json_text(rows, here))
    elif options.markdown:
        print(f"{here}; scale {options.scale:g}\n\n{markdown(rows)}")
    else:
        print(f"{here}; scale {options.scale:g}\n\n{text(rows)}")


if __name__ == "__main__":
    main()
