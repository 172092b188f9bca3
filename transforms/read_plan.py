"""Read plans: everything about a read of a selection that does not depend on the keys asked for, decided once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from schemas.state import Block
from transforms.answer_memo import AnswerMemo, Remembered, identity
from transforms.answers import NO_TIME, PRESENT
from transforms.assembly import Assembly
from transforms.block_answers import first_cell
from transforms.blocks import holder
from transforms.cells import cell_span
from transforms.latest_reads import LatestReads
from transforms.plain_keys import KeyEncoder, key_encoder
from transforms.requests import column_types
from transforms.selection import Output, Selection
from transforms.tile_reads import TileReads, TileRow
from transforms.view import CompiledView
from transforms.windows import BEGINNING, END, steady

MOST_REMEMBERED = 1 << 14


@dataclass(frozen=True)
class BlockReads:
    """Features that are answered from one block.

    Attributes:
        view: the view it belongs to.
        block: the block.
        outputs: the features.
        tiles: how they are read, if they are aggregates of plain types.
        latest: how they are read, if they are latest features of plain types.
    """

    view: CompiledView
    block: Block
    outputs: tuple[Output, ...]
    tiles: TileReads | None
    latest: LatestReads | None

    @staticmethod
    def of(view: CompiledView, block: Block, outputs: Sequence[Output]) -> BlockReads:
        """How features of one block are read."""
        latest = block.kind == "latest"
        tiles = TileReads(block, outputs) if not latest and TileReads.serves(outputs) else None
        newest = LatestReads(view, block, outputs) if latest and LatestReads.serves(block, outputs) else None
        return BlockReads(view, block, tuple(outputs), tiles, newest)

    @property
    def span(self) -> int:
        """µs that one of its cells covers, 0 if there is one alone."""
        return cell_span(self.block.hop)

    def first(self, instant: int | None) -> int:
        """Start of the oldest cell (µs) that is needed at an instant or later; None: at any instant."""
        if self.block.kind == "latest" or self.block.hop is None:
            return 0
        return first_cell(self.block, [output.feature.window for output in self.outputs], instant)


@dataclass(frozen=True)
class EntityReads:
    """Blocks of one entity, for the keys that some columns of the request give.

    Attributes:
        entity: its name.
        keys: (column of the entity, column of the request).
        encode: the keys of a request of plain columns.
        blocks: what is read: first the tiles of plain types.
        tiles: how those are read.
        memo: answers that those gave.
    """

    entity: str
    keys: tuple[tuple[str, str], ...]
    encode: KeyEncoder
    blocks: tuple[BlockReads, ...]
    tiles: tuple[TileReads, ...]
    memo: AnswerMemo = field(default_factory=lambda: AnswerMemo(MOST_REMEMBERED))

    @cached_property
    def types(self) -> list[pa.DataType]:
        """Type of every feature of the tiles."""
        return [output.feature.dtype for tiles in self.tiles for output in tiles.outputs]

    @cached_property
    def alike(self) -> list[int]:
        """Of every feature of the tiles, the number of the first one of the same block and window: with equal times."""
        windows = [(tiles.block.id, column.window) for tiles in self.tiles for column in tiles.columns]
        return [windows.index(window) for window in windows]

    @cached_property
    def present(self) -> tuple[int, ...]:
        """Statuses of the tiles' features where all are PRESENT."""
        return (PRESENT,) * len(self.types)

    @cached_property
    def empty(self) -> TileRow:
        """Answer of the tiles for a key without any."""
        return TileRow.joined([tiles.empty for tiles in self.tiles])

    @cached_property
    def null(self) -> TileRow:
        """Answer of the tiles for a null key."""
        return TileRow.joined([tiles.null for tiles in self.tiles])

    @cached_property
    def nothing(self) -> Remembered:
        """What is always remembered of a key without a cell."""
        return Remembered(identity(()), NO_TIME, BEGINNING, END, self.empty)

    def steady(self, instant: int) -> tuple[int, int]:
        """Instants (µs, from and until) around one at which all windows begin at the same times."""
        ranges = [tiles.steady(instant) for tiles in self.tiles]
        return max(begin for begin, _ in ranges), min(until for _, until in ranges)


@dataclass(frozen=True)
class ReadPlan:
    """How a selection is read online.

    Attributes:
        selection: the features.
        entities: what is read from the store.
        types: columns that a request has to give, with their types.
        assembly: how derived, on-demand and encoded features are computed; None if there are none.
    """

    selection: Selection
    entities: tuple[EntityReads, ...]
    types: Mapping[str, pa.DataType]
    assembly: Assembly | None

    @staticmethod
    def compile(selection: Selection, blocks: Mapping[str, Sequence[Block]]) -> ReadPlan:
        """Plan of a selection.

        Args:
            selection: the features.
            blocks: the applied blocks of every view.

        Raises:
            RequestError: a feature is not applied yet.
        """
        groups: dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, tuple[Block, list[Output]]]] = {}
        for outputs in selection.stored().values():
            for output in outputs:
                view = output.view
                assert view is not None
                block = holder(output.feature, blocks.get(view.name, ()))
                of_entity = groups.setdefault((view.entity.name, output.keys), {})
                of_entity.setdefault(block.id, (block, []))[1].append(output)
        entities = []
        for (entity, columns), of_blocks in groups.items():
            reads = []
            for block, outputs in of_blocks.values():
                view = outputs[0].view
                assert view is not None
                reads.append(BlockReads.of(view, block, outputs))
            reads.sort(key=lambda of_block: of_block.tiles is None)
            tiles = tuple(of_block.tiles for of_block in reads if of_block.tiles is not None)
            encode = key_encoder(reads[0].view.keys, columns)
            entities.append(EntityReads(entity, columns, encode, tuple(reads), tiles))
        computed = any(output.feature.kind not in ("aggregate", "latest") for output in selection.needed())
        assembly = Assembly(selection) if computed else None
        return ReadPlan(selection, tuple(entities), column_types(selection), assembly)

    @cached_property
    def names(self) -> list[tuple[str, str]]:
        """Role and name of every stored feature, in the order in which a read answers them."""
        of_tiles = [reads for entity in self.entities for reads in entity.blocks if reads.tiles is not None]
        others = [reads for entity in self.entities for reads in entity.blocks if reads.tiles is None]
        return [(output.role, output.feature.name) for reads in (*of_tiles, *others) for output in reads.outputs]

    @cached_property
    def places(self) -> list[tuple[str, int]]:
        """Address of each feature asked for, and its number among `names`; of stored features only."""
        numbers = {name: number for number, name in enumerate(self.names)}
        named = [(output.address, (output.role, output.feature.name)) for output in self.selection.outputs]
        return [(address, numbers[name]) for address, name in named if name in numbers]

    @cached_property
    def inputs(self) -> list[tuple[str, int]]:
        """Address of each stored feature that a computed one reads, and its number among `names`."""
        wanted = frozenset() if self.assembly is None else self.assembly.inputs
        named = [(f"{role}:{name}", number) for number, (role, name) in enumerate(self.names)]
        return [(address, number) for address, number in named if address in wanted]

    def firsts(self, instant: int | None) -> tuple[int, int, list[list[int]]]:
        """Where the slices of all blocks begin (µs), and the instants, from and until, for which that holds."""
        firsts = [[reads.first(instant) for reads in entity.blocks] for entity in self.entities]
        begin, until = BEGINNING, END
        if instant is not None:
            for entity in self.entities:
                for reads in entity.blocks:
                    for output in reads.outputs:
                        since, to = steady(output.feature.window, instant)
                        begin, until = max(begin, since), min(until, to)
        return begin, until, firsts
