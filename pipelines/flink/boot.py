"""The beginning of a worker on Flink: what Beam's containers do at their start, without a container.

A TaskManager starts it as a process with the addresses of its services, and it goes on as Beam's Python worker.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import grpc  # type: ignore[import-untyped]
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc, endpoints_pb2
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format, text_format  # type: ignore[import-untyped]

ADDRESSES = ("logging_endpoint", "artifact_endpoint", "provision_endpoint", "control_endpoint")
# Of all options of a job only these: Beam's worker ends at once if it meets one of the runner's.
_KNOWN = ("experiments", "streaming", "max_cache_memory_usage_mb")
_SECONDS = 60.0
_LOOK_SECONDS = 1.0


def main(words: Sequence[str] | None = None) -> None:
    """Becomes a worker, until its TaskManager lets it go or is gone."""
    parser = argparse.ArgumentParser("twinbeam-worker", description="A worker, as Flink's TaskManagers start it.")
    for name in ("id", *ADDRESSES):
        parser.add_argument(f"--{name}", default="")
    given, _ = parser.parse_known_args(words)
    _speak()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    channel = grpc.insecure_channel(given.provision_endpoint)
    stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
    request = beam_provision_api_pb2.GetProvisionInfoRequest()
    info = stub.GetProvisionInfo(request, metadata=[("worker_id", given.id)], timeout=_SECONDS).info
    channel.close()
    options = json_format.MessageToDict(info.pipeline_options)
    os.environ.update(
        WORKER_ID=given.id,
        SEMI_PERSISTENT_DIRECTORY=tempfile.gettempdir(),
        PIPELINE_OPTIONS=json.dumps({name: of for name, of in options.items() if name.split(":")[2] in _KNOWN}),
        LOGGING_API_SERVICE_DESCRIPTOR=_descriptor(given.logging_endpoint or info.logging_endpoint.url),
        CONTROL_API_SERVICE_DESCRIPTOR=_descriptor(given.control_endpoint or info.control_endpoint.url),
        RUNNER_CAPABILITIES=" ".join(info.runner_capabilities),
    )
    # What an import has set up would say everything a second time.
    logging.getLogger().handlers.clear()
    code = 1
    try:
        sdk_worker_main.main([])
        code = 0
    finally:
        # No thread that waits for a store holds up the end; what was not stored is read again.
        sys.stdout.flush()
        os._exit(code)


def _speak() -> None:
    """Writes to where the TaskManager does, which lets its workers write to nowhere."""
    with suppress(OSError):
        where = os.open(f"/proc/{os.getppid()}/fd/2", os.O_WRONLY | os.O_APPEND)
        os.dup2(where, 1)
        os.dup2(where, 2)


def _descriptor(url: str) -> str:
    return str(text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url)))


def _end_with(parent: int) -> None:
    """Ends this process soon after its parent has ended."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
