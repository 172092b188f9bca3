"""Slots: the lanes of a job dealt to its subtasks, each subtask under a key that Flink gives to it and to no other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TypeVar

T = TypeVar("T")
_LEAST_GROUPS = 128
_INT, _LONG = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def key_groups(parallelism: int) -> int:
    """Key groups of a job, Flink's "max parallelism": as many as Flink itself would take."""
    return max(_LEAST_GROUPS, 1 << (parallelism + parallelism // 2 - 1).bit_length())


def slot_keys(parallelism: int) -> list[bytes]:
    """A key for each subtask.

    It follows how Flink places keys, since a few keys placed by chance leave subtasks without any. Were it placed
    otherwise, a job would be slower, never wrong.
    """
    groups = key_groups(parallelism)
    keys: dict[int, bytes] = {}
    for number in count():
        key = b"%d" % number
        # As a coder of bytes writes a key that others follow: after its length.
        group = _scrambled(_murmur128(bytes([len(key)]) + key)) % groups
        keys.setdefault(group * parallelism // groups, key)
        if len(keys) == parallelism:
            return [keys[subtask] for subtask in range(parallelism)]
    raise AssertionError


def dealt(items: Sequence[T], hands: int) -> list[tuple[T, ...]]:
    """Items dealt in turns."""
    return [tuple(items[hand::hands]) for hand in range(hands)]


def _murmur128(key: bytes) -> int:
    """First four bytes of MurmurHash3_x64_128 (seed 0) of at most 15 bytes, as a number with a sign."""
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    k1, k2 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    h1 = h2 = 0
    if len(key) > 8:
        h2 ^= (_rotated(k2 * c2 & _LONG, 33, 64) * c1) & _LONG
    h1 ^= (_rotated(k1 * c1 & _LONG, 31, 64) * c2) & _LONG
    h1, h2 = h1 ^ len(key), h2 ^ len(key)
    h1 = (h1 + h2) & _LONG
    h2 = (h2 + h1) & _LONG
    low = (_mixed(h1) + _mixed(h2)) & _INT
    return low - (1 << 32) if low >> 31 else low


def _mixed(h: int) -> int:
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & _LONG
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & _LONG
    return h ^ h >> 33


def _scrambled(code: int) -> int:
    """Flink's own hash of a Java hash code: MurmurHash3_x86_32 of its four bytes, and never below 0."""
    k = code & _INT
    k = _rotated(k * 0xCC9E2D51 & _INT, 15, 32) * 0x1B873593 & _INT
    h = (_rotated(k, 13, 32) * 5 + 0xE6546B64) & _INT
    h ^= 4
    h = (h ^ h >> 16) * 0x85EBCA6B & _INT
    h = (h ^ h >> 13) * 0xC2B2AE35 & _INT
    h ^= h >> 16
    signed = h - (1 << 32) if h >> 31 else h
    return signed if signed >= 0 else -signed if signed != -(1 << 31) else 0


def _rotated(number: int, by: int, bits: int) -> int:
    return (number << by | number >> bits - by) & ((1 << bits) - 1)
