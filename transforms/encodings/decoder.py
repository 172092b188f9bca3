"""The decoder of a source's topic."""

from __future__ import annotations

from schemas.source import Source
from transforms.encodings.avro import AvroDecoder
from transforms.encodings.confluent import ConfluentDecoder, Writers
from transforms.encodings.decoded import Decoder
from transforms.encodings.json import JsonDecoder


def decoder(source: Source, writers: Writers | None = None) -> Decoder:
    """Decoder for the values of the source's topic, by its `encoding`.

    Args:
        source: the source.
        writers: gives the schemas of a registry by id; without it all values are taken to be of the source's schema.
    """
    if source.encoding == "json":
        return JsonDecoder(source)
    if source.encoding == "confluent" and writers is not None:
        return ConfluentDecoder(source, writers)
    return AvroDecoder(source, confluent=source.encoding == "confluent")
