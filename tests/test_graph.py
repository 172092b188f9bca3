"""The graph: one composite in batch and in streaming, one chain of batches, and the coder that carries them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from pipelines.coder import BatchCoder
from pipelines.envelope import Envelope
from pipelines.execution import Launch, build
from pipelines.feed import LaneTask
from pipelines.graph import COMPOSITE
from pipelines.job import Job, pickled
from pipelines.progress import FedView
from pipelines.restriction import VectorProvider, VectorTracker
from pipelines.runner import make_pipeline, mend_embedded_runner
from pipelines.stores import Stores
from pipelines.work import JobRef
from schemas.entity import Entity
from schemas.feature import agg
from schemas.feature_view import FeatureView
from schemas.lane import Lane
from schemas.registry import Registry
from schemas.source import Source
from transforms.blocks import assign_blocks
from transforms.catalog import Catalog

user = Entity("user", keys={"user_id": "int64"})
clicks = Source("clicks", fields={"user_id": "int64", "ts": "timestamp(us)"}, event_time="ts", topic="clicks")
buys = Source("buys", fields={"user_id": "int64", "ts": "timestamp(us)"}, event_time="ts", files="buys/*.parquet")
both = FeatureView("both", entity=user, source=[clicks, buys], features=[agg.count(over="1h")])
alone = FeatureView("alone", entity=user, source=clicks, features=[agg.count()])


def reference(folder: Path, kinds: tuple[str, ...]) -> JobRef:
    """A job of both views over lanes of the kinds."""
    catalog = Catalog.compile(Registry.of([both, alone]))
    views = tuple(FedView(view, assign_blocks(view)) for view in catalog.views.values())
    lanes = tuple(LaneTask(Lane("clicks", kind, "x", number), 0, 0, 9, True) for kind in kinds for number in range(3))
    stores = Stores(str(folder / "offline"), {}, str(folder / "online.db"), str(folder / "topics.db"))
    sources = {"clicks": clicks, "buys": buys}
    job = Job(uuid.uuid4().hex, stores, sources, {"clicks": "clicks"}, {}, views, {}, lanes, True, 0)
    return JobRef(job.name, pickled(job, ()), lanes)


def proto(folder: Path, bounded: bool) -> beam_runner_api_pb2.Pipeline:
    """Proto of the graph of a run."""
    launch = Launch("local", (), (), bounded, None, None)
    graph: beam_runner_api_pb2.Pipeline
    graph = build(reference(folder, ("files",) if bounded else ("topic",)), launch).to_runner_api()
    return graph


def composite(graph: beam_runner_api_pb2.Pipeline) -> list[tuple[str, str, int, int]]:
    """The composite and all below it: name, URN, number of inputs and of outputs."""
    transforms = graph.components.transforms
    (top,) = [each for each in transforms.values() if each.unique_name == COMPOSITE]
    found, waiting = [], [top]
    while waiting:
        each = waiting.pop()
        found.append((each.unique_name, each.spec.urn, len(each.inputs), len(each.outputs)))
        waiting += [transforms[name] for name in each.subtransforms]
    return sorted(found)


@pytest.mark.graph_only
def test_everything_past_the_reader_is_one_composite_the_same_in_batch_and_streaming(tmp_path: Path) -> None:
    batch, stream = proto(tmp_path / "a", bounded=True), proto(tmp_path / "b", bounded=False)
    assert composite(batch) == composite(stream)
    assert {name for name, *_ in composite(batch)} == {
        COMPOSITE,
        *(f"{COMPOSITE}/{step}" for step in ("decode", "views", "offline", "online")),
    }
    for graph in (batch, stream):
        roots = graph.components.transforms[graph.root_transform_ids[0]].subtransforms
        names = {graph.components.transforms[name].unique_name for name in roots}
        assert names == {"lanes", COMPOSITE}


@pytest.mark.graph_only
@pytest.mark.parametrize("bounded", [True, False])
def test_the_graph_is_one_chain_without_shuffles_state_timers_or_windows(tmp_path: Path, bounded: bool) -> None:
    graph = proto(tmp_path, bounded)
    leaves = [
        each
        for each in graph.components.transforms.values()
        if not each.subtransforms and not set(each.outputs.values()) <= set(each.inputs.values())
    ]
    urns = Counter(each.spec.urn for each in leaves)
    assert set(urns) == {"beam:transform:impulse:v1", "beam:transform:pardo:v1"}
    assert urns["beam:transform:impulse:v1"] == 1
    splittable = 0
    for each in leaves:
        if each.spec.urn != "beam:transform:pardo:v1":
            continue
        assert len(each.inputs) == 1
        payload = beam_runner_api_pb2.ParDoPayload.FromString(each.spec.payload)
        assert not payload.state_specs
        assert not payload.timer_family_specs
        assert not payload.side_inputs
        splittable += bool(payload.restriction_coder_id)
    assert splittable == 1
    strategies = graph.components.windowing_strategies.values()
    assert {each.window_fn.urn for each in strategies} == {"beam:window_fn:global_windows:v1"}


@pytest.mark.graph_only
@pytest.mark.parametrize("bounded", [True, False])
def test_batches_travel_in_the_ipc_coder(tmp_path: Path, bounded: bool) -> None:
    graph = proto(tmp_path, bounded)
    parts = graph.components
    (top,) = [each for each in parts.transforms.values() if each.unique_name == COMPOSITE]
    for name in (*top.inputs.values(), *top.outputs.values()):
        coder = parts.coders[parts.pcollections[name].coder_id]
        assert BatchCoder.__name__.encode() in coder.spec.payload or coder.spec.urn.endswith("BatchCoder")
        want = beam_runner_api_pb2.IsBounded.BOUNDED if bounded else beam_runner_api_pb2.IsBounded.UNBOUNDED
        assert parts.pcollections[name].is_bounded == want


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    count = draw(st.integers(0, 20))
    columns = {
        "i": pa.array(draw(st.lists(st.none() | st.integers(-9, 9), min_size=count, max_size=count)), pa.int64()),
        "s": pa.array(draw(st.lists(st.none() | st.text(max_size=5), min_size=count, max_size=count)), pa.string()),
        "l": pa.array(
            draw(st.lists(st.none() | st.lists(st.floats(), max_size=3), min_size=count, max_size=count)),
            pa.list_(pa.float64()),
        ),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


@given(batches(), st.integers(0, 20), st.integers(0, 20))
def test_the_coder_gives_back_rows_schema_and_envelope(batch: pa.RecordBatch, start: int, length: int) -> None:
    part = (
        Envelope("rows", "s", "v", "rows/v/1", "é", Lane("s", "topic", "x", 1), 5, 9).attach(batch).slice(start, length)
    )
    coder = BatchCoder()
    back = coder.decode(coder.encode(part))
    assert back.schema.equals(part.schema, check_metadata=True)
    assert Envelope.of(back) == Envelope.of(part)
    assert back.to_pylist().__repr__() == part.to_pylist().__repr__()


def test_a_slice_is_encoded_as_small_as_its_rows() -> None:
    batch = pa.record_batch([pa.array(np.arange(1_000_000))], ["x"])
    assert len(BatchCoder().encode(batch.slice(10, 50))) < 2_000


def test_the_coder_is_the_one_beam_picks() -> None:
    assert isinstance(beam.coders.registry.get_coder(pa.RecordBatch), BatchCoder)


def test_a_vector_is_claimed_split_into_done_and_rest_and_done() -> None:
    provider = VectorProvider(bounded=False)
    vector = provider.initial_restriction((("a", 3), ("b", 5)))
    tracker = provider.create_tracker(vector)
    assert not tracker.is_bounded()
    assert tracker.try_claim(("a", 7))
    assert tracker.try_split(0.5) is None
    with pytest.raises(ValueError, match="checkpoint"):
        tracker.check_done()
    assert tracker.try_split(0) == (None, (("a", 7), ("b", 5)))
    assert not tracker.try_claim(("b", 6))
    assert tracker.try_split(0) is None
    tracker.check_done()
    rest = VectorTracker((("a", 7),), bounded=True)
    assert rest.is_bounded()
    assert rest.try_claim(None)
    assert rest.current_restriction() is None
    assert provider.restriction_size((), None) == 0
    assert VectorTracker(None, bounded=True).check_done()


def test_the_embedded_runner_is_mended_once() -> None:
    assert mend_embedded_runner() == ("leak", "state cache")
    mended = fn_runner.consolidate_monitoring_infos
    assert mend_embedded_runner() == ("leak", "state cache")
    assert fn_runner.consolidate_monitoring_infos is mended
    assert isinstance(mended(iter(())), list)  # type: ignore[no-untyped-call]
    assert worker_handlers.STATE_CACHE_SIZE_MB == 0


def test_a_beam_without_what_is_mended_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fn_runner, "consolidate_monitoring_infos")
    monkeypatch.delattr(worker_handlers, "STATE_CACHE_SIZE_MB")
    assert mend_embedded_runner() == ()
    monkeypatch.setattr(fn_runner, "consolidate_monitoring_infos", list, raising=False)
    assert mend_embedded_runner() == ()


@pytest.mark.graph_only
def test_other_runners_get_their_options_as_they_are() -> None:
    pipeline = make_pipeline("FlinkRunner", ["--flink_master=here:8081", "--parallelism=2"], streaming=True)
    options: dict[str, Any] = pipeline.options.get_all_options()
    assert (options["flink_master"], options["parallelism"], options["streaming"]) == ("here:8081", 2, True)
    assert type(pipeline.runner).__name__ == "FlinkRunner"
    local = make_pipeline("local", [], streaming=False)
    assert type(local.runner) is fn_runner.FnApiRunner


class Numbers(beam.DoFn):
    def process(self, element: int) -> Iterator[pa.RecordBatch]:
        yield Envelope("rows", "s", "v", "t", "", Lane("s", "topic", "x", 0), 0, element).attach(
            pa.record_batch([pa.array(range(element))], ["x"])
        )


class Ends(beam.DoFn):
    def process(self, batch: pa.RecordBatch) -> Iterator[tuple[int, int]]:
        yield Envelope.of(batch).end, batch.num_rows


def test_envelopes_survive_a_shuffle_between_workers() -> None:
    numbers, ends = beam.ParDo(Numbers()), beam.ParDo(Ends())  # type: ignore[no-untyped-call]
    with make_pipeline("local", [], streaming=False) as pipeline:
        batches = pipeline | beam.Create([1, 2, 3]) | numbers.with_output_types(pa.RecordBatch)
        assert_that(batches | beam.Reshuffle() | ends, equal_to([(1, 1), (2, 2), (3, 3)]))
