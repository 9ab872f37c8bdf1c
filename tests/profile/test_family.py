"""The family of a request: aims on labelled prompts, and what outweighs what."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchmarks.profile import CODE_MATH_AIM, FAMILY_AIM, PROMPTS, RECALL_AIM, accuracy, labelled_prompts
from freerelay_core import profile as package
from freerelay_core.profile import Depth, LatencyClass, Precision, TaskFamily, Topology, profile_request
from freerelay_core.profile.family import guess_family

WORD_LISTS = sorted((Path(package.__file__).parent / "words").glob("*.yaml"))


def family(asked, system="", **fields):
    messages = [{"role": "system", "content": system}] if system else []
    return profile_request({"messages": [*messages, {"role": "user", "content": asked}], **fields})


@pytest.mark.parametrize("split", PROMPTS)
def test_families_are_read_as_their_author_meant_them(split):
    prompts = labelled_prompts(PROMPTS[split])
    found = accuracy(prompts)
    assert found.family >= FAMILY_AIM
    assert found.code_math >= CODE_MATH_AIM
    assert found.recall >= RECALL_AIM


def test_the_labelled_prompts_cover_families_languages_and_styles():
    development, held_out = (labelled_prompts(path) for path in PROMPTS.values())
    assert len(development) + len(held_out) >= 200
    for prompts in (development, held_out):
        assert {prompt.family for prompt in prompts} == set(TaskFamily)
        assert len({prompt.language for prompt in prompts}) == 11
    assert not {prompt.style for prompt in development} & {prompt.style for prompt in held_out}
    asked = [[str(prompt.body["messages"]) for prompt in prompts] for prompts in (development, held_out)]
    assert not set(asked[0]) & set(asked[1])


def test_what_is_asked_stands_at_either_end_and_the_material_between_says_little():
    letter = "The contract was signed in court; the plaintiff and the tenant agreed on liability. " * 12
    assert family(f"Summarize this letter.\n{letter}").family is TaskFamily.SUMMARIZE
    assert family(f"{letter}\nTranslate this letter into French.").family is TaskFamily.TRANSLATE
    assert family(letter).family is TaskFamily.LEGAL


def test_the_system_prompt_decides_where_the_user_sends_only_material():
    assert family("The soup was cold.", "Classify the sentiment of the review.").family is TaskFamily.CLASSIFY
    assert family("The soup was cold.", "Translate into German.").family is TaskFamily.TRANSLATE


def test_the_user_s_own_instruction_is_nearer_than_the_system_prompt_s():
    assert family("Write a poem about rain", "You are a python programmer.").family is TaskFamily.CREATIVE


def test_only_the_last_message_of_the_user_is_what_is_asked():
    messages = [
        {"role": "user", "content": "Write a python function that reverses a list"},
        {"role": "assistant", "content": "def reverse(items): return items[::-1]"},
        {"role": "user", "content": "Thanks! What would you cook tonight?"},
    ]
    assert profile_request({"messages": messages}).family is TaskFamily.CHAT


def test_structure_is_read_before_words():
    assert family("Jane Doe, 4 May", response_format={"type": "json_object"}).family is TaskFamily.EXTRACT
    assert family("$\\frac{1}{2} + \\sqrt{3}$").family is TaskFamily.MATH
    assert family("what is wrong here\n```\nx = = 1\n```").family is TaskFamily.CODE
    passages = family("<doc>The shop opens at nine.</doc> When does the shop open?")
    assert (passages.family, passages.topology) == (TaskFamily.RAG, Topology.RETRIEVED)


@pytest.mark.parametrize("layout", ["\nA) 1\nB) 2\nC) 3", "\nA. 1\nB. 2\nC. 3", " (A) 1 (B) 2 (C) 3"])
def test_a_multiple_choice_question_is_a_standard_one_with_one_right_answer(layout):
    profile = family(f"Which planet has most moons?{layout}")
    assert (profile.family, profile.depth, profile.precision) == (TaskFamily.CHAT, Depth.STANDARD, Precision.EXACT)
    assert "multiple-choice" in profile.reasons["family"]


def test_the_reason_says_why_without_a_word_of_the_prompt():
    reason = family("Is this lawsuit about negligence?").reasons["family"]
    assert reason == "2 words of legal"
    assert family("```\nmy_secret()\n```").reasons["family"] == "code in the message"


def test_one_weak_word_is_no_sign():
    assert family("I like this number").family is TaskFamily.CHAT


def test_japanese_is_not_read_as_chinese():
    contract_in_chinese = "合同"
    assert family(f"{contract_in_chinese}会社の設立祝いに何を贈ればいいですか？").family is TaskFamily.CHAT


@pytest.mark.parametrize("path", WORD_LISTS, ids=lambda path: path.stem)
def test_every_strong_word_of_the_lists_is_found(path):
    content = yaml.safe_load(path.read_text("utf-8"))
    content.pop("script", None)
    words = [word.strip() for words in content.values() for word in words["strong"].split(",")]
    assert {word for word in words if words.count(word) > 1} == set(), "a word that names two tasks names none"
    kana = "の" if path.stem == "ja" else ""
    reasons = {word: guess_family(word + kana, "", wants_json=False).reason for word in words}
    assert [word for word, reason in reasons.items() if reason == "no sign of another task"] == []


@pytest.mark.parametrize(
    ("fields", "depth", "because"),
    [
        ({}, Depth.HARD, "usual for math"),
        ({"reasoning_effort": "medium"}, Depth.STANDARD, "reasoning_effort medium"),
        ({"reasoning_effort": "high"}, Depth.EXPERT, "reasoning_effort high on a proof"),
        ({"reasoning_effort": "strange"}, Depth.HARD, "usual for math"),
    ],
)
def test_a_proof_at_high_effort_is_expert_work(fields, depth, because):
    profile = family("Prove that the square root of 2 is irrational", **fields)
    assert (profile.depth, profile.reasons["depth"]) == (depth, because)


def test_high_effort_on_a_proof_in_prose_is_hard_only():
    assert family("Write a poem about a proof", reasoning_effort="high").depth is Depth.HARD


def test_tools_and_turns_raise_the_depth():
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert family("Weather?", tools=[tool]).depth is Depth.STANDARD
    many = family("Weather?", tools=[tool] * 8)
    assert (many.depth, many.reasons["depth"]) == (Depth.HARD, "offers 8 tools")
    turn = [{"role": "user", "content": "And then?"}, {"role": "assistant", "content": "Then we slept."}]
    talk = profile_request({"messages": [*turn * 5, turn[0]]})
    assert (talk.depth, talk.reasons["depth"]) == (Depth.STANDARD, "turn 6 of a conversation")
    assert profile_request({"messages": [*turn * 4, turn[0]]}).depth is Depth.EASY


def test_what_the_caller_states_stands_above_every_sign():
    body = {"messages": [{"role": "user", "content": "def f(): pass"}], "reasoning_effort": "high"}
    profile = profile_request({**body, "stream": True, "max_tokens": 20}, task="chat", depth="trivial")
    assert (profile.family, profile.depth) == (TaskFamily.CHAT, Depth.TRIVIAL)
    assert profile.latency_class is LatencyClass.INTERACTIVE, "a stated chat is no completion at the cursor"
