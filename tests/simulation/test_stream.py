"""A Parquet file of any length is ranked as the same requests in memory are, block by block."""

from __future__ import annotations

import builders
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.simulation import rank_file, read_trace, simulate

ROWS = 3000
TWO = (builders.endpoint("a/cheap", usd=(0.1, 0.1, 0.2)), builders.endpoint("b/able", ability=1500.0, usd=(3, 3, 9)))


def table(**changes):
    random = np.random.default_rng(3)
    columns = {
        "TIMESTAMP": np.arange(ROWS).astype("datetime64[m]").astype("datetime64[ms]"),
        "ContextTokens": np.rint(np.exp(random.normal(6, 1, ROWS))).astype(np.int64),
        "GeneratedTokens": np.rint(np.exp(random.normal(5, 1, ROWS))).astype(np.int64),
    }
    return pa.table(columns | changes)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "trace.parquet"
    pq.write_table(table(), path, row_group_size=700)
    return path


@pytest.fixture
def snapshot():
    return builders.snapshot(*TWO)


def test_it_costs_and_chooses_what_the_same_csv_does(file, snapshot):
    rows = zip(*(column.to_pylist() for column in table().columns), strict=True)
    lines = [f"{time},{tokens_in},{tokens_out}" for time, tokens_in, tokens_out in rows]
    trace = read_trace("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]).encode(), origin="x")
    in_memory, on_disk = simulate(trace, snapshot), rank_file(file, snapshot).as_dict()
    assert on_disk["requests"] == ROWS
    for preference in RoutingPreference:
        shown, known = on_disk["preferences"][preference.value], in_memory.results[preference]
        assert shown["share"] == pytest.approx(known.share)
        assert shown["cost_usd"] == pytest.approx(known.cost_usd)
        assert shown["quality"] == pytest.approx(known.quality)


def test_the_number_of_row_groups_changes_nothing(file, snapshot, tmp_path):
    alone = rank_file(file, snapshot).as_dict()
    pq.write_table(table(), tmp_path / "whole.parquet")
    whole = rank_file(tmp_path / "whole.parquet", snapshot).as_dict()
    for name, figures in whole["preferences"].items():
        assert figures["share"] == alone["preferences"][name]["share"]
        assert figures["cost_usd"] == pytest.approx(alone["preferences"][name]["cost_usd"])


def test_progress_reaches_the_end(file, snapshot):
    seen = []
    rank_file(file, snapshot, progress=lambda *step: seen.append(step))
    assert seen == [(700, ROWS), (1400, ROWS), (2100, ROWS), (2800, ROWS), (ROWS, ROWS)]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ContextTokens": np.full(ROWS, -1)}, "row group 0: ContextTokens must hold numbers of tokens"),
        ({"ContextTokens": np.full(ROWS, np.nan)}, "row group 0: ContextTokens"),
        ({"GeneratedTokens": np.full(ROWS, 1e300)}, "row group 0: GeneratedTokens"),
        ({"GeneratedTokens": ["many"] * ROWS}, "row group 0: GeneratedTokens"),
        ({"TIMESTAMP": ["noon"] * ROWS}, "row group 0: TIMESTAMP must hold times"),
        ({"TIMESTAMP": pa.array([None] * ROWS, pa.timestamp("ms"))}, "row group 0: TIMESTAMP"),
    ],
)
def test_what_is_no_time_or_number_of_tokens_is_refused_with_its_place(tmp_path, snapshot, changes, problem):
    path = tmp_path / "bad.parquet"
    pq.write_table(table(**changes), path)
    with pytest.raises(UnprocessableRequest, match=problem):
        rank_file(path, snapshot)


def test_a_file_that_cannot_be_a_trace_is_refused(tmp_path, snapshot):
    path = tmp_path / "other.parquet"
    with pytest.raises(UnprocessableRequest, match="there is no such file"):
        rank_file(path, snapshot)
    path.write_bytes(b"not Parquet")
    with pytest.raises(UnprocessableRequest, match="is no Parquet file"):
        rank_file(path, snapshot)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(UnprocessableRequest, match=r"other\.parquet lacks the columns TIMESTAMP"):
        rank_file(path, snapshot)
    pq.write_table(table().slice(0, 0), path)
    with pytest.raises(UnprocessableRequest, match="holds no requests"):
        rank_file(path, snapshot)
