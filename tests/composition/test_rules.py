"""The rules in force, while the operator edits the file."""

from __future__ import annotations

import os

import pytest

from freerelay_core.composition.rules import RulesInForce
from freerelay_core.errors import ConfigurationError
from freerelay_core.policy import Facts
from freerelay_core.profile import RequestProfile

IDS = ("groq/llama", "openai/gpt")
ONE = "rules: [{name: one, exclude: ['groq/*']}]"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(ONE)
    return path


def edit(path, text):
    path.write_text(text)
    after = path.stat().st_mtime_ns + 1_000_000  # clocks of file systems are coarse
    os.utime(path, ns=(after, after))


def looked(rules):
    """Whether two looks at the file put other rules in force."""
    return [rules.renew(), rules.renew()] == [False, True]


def fired(rules):
    return rules.policy.directive(Facts(RequestProfile())).rules


def test_a_right_edit_takes_effect(path):
    rules = RulesInForce(path, IDS)
    assert not looked(rules)
    edit(path, "rules: [{name: two, exclude: ['openai/*']}]")
    assert looked(rules)
    assert fired(rules) == ("two",)


def test_a_wrong_edit_keeps_the_old_rules_in_force_and_says_why_once(path, caplog):
    rules = RulesInForce(path, IDS)
    edit(path, "rules:\n  - name: two\n    exclude: ['nobody/*']\n")
    assert not looked(rules)
    assert fired(rules) == ("one",)
    assert "rules.yaml:3: rule 'two': exclude.0: 'nobody/*' matches no endpoint" in caplog.text
    caplog.clear()
    assert not looked(rules)
    assert not caplog.records
    edit(path, ONE.replace("one", "mended"))
    assert looked(rules)
    assert fired(rules) == ("mended",)


def test_a_file_that_is_just_being_written_is_not_read(path):
    rules = RulesInForce(path, IDS)
    edit(path, "")
    assert not rules.renew()
    edit(path, "rules: [{name: two, exclude: ['openai/*']}]")
    assert not rules.renew()
    assert fired(rules) == ("one",)
    assert rules.renew()
    assert fired(rules) == ("two",)


def test_a_file_that_vanishes_leaves_its_rules_in_force(path):
    rules = RulesInForce(path, IDS)
    path.unlink()
    assert not looked(rules)
    assert fired(rules) == ("one",)
    path.write_text(ONE.replace("one", "back"))
    assert looked(rules)
    assert fired(rules) == ("back",)


def test_a_wrong_file_is_refused_at_the_start_and_no_file_means_no_rules(path):
    edit(path, "rules: [{name: one}]")
    with pytest.raises(ConfigurationError, match="asks for nothing"):
        RulesInForce(path, IDS)
    none = RulesInForce(None, IDS)
    assert not looked(none)
    assert len(none.policy) == 0
