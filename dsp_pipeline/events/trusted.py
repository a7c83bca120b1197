"""Blocks of lines that are believed to be as they should be, which nearly all are.

To be sure of each field of each line takes longer than to read it. So a block is read as a plain engine would, in ways
that fail on what is not as it should be, or show it; such a block is read again by the careful query, which tells what
is wrong with which line. What is read here is what that query would have made of it, verdicts on values included.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from dsp_pipeline.events.arrow import ARROW_TYPES
from dsp_pipeline.events.lines import SEPARATOR, Block
from dsp_pipeline.events.mapping import trusting_query
from dsp_pipeline.events.schema import INTEGER
from dsp_pipeline.events.source import EventLayout, Rule, Source
from dsp_pipeline.events.values import number_value

_CSV_BLOCK = 1 << 20  # bytes: what a processor keeps close


class NotAsBelievedError(Exception):
    """The block needs the careful query."""


class TrustingReader:
    """Reads blocks of one event, of files with one header, on a connection."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        layout: EventLayout,
        hour: datetime,
        hours: int,
        header: Sequence[str] | None,
    ) -> None:
        self._connection, self._source, self._layout = connection, source, layout
        self._columns = None if header is None else [str(place) for place in range(len(header))]
        self._mapping = trusting_query(source, layout, hour, header, hours=hours)

    def rows(self, block: Block) -> pa.Table:
        """`place`, `reason` and the event's columns of the lines that belong to it. NotAsBelievedError."""
        try:
            fields = self._json(block) if self._columns is None else self._text(block, self._columns)
            asked = {name: fields[name] for name in self._mapping.asked}
            given = pa.table({"place": _numbers(len(block)), **asked})
            for name in self._layout.path.names:
                given = given.append_column(f"path.{name}", block.captures(name))
            return self._whole(self._answer(self._mapping.query, given), fields)
        except (pa.ArrowInvalid, duckdb.Error):
            raise NotAsBelievedError from None

    def _answer(self, query: str, lines: pa.Table) -> pa.Table:
        # DuckDB takes longer for many small batches than for a large one and the copy.
        self._connection.register("lines", lines.combine_chunks())
        try:
            return self._connection.sql(query).to_arrow_table()
        finally:
            self._connection.unregister("lines")

    def _json(self, block: Block) -> dict[str, pa.ChunkedArray]:
        """The fields of lines all of which begin as objects do."""
        lines = pa.chunked_array(_texts(block))
        if not pc.all(pc.starts_with(lines, "{")).as_py():
            raise NotAsBelievedError
        apart = self._answer(self._mapping.apart, pa.table({"record": lines}))
        fields = {}
        for name, (column, *steps) in self._mapping.fields.items():
            fields[name] = pc.struct_field(apart.column(column), steps) if steps else apart.column(column)
        for name in self._mapping.texts:  # an object or a list comes as its JSON
            if any(pc.any(pc.starts_with(fields[name], sign)).as_py() for sign in "{["):
                raise NotAsBelievedError
        return fields

    def _text(self, block: Block, columns: Sequence[str]) -> dict[str, pa.ChunkedArray]:
        """The fields, absent ones null; without quotes a line is what stands between the delimiters."""
        if any(pc.any(pc.ascii_is_space(lines)).as_py() for lines in _texts(block)):  # blank ones, of delimiters too
            raise NotAsBelievedError
        text = b"".join(piece.text for piece in block.pieces)
        if b"\r" in text:  # a line's end here and there, and for Arrow wherever it stands
            text = text.replace(b"\r\n", b"\n")
        delimiter = "\t" if self._source.format == "tsv" else ","
        strange = b"\r" in text or text.startswith(b"\xef\xbb\xbf")
        if strange or (delimiter == "," and (b'"' in text or SEPARATOR.encode() in text)):
            raise NotAsBelievedError
        found = pyarrow.csv.read_csv(
            pa.BufferReader(text),
            pyarrow.csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK, column_names=columns),
            pyarrow.csv.ParseOptions(delimiter=delimiter, quote_char=False),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=list(self._source.nulls),
                strings_can_be_null=True,
                include_columns=[column for (column,) in self._mapping.fields.values()],
            ),
        )
        if found.num_rows != len(block):  # empty ones are passed over
            raise NotAsBelievedError
        return {name: found.column(column) for name, (column,) in self._mapping.fields.items()}

    def _whole(self, made: pa.Table, fields: dict[str, pa.ChunkedArray]) -> pa.Table:
        """The answer with the columns that it leaves out, numbers as such."""
        columns = {"place": made.column("place"), "reason": made.column("reason")}
        for column in self._layout.event.columns:
            name = column.name
            if name in made.column_names:
                value = made.column(name)
            elif name in self._mapping.same:
                value = self._present(fields[self._mapping.same[name]])
                if len(value) != made.num_rows:
                    value = value.take(made.column("place"))
            else:
                value = _same(self._mapping.constants.get(name), ARROW_TYPES[column.type], made.num_rows)
            rule = self._mapping.numbers.get(name)
            columns[name] = value if rule is None else self._number(rule, value)
        return pa.table(columns)

    def _present(self, field: pa.ChunkedArray) -> pa.ChunkedArray:
        """The field of JSON lines without the words for what is absent; of text columns they are out already."""
        for word in self._source.nulls if self._columns is None else ():
            absent = pc.equal(field, word)
            if pc.any(absent).as_py():
                field = pc.if_else(absent, pa.scalar(None, pa.string()), field)
        return field

    def _number(self, rule: Rule, text: pa.ChunkedArray) -> pa.ChunkedArray:
        """NotAsBelievedError if one is no number."""
        try:
            return _plain_number(rule, text)
        except pa.ArrowInvalid:
            pass
        # 0.5 as micros say: only by the careful expression, but of this column alone.
        number = self._answer(f"SELECT {number_value(rule, 'text')} AS number FROM lines", pa.table({"text": text}))
        if number.column("number").null_count != text.null_count:
            raise NotAsBelievedError
        return number.column("number")


def _numbers(count: int) -> pa.Array:
    """0, 1, 2, …"""
    return pc.subtract(pc.cumulative_sum(pa.repeat(1, count)), 1)


def _texts(block: Block) -> list[pa.StringArray]:
    """The lines; ArrowInvalid if one is not UTF-8."""
    return [piece.lines.cast(pa.string()) for piece in block.pieces]


def _same(value: str | None, type_: pa.DataType, rows: int) -> pa.Array:
    """The value in all rows. An absent list is an empty one; see row_value."""
    if pa.types.is_list(type_):
        return pa.ListArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows + 1), pa.nulls(0, type_.value_type))
    return pa.repeat(pa.scalar(value, type_), rows)


def _plain_number(rule: Rule, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """ArrowInvalid if one is no number, is written in another way than most are, or is too large."""
    if rule.column.type == INTEGER:
        whole = text.cast(pa.int64())  # takes digits only, neither 1.0 nor 1e3, and 0xFF
        if any(pc.any(pc.starts_with(text, sign)).as_py() for sign in ("0x", "0X")):
            raise pa.ArrowInvalid
        return whole if rule.times is None else pc.multiply_checked(whole, int(rule.times))
    number = text.cast(pa.float64())
    if rule.times is not None:
        number = pc.multiply(number, float(rule.times))
    if pc.any(pc.invert(pc.is_finite(number))).as_py():
        raise pa.ArrowInvalid
    return number
