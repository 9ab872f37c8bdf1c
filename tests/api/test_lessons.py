"""What answers teach is the tenant's own where it should be, and outlasts a restart."""

from __future__ import annotations

import pytest
from api_server import BODY, OPERATOR_KEY, asked, grade, ranked, running
from serving import eventually
from upstreams import saying

LONG = "Tell me about the sea and the ships that sail on it. " * 200


def test_what_was_learned_outlasts_a_restart(databases, migrated_template, tmp_path):
    dsn = databases.create("api_lessons", template=migrated_template)
    options = {
        "home": tmp_path, "database_url": dsn, "operator_key": OPERATOR_KEY, "demo": True, "simulated_time_scale": 0.01,
    }  # fmt: skip
    with running(**options) as server:
        decision_id, endpoint = asked(server)
        assert grade(server, decision_id, 0.0).status_code == 200
        eventually(lambda: ranked(server)[endpoint]["graded"] > 0)  # a snapshot serves for a tenth of a second
        lowered = ranked(server)[endpoint]["quality"]
        fresh = ranked(server)
    with running(**options) as server:
        again = ranked(server)
        assert again[endpoint]["quality"] == pytest.approx(lowered)
        assert {name: row["quality"] for name, row in again.items()} == pytest.approx(
            {name: row["quality"] for name, row in fresh.items()}
        )
    databases.drop("api_lessons")


def test_input_found_in_a_cache_makes_the_next_long_prompt_of_that_tenant_cheaper(start, upstream, tmp_path):
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(f"""
providers: {{caching: {{base_url: "{upstream.url}"}}}}
endpoints:
  caching/m: {{like: openai/gpt-4o-mini, upstream_model: caching, price: {{input: 50, cached: 5, output: 50}}}}
""")
    long = BODY | {"messages": [{"role": "user", "content": LONG}]}
    upstream.plan("caching", saying("x", prompt_tokens=2600, prompt_tokens_details={"cached_tokens": 2500}))
    with start(catalogue=catalogue) as server:
        _, other = server.tenant()
        before = ranked(server, long)["caching/m"]["cost_usd"]
        for _ in range(20):
            asked(server, long)
        assert ranked(server, long)["caching/m"]["cost_usd"] < 0.7 * before
        assert ranked(server, long, key=other)["caching/m"]["cost_usd"] > 0.8 * before


THINKER = """
providers:
  thinking: {{base_url: "{url}"}}
endpoints:
  thinking/m: {{like: deepseek/v4-pro@high, upstream_model: thinking, price: free}}
"""


@pytest.mark.parametrize(
    ("limit", "tokens", "ended_by", "learned"),
    [
        (None, 3, "stop", True),
        (20, 3, "stop", True),
        (20, 20, None, False),
        (20, 3, "length", False),
        (None, 3, "length", False),
    ],
)
def test_a_grade_of_a_limited_answer_counts_as_one_of_any_and_of_one_cut_off_not_at_all(
    start, upstream, tmp_path, limit, tokens, ended_by, learned
):
    (tmp_path / "catalogue.yaml").write_text(THINKER.format(url=upstream.url))
    upstream.plan("thinking", saying("42", ended_by, prompt_tokens=10, completion_tokens=tokens))
    hard = BODY | {"routing": {"depth": "expert"}}
    with start(catalogue=tmp_path / "catalogue.yaml") as server:
        before = ranked(server, hard)["thinking/m"]["quality"]
        answer = server.chat(hard if limit is None else hard | {"max_tokens": limit})
        assert grade(server, answer.headers["x-freerelay-decision-id"], 1.0).json()["learned"] is learned
        if learned:
            eventually(lambda: ranked(server, hard)["thinking/m"]["graded"] > 0.5)
        after = ranked(server, hard)["thinking/m"]["quality"]
    one_of_eleven = (10 * before + 1) / 11  # the catalogue's ability counts as ten grades
    assert after == pytest.approx(one_of_eleven if learned else before, rel=0.01)
