"""Traces from CSV: what is understood, and what is refused with the line named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.profile import Depth, RequestProfile
from freerelay_core.simulation import read_trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
GOOD = HEADER + "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 23:59:59,396,109\n"


def read(text):
    return read_trace(text.encode(), origin="t.csv")


def test_a_public_trace_is_read_with_the_hour_of_each_row():
    trace = read(GOOD)
    assert trace.profiles.input_tokens.tolist() == [374, 396]
    assert trace.profiles.output_tokens.tolist() == [44, 109]
    assert trace.profiles.hour_utc.tolist() == [18, 23]
    assert len(trace.sha256) == 64


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,input_tokens,output_tokens\n2023-11-16T18:15:46Z,1,2\n",
        "output_tokens,x,Input_Tokens,time\n2,zzz,1,2023-11-16 18:15:46\n",
        "﻿" + HEADER + "2023-11-16 18:15:46,1,2\n\n",
        HEADER.replace("\n", "\r\n") + "2023-11-16 18:15:46,1,2\r\n",
        HEADER + "2023-11-16 19:15:46+01:00,1,2\n",
    ],
)
def test_other_names_orders_and_line_ends_are_understood(text):
    trace = read(text)
    assert trace.profiles.input_tokens.tolist() == [1]
    assert trace.profiles.output_tokens.tolist() == [2]
    assert trace.profiles.hour_utc.tolist() == [18]


def test_what_the_file_does_not_say_is_as_told():
    trace = read_trace(GOOD.encode(), origin="t", like=RequestProfile(depth=Depth.HARD))
    assert set(trace.profiles.depth.tolist()) == {Depth.HARD}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "line 1 lacks the columns TIMESTAMP, ContextTokens, GeneratedTokens"),
        ("TIMESTAMP,ContextTokens\n1,2\n", "line 1 lacks the column GeneratedTokens"),
        ("", "line 1 lacks the columns"),
        (HEADER, "has a header and no requests"),
        (GOOD + "2023-11-16 18:15:46,many,2\n", "line 4: ContextTokens must be a number.*'many'"),
        (GOOD + "yesterday,1,2\n", "line 4: TIMESTAMP must be a time.*'yesterday'"),
        (GOOD + "2023-11-16 18:15:46,-5,2\n", "line 4: ContextTokens"),
        (GOOD + "2023-11-16 18:15:46,1,nan\n", "line 4: GeneratedTokens"),
        (GOOD + "2023-11-16 18:15:46,1,inf\n", "line 4: GeneratedTokens"),
        (GOOD + "2023-11-16 18:15:46,,3\n", "line 4: ContextTokens"),
        (GOOD + "2023-11-16 18:15:46\n", "line 4 has 1 fields"),
    ],
)
def test_a_bad_file_is_refused_with_the_column_or_line(text, message):
    with pytest.raises(UnprocessableRequest, match=message):
        read(text)


def test_a_file_that_is_not_text_is_refused_with_the_line():
    with pytest.raises(UnprocessableRequest, match="line 2 is not UTF-8"):
        read_trace(HEADER.encode() + b"\xff\xfe", origin="t.csv")


@pytest.mark.shared
def test_the_azure_conversation_trace_has_its_published_size():
    path = Path(__file__).parents[3] / "shared" / "data" / "azure-llm-2023" / "AzureLLMInferenceTrace_conv.csv"
    if not path.exists():
        pytest.skip(f"needs {path.name} beside the project")
    trace = read_trace(path.read_bytes(), origin=path.name)
    assert len(trace) == 19_366
    assert np.mean(trace.profiles.input_tokens) == pytest.approx(1154.70, abs=0.01)
    assert np.mean(trace.profiles.output_tokens) == pytest.approx(211.13, abs=0.01)
