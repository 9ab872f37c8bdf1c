"""Reading OpenAI's shapes: bodies, and streams cut anywhere."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upstreams import USAGE, WORDS, completion, delta

from freerelay_core.providers import EventReader, Usage, read_answer


def event(value, end=b"\n\n"):
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + end


def whole(end=b"\n\n"):
    events = [event(delta(word), end) for word in ("", *WORDS)]
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
    last = delta(usage=usage) | {"choices": []}
    return b": comment" + end + b"".join([*events, event(delta(finish_reason="stop"), end), event(last, end)])


CUTS, ENDS = st.lists(st.integers(0, 2000), max_size=30), st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"])


@given(cuts=CUTS, end=ENDS, done=st.booleans())
def test_a_stream_reads_the_same_however_the_network_cuts_it(cuts, end, done):
    data = whole(end) + (event(b"[DONE]", end) if done else b"")
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = EventReader()
    parts = [reader.feed(data[a:b]) for a, b in pairwise(places)]
    assert b"".join(parts) == data
    assert all(part.endswith(end) for part in parts if part)
    assert reader.text == "".join(WORDS)
    assert (reader.finished, reader.done, reader.malformed, reader.error) == (True, done, False, None)
    assert reader.usage == Usage(3, 2, 1)


@given(cuts=CUTS, end=ENDS)
def test_usage_that_was_not_asked_for_is_read_and_kept_back_and_nothing_else(cuts, end):
    last = event(delta(usage={"prompt_tokens": 3, "completion_tokens": 2}) | {"choices": []}, end)
    data = whole(end) + last + event(b"[DONE]", end)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = EventReader(keeps_usage=False)
    passed = b"".join(reader.feed(data[a:b]) for a, b in pairwise(places))
    kept_back = [e for e in data.split(end) if b'"usage"' in e]
    assert len(kept_back) == 2
    assert passed == end.join(e for e in data.split(end) if e not in kept_back)
    assert reader.usage == Usage(3, 2, 0)


@st.composite
def mixed_lines(draw):
    """Events of a word each, and their bytes: lines of any kind and number, and each of them ends in its own way."""
    words, lines = draw(st.lists(st.sampled_from(["Hello", " wörld", "!"]), min_size=1, max_size=6)), []
    for word in words:
        head, tail = json.dumps(delta(word)).split(", ", 1)
        lines += draw(st.lists(st.sampled_from([b": at work", b"event: chunk", b"id:7", b"", b"data"]), max_size=3))
        lines += draw(st.sampled_from([[f"data: {head}, {tail}"], [f"data:{head},", f"data: {tail}"]]))
        lines += [*draw(st.lists(st.just(b"retry: 9"), max_size=1)), b""]
    written, last = b"", b""
    for line in lines:
        # A line feed behind a carriage return would be of one end with it, and no empty line.
        last = draw(st.sampled_from([b"\r\n", b"\r"] if not line and last == b"\r" else [b"\n", b"\r\n", b"\r"]))
        written += (line if isinstance(line, bytes) else line.encode()) + last
    return words, written


@given(stream=mixed_lines(), cuts=CUTS, end=ENDS)
def test_lines_end_in_any_of_three_ways_wherever_the_network_cuts_them(stream, cuts, end):
    words, data = stream
    data += event(delta(finish_reason="stop"), end) + event(b"[DONE]", end)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader, passed = EventReader(), b""
    for a, b in pairwise(places):
        passed += reader.feed(data[a:b])
        read = passed.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert data.startswith(passed)
        assert not read or read.endswith(b"\n\n"), "half an event"
    assert (reader.text, reader.done, reader.malformed) == ("".join(words), True, False)
    assert passed == data


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\r\r\n"])
def test_an_event_is_handed_on_as_soon_as_it_is_whole(end):
    reader, first = EventReader(), event(delta("word"), end)
    assert reader.feed(first) == first
    assert reader.text == "word"


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_an_event_that_comes_byte_by_byte_is_handed_on_with_all_of_its_end(end):
    reader, events = EventReader(), [event(delta("word"), end), event(delta(finish_reason="stop"), end)]
    parts = [reader.feed(bytes([byte])) for byte in b"".join(events)]
    assert [part for part in parts if part] == events


def test_of_a_stream_without_end_the_beginning_is_kept_and_the_rest_counted():
    reader = EventReader()
    for _ in range(100):
        reader.feed(event(delta("wörter " * 1_000)))
    assert reader.text_length == 700_000
    assert len(reader.text) < 500_000
    assert ("wörter " * 100_000).startswith(reader.text)


def test_usage_in_a_chunk_with_a_choice_is_never_kept_back():
    reader = EventReader(keeps_usage=False)
    last = event(delta(finish_reason="stop", usage={"prompt_tokens": 3, "completion_tokens": 2}))
    assert reader.feed(last) == last


def test_the_role_alone_is_no_content_and_a_word_is():
    reader = EventReader()
    reader.feed(event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}))
    assert not reader.has_content
    reader.feed(event(delta("word")))
    assert reader.has_content


@pytest.mark.parametrize(
    "part", [{"tool_calls": [{"index": 0}]}, {"reasoning_content": "hm"}, {"refusal": "no"}, {"audio": {"id": "a"}}]
)
def test_content_is_whatever_a_user_would_see(part):
    reader = EventReader()
    reader.feed(event({"choices": [{"index": 0, "delta": part, "finish_reason": None}]}))
    assert reader.has_content


def test_an_error_event_and_what_follows_it_are_kept_from_the_client():
    reader = EventReader()
    good = event(delta("word"))
    assert reader.feed(good + event({"error": {"message": "quota"}}) + event(delta("more"))) == good
    assert reader.error is not None
    assert reader.ended


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Bearer sk-secret", "type": "overloaded_error"}, "overloaded_error"),
        ({"code": "server_error", "type": "x"}, "server_error"),
        ({"code": 500, "type": "api_error"}, "api_error"),
        ({"code": "Bearer sk-secret"}, "without a kind"),
        ("Bearer sk-secret", "without a kind"),
        ({"code": 70 * "a"}, "without a kind"),
    ],
)
def test_of_an_error_amid_an_answer_only_its_kind_is_told(error, kind):
    reader = EventReader()
    reader.feed(event({"error": error}))
    assert reader.error == kind


@pytest.mark.parametrize("bad", [b"{not json", b"17", b'{"choices": 1}', b'{"choices": ["x"]}'])
def test_what_is_no_chunk_is_noticed_and_kept_from_the_client(bad):
    reader = EventReader()
    good = event(delta("word"))
    assert reader.feed(good + event(bad)) == good
    assert reader.malformed


def test_nothing_after_done_is_handed_on():
    reader = EventReader()
    end = event(delta(finish_reason="stop")) + event(b"[DONE]")
    assert reader.feed(end + event(delta("more"))) == end


def of_choice(index, **choice):
    return delta() | {"choices": [{"index": index, "delta": {"content": "a"}, "finish_reason": None, **choice}]}


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [delta("word")],
        [of_choice(0), of_choice(1), of_choice(0, finish_reason="stop")],
        [of_choice(0, finish_reason="")],
    ],
    ids=["nothing", "a word", "one of two choices", "an empty reason"],
)
def test_a_done_that_comes_before_a_finish_reason_is_kept_from_the_client(chunks):
    reader = EventReader()
    before = b"".join(event(chunk) for chunk in chunks)
    assert reader.feed(before + event(b"[DONE]")) == before
    assert (reader.done, reader.ended, reader.finished) == (True, True, False)


def test_several_choices_are_finished_when_each_has_its_reason_whatever_follows():
    reader = EventReader()
    for index in (0, 1):
        reader.feed(event(of_choice(index)))
        assert not reader.finished
    reader.feed(event(of_choice(1, finish_reason="length")))
    assert not reader.finished
    reader.feed(event(of_choice(0, finish_reason="stop")))
    assert reader.finished
    reader.feed(event(of_choice(0, delta={})))  # as those that report on their filters afterwards
    assert reader.finished


@pytest.mark.parametrize("index", [None, "0", [], {}])
def test_a_choice_without_a_sound_index_is_the_first(index):
    reader = EventReader()
    reader.feed(event(of_choice(index)) + event(of_choice(0, finish_reason="stop")))
    assert reader.finished


def test_an_event_without_end_is_given_up():
    reader = EventReader()
    for _ in range(9):
        reader.feed(b"x" * 1024 * 1024)
    assert reader.malformed


def test_a_whole_answer_gives_its_usage_and_one_without_gives_its_text():
    assert read_answer(json.dumps(completion()).encode()).usage == Usage(24, 4, 0)
    without = completion()
    del without["usage"]
    read = read_answer(json.dumps(without).encode())
    assert (read.usage, read.text, read.error) == (None, "".join(WORDS), None)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "no choices"),
        (b'{"choices": []}', "no choices"),
        (b'{"choices": [null]}', "a choice without a message"),
        (b'{"choices": [{"message": {"content": "a"}}, "b"]}', "a choice without a message"),
        (b'{"choices": [{"index": 0, "message": "a"}]}', "a choice without a message"),
        (b'{"error": {"message": "broken"}}', "in spite of status 200"),
        (b'{"error": "broken"}', "in spite of status 200"),
    ],
)
def test_a_body_that_is_no_answer_says_why_in_our_words(body, reason):
    error = read_answer(body).error
    assert reason in error
    assert "broken" not in error


def test_a_choice_may_have_ended_before_its_first_word():
    assert read_answer(b'{"choices": [{"index": 0, "finish_reason": "length"}]}').error is None


CUT_OFF = [("stop", False), ("tool_calls", False), ("length", True), ("model_length", True), ({"length": 1}, False)]


@pytest.mark.parametrize(("reason", "cut_off"), CUT_OFF)
def test_an_answer_is_cut_off_where_any_of_its_choices_ended_by_its_length(reason, cut_off):
    stopped, other = (completion()["choices"][0] | {"finish_reason": each} for each in ("stop", reason))
    for choices in ([other], [stopped, other], [other, stopped]):
        assert read_answer(json.dumps(completion(choices=choices)).encode()).cut_off is cut_off
        reader = EventReader()
        for index, choice in enumerate(choices):
            reader.feed(event(of_choice(index)))
            assert reader.cut_off is (cut_off and other in choices[:index])
            reader.feed(event(of_choice(index, finish_reason=choice["finish_reason"])))
        assert reader.cut_off is cut_off


def test_an_answer_whose_choices_do_not_say_why_they_ended_is_not_said_to_be_cut_off():
    (choice,) = completion()["choices"]
    del choice["finish_reason"]
    assert read_answer(json.dumps(completion(choices=[choice])).encode()).cut_off is False


NO_COUNT = [True, -1, 1.5, "3", None, [], 2**63, 10**9 + 1]


@pytest.mark.parametrize("value", NO_COUNT)
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_usage_that_cannot_be_is_none(name, value):
    assert read_answer(json.dumps(completion(usage=USAGE | {name: value})).encode()).usage is None
    reader = EventReader()
    reader.feed(event(delta("word", usage=USAGE | {name: value})))
    assert reader.usage is None


@pytest.mark.parametrize("value", NO_COUNT)
def test_details_of_usage_that_cannot_be_are_not_stated(value):
    cached, thinking = {"cached_tokens": value}, {"reasoning_tokens": value}
    usage = USAGE | {"prompt_tokens_details": cached, "completion_tokens_details": thinking}
    assert read_answer(json.dumps(completion(usage=usage)).encode()).usage == Usage(24, 4, 0)
