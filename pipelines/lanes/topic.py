"""Lanes of topics: a partition each."""

from __future__ import annotations

from pipelines.brokers.base import Topics
from schemas.lane import Lane


def topic_lanes(topics: Topics, source: str, topic: str) -> dict[Lane, int]:
    """Lanes of a topic, and the next offset of each.

    Raises:
        LaneError: there is no such topic.
    """
    name = topics.id(topic)
    return {Lane(source, "topic", name, partition): end for partition, end in topics.ends(topic).items()}
