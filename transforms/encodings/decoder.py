"""The decoder of a source's topic."""

from __future__ import annotations

from schemas.source import Source
from transforms.encodings.avro import AvroDecoder
from transforms.encodings.decoded import Decoder
from transforms.encodings.json import JsonDecoder


def decoder(source: Source) -> Decoder:
    """Decoder for the values of the source's topic, by its `encoding`."""
    if source.encoding == "json":
        return JsonDecoder(source)
    return AvroDecoder(source, confluent=source.encoding == "confluent")
