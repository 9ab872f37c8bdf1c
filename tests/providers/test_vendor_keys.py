"""Whose keys are used: only those that the operator means."""

from __future__ import annotations

import pytest

from freerelay_core.catalogue import Provider
from freerelay_core.errors import ConfigurationError
from freerelay_core.providers import find_vendor_keys

PROVIDERS = {
    "one": Provider("one", "One", "https://one.example/v1", "ONE_API_KEY"),
    "two": Provider("two", "Two", "https://two.example/v1", "TWO_API_KEY"),
    "own": Provider("own", "Own", "http://127.0.0.1:1/v1", None, own=True),
}


def test_a_key_lying_in_the_environment_is_named_and_not_used():
    found = find_vendor_keys(PROVIDERS, frozenset(), {"ONE_API_KEY": "sk-1"})
    assert found.enabled == {"own"}
    assert dict(found.keys) == {}
    assert found.idle == ("ONE_API_KEY",)


def test_an_enabled_provider_is_called_with_its_key():
    found = find_vendor_keys(PROVIDERS, frozenset({"one"}), {"ONE_API_KEY": " sk-1 ", "TWO_API_KEY": ""})
    assert found.enabled == {"one", "own"}
    assert dict(found.keys) == {"one": "sk-1"}
    assert found.idle == ()


def test_a_key_of_our_own_is_never_sent_to_a_vendor():
    with pytest.raises(ConfigurationError, match="ONE_API_KEY holds a key of FreeRelay") as refusal:
        find_vendor_keys(PROVIDERS, frozenset({"one"}), {"ONE_API_KEY": "fr_live_secret"})
    assert "secret" not in refusal.value.message
    assert find_vendor_keys(PROVIDERS, frozenset(), {"ONE_API_KEY": "fr_live_secret"}).idle == ()


def test_an_enabled_provider_without_key_is_refused_by_the_variable_s_name():
    with pytest.raises(ConfigurationError, match="TWO_API_KEY is not set"):
        find_vendor_keys(PROVIDERS, frozenset({"two"}), {})


def test_an_unknown_provider_is_refused_naming_the_known():
    with pytest.raises(ConfigurationError, match=r"names 'three'; known providers are one, own, two"):
        find_vendor_keys(PROVIDERS, frozenset({"three"}), {})


def test_a_key_that_no_header_can_hold_is_refused_without_showing_it():
    with pytest.raises(ConfigurationError, match="ONE_API_KEY") as refusal:
        find_vendor_keys(PROVIDERS, frozenset({"one"}), {"ONE_API_KEY": "sk-1\r\nx: y"})
    assert "sk-1" not in refusal.value.message


def test_keys_are_not_shown_in_representations():
    assert "sk-1" not in repr(find_vendor_keys(PROVIDERS, frozenset({"one"}), {"ONE_API_KEY": "sk-1"}))
