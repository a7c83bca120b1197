"""Random numbers and texts: DuckDB's answers against Python's arithmetic, as BigQuery documents it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import duckdb
import farmhash
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsp_pipeline.sql.translate import prepare, to_duckdb

INT64 = st.integers(-(2**63), 2**63 - 1)
SMALL = st.integers(-1000, 1000)
quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Oracle:
    """Evaluates a BigQuery expression over columns a and b."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def __call__(self, expression: str, kind: str, a: object, b: object = None) -> object:
        tree = sqlglot.parse_one(f"SELECT {expression} AS r FROM t", dialect="bigquery")
        source = f"SELECT CAST($a AS {kind}) AS a, CAST($b AS {kind}) AS b"
        sql = f"WITH t AS ({source}) {to_duckdb(tree)}"
        return self.connection.execute(sql, {"a": a, "b": b}).fetchall()[0][0]


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with duckdb.connect() as connection:
        prepare(connection)
        yield Oracle(connection)


@quick
@given(a=INT64, b=INT64.filter(bool))
def test_div_and_mod_cut_towards_zero(oracle: Oracle, a: int, b: int) -> None:
    """DIV drops the fraction and MOD has the sign of the dividend."""
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    if -(2**63) <= quotient < 2**63:
        assert oracle("DIV(a, b)", "BIGINT", a, b) == quotient
        assert oracle("MOD(a, b)", "BIGINT", a, b) == a - quotient * b


@quick
@given(a=INT64, b=INT64)
def test_bits_are_twos_complement(oracle: Oracle, a: int, b: int) -> None:
    """&, | and ^ work on negative numbers as Python's do, so a bucket is never negative."""
    assert oracle("a & b", "BIGINT", a, b) == a & b
    assert oracle("a | b", "BIGINT", a, b) == a | b
    assert oracle("a ^ b", "BIGINT", a, b) == a ^ b
    assert oracle("a & 63", "BIGINT", a) == a % 64


@quick
@given(a=st.floats(-1e15, 1e15), half=st.sampled_from([0.0, 0.5, -0.5]))
def test_rounding_is_half_away_from_zero(oracle: Oracle, a: float, half: float) -> None:
    """ROUND and CAST to INT64 agree, and a half goes away from zero."""
    value = math.trunc(a / 1e5) + half
    exact = Fraction(value)
    expected = math.floor(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)
    assert oracle("CAST(a AS INT64)", "DOUBLE", value) == expected
    assert oracle("ROUND(a)", "DOUBLE", value) == float(expected)


@quick
@given(a=SMALL, b=SMALL)
def test_division_is_a_float(oracle: Oracle, a: int, b: int) -> None:
    """`/` of integers is a FLOAT64; SAFE_DIVIDE by zero is NULL."""
    assert oracle("SAFE_DIVIDE(a, b)", "BIGINT", a, b) == (a / b if b else None)
    if b:
        assert oracle("a / b", "BIGINT", a, b) == a / b


@quick
@given(text=st.text(max_size=20).filter(lambda text: "\0" not in text))
def test_farm_fingerprint_is_farmhash_as_signed(oracle: Oracle, text: str) -> None:
    """Any text hashes as FarmHash's Fingerprint64 of its UTF-8."""
    unsigned = farmhash.fingerprint64(text)
    assert oracle("FARM_FINGERPRINT(a)", "VARCHAR", text) == unsigned - (unsigned >= 2**63) * 2**64


@quick
@given(text=st.text(alphabet="abcé𝄞", max_size=8), start=st.integers(-10, 10), length=st.integers(0, 10))
def test_substr_counts_from_one_or_from_the_end(oracle: Oracle, text: str, start: int, length: int) -> None:
    """0 is the first place; a negative place counts from the end and stops at the beginning."""
    begin = start - 1 if start > 0 else max(len(text) + start, 0) if start < 0 else 0
    got = oracle(f"SUBSTR(a, {start}, {length})", "VARCHAR", text)
    assert got == text[begin : begin + length]


@quick
@given(micros=st.integers(-(2**50), 2**52))
def test_unix_seconds_round_down(oracle: Oracle, micros: int) -> None:
    """UNIX_SECONDS is the beginning of the second, before 1970 as well."""
    assert oracle("UNIX_SECONDS(TIMESTAMP_MICROS(a))", "BIGINT", micros) == micros // 10**6
    assert oracle("UNIX_MILLIS(TIMESTAMP_MICROS(a))", "BIGINT", micros) == micros // 10**3
    assert oracle("UNIX_MICROS(TIMESTAMP_MICROS(a))", "BIGINT", micros) == micros
