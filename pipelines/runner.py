"""Runners: Beam's embedded one, mended for streams that last, and others by their options."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers

from schemas.errors import TwinbeamError

LOG = logging.getLogger("twinbeam.runner")
LOCAL = "local"
FLINK = "flink"
_MENDED = "_twinbeam_mended"


def not_ours(record: logging.LogRecord) -> bool:
    """Whether Beam may log a record: not an error of ours with its trace, which the run itself raises and says."""
    return not (record.exc_info and isinstance(record.exc_info[1], TwinbeamError))


def mend_embedded_runner() -> tuple[str, ...]:
    """Mends two faults of Beam's embedded runner that a stream of many bundles meets; says which it could mend.

    "leak": the runner keeps a lazy chain of every bundle's metrics (about 48 KB a bundle); they are consolidated at
    once. "state cache": its cache measures the size of every object it holds, over and over; it is turned off. A Beam
    that no longer has these names runs as it is.
    """
    mended = []
    consolidate = getattr(fn_runner, "consolidate_monitoring_infos", None)
    if consolidate is not None and inspect.isgeneratorfunction(inspect.unwrap(consolidate)):
        fn_runner.consolidate_monitoring_infos = _eager(consolidate)
        mended.append("leak")
    elif getattr(consolidate, _MENDED, False):
        mended.append("leak")
    if hasattr(worker_handlers, "STATE_CACHE_SIZE_MB"):
        worker_handlers.STATE_CACHE_SIZE_MB = 0
        mended.append("state cache")
    return tuple(mended)


def make_pipeline(runner: str, options: Sequence[str], streaming: bool) -> Any:
    """Empty pipeline on a runner.

    Args:
        runner: `local`, or the name of another Beam runner.
        options: Beam options of the form `--name=value`, passed on as they are.
        streaming: whether the pipeline's source is unbounded.

    Returns:
        `beam.Pipeline`.
    """
    name = "FnApiRunner" if runner == LOCAL else runner
    if runner == LOCAL:
        logging.getLogger("apache_beam.runners.common").addFilter(not_ours)
        missing = {"leak", "state cache"} - set(mend_embedded_runner())
        if missing:
            LOG.warning("this Beam is not mended for: %s", ", ".join(sorted(missing)))
    flags = [f"--runner={name}", *(["--streaming"] if streaming else []), *options]
    return beam.Pipeline(options=PipelineOptions(flags))


def _eager(consolidate: Any) -> Any:
    def consolidated(infos: Any, **keywords: Any) -> list[Any]:
        return list(consolidate(infos, **keywords))

    setattr(consolidated, _MENDED, True)
    return consolidated
