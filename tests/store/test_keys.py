"""API keys and the credentials of a local install."""

from __future__ import annotations

import re
import stat
import string
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.errors import ConfigurationError
from freerelay_core.store import key_digest, load_or_create_credentials, new_key, well_formed

BASE62 = string.digits + string.ascii_letters


@pytest.mark.parametrize("kind", ["live", "admin"])
def test_a_new_key_is_well_formed_for_its_kind_only(kind):
    key = new_key(kind)

    assert well_formed(key.secret)
    assert well_formed(key.secret, kind)
    assert not well_formed(key.secret, "admin" if kind == "live" else "live")
    assert len(key.secret) == len(f"fr_{kind}_") + 43 + 6
    assert key.prefix == key.secret[:12]
    assert key.digest == key_digest(key.secret)


def test_two_keys_differ_and_neither_shows_its_secret():
    one, other = new_key("live"), new_key("live")

    assert one.secret != other.secret
    assert one.secret not in repr(one)


@given(st.data())
def test_every_mistyped_character_is_noticed(data):
    secret = new_key("live").secret
    position = data.draw(st.integers(8, len(secret) - 1))
    typo = data.draw(st.sampled_from([c for c in BASE62 if c != secret[position]]))

    assert not well_formed(secret[:position] + typo + secret[position + 1 :])


@given(st.data())
def test_every_swap_of_neighbours_is_noticed(data):
    secret = new_key("live").secret
    at = data.draw(st.integers(8, len(secret) - 2).filter(lambda i: secret[i] != secret[i + 1]))

    assert not well_formed(secret[:at] + secret[at + 1] + secret[at] + secret[at + 2 :])


@given(st.text() | st.text(BASE62).map(lambda body: f"fr_live_{body}"))
def test_other_text_is_no_key_and_can_still_be_hashed(text):
    assert not well_formed(text)
    assert len(key_digest(text)) == 64


@pytest.mark.parametrize("padding", ["\n", " ", "\0", "é"])
def test_a_key_with_anything_around_it_is_no_key(padding):
    secret = new_key("live").secret

    assert not well_formed(secret + padding)
    assert not well_formed(padding + secret)


def test_lone_surrogates_are_no_key():
    assert not well_formed("fr_live_" + "\ud800" * 49)
    assert len(key_digest("\ud800")) == 64


def test_credentials_are_made_once_and_kept(tmp_path):
    home = tmp_path / "home"

    first = load_or_create_credentials(home)
    second = load_or_create_credentials(home)

    assert first == second
    assert well_formed(first.demo_key, "live")
    assert well_formed(first.operator_key, "admin")
    assert stat.S_IMODE((home / "credentials").stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["credentials"]
    assert first.demo_key not in repr(first)


def test_a_shell_can_source_the_credentials(tmp_path):
    credentials = load_or_create_credentials(tmp_path)

    script = f'. "{tmp_path}/credentials"; echo "$OPENAI_API_KEY $FREERELAY_OPERATOR_KEY"'
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert printed == [credentials.demo_key, credentials.operator_key]


def test_starts_at_the_same_moment_agree_on_the_credentials(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(load_or_create_credentials, [tmp_path / "home"] * 16))

    assert len(found) == 1
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["credentials"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda text: text[:-4],
        lambda text: text.splitlines()[0],
        lambda text: text + text,
        lambda text: text.replace("export ", ""),
        lambda text: text.replace("OPENAI_API_KEY", "OTHER"),
        lambda text: text.replace("fr_live_", "fr_admin_"),
        lambda text: text + "rm -rf /\n",
    ],
)
def test_damaged_credentials_are_refused_and_left_alone(tmp_path, damage):
    load_or_create_credentials(tmp_path)
    path = tmp_path / "credentials"
    path.write_text(damaged := damage(path.read_text()))

    with pytest.raises(ConfigurationError, match="is damaged") as refused:
        load_or_create_credentials(tmp_path)

    assert path.read_text() == damaged
    assert not [key for key in re.findall(r"fr_\w{20,}", damaged) if key in str(refused.value)]


def test_binary_rubbish_for_credentials_is_refused_and_left_alone(tmp_path):
    (tmp_path / "credentials").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigurationError, match="is damaged"):
        load_or_create_credentials(tmp_path)

    assert (tmp_path / "credentials").read_bytes() == b"\xff\xfe\x00"


def test_credentials_that_cannot_be_read_are_a_configuration_error(tmp_path):
    (tmp_path / "credentials").mkdir()

    with pytest.raises(ConfigurationError, match="credentials"):
        load_or_create_credentials(tmp_path)


def test_credentials_readable_by_others_are_closed_to_them(tmp_path):
    load_or_create_credentials(tmp_path)
    (tmp_path / "credentials").chmod(0o644)

    load_or_create_credentials(tmp_path)

    assert stat.S_IMODE((tmp_path / "credentials").stat().st_mode) == 0o600


def test_a_home_that_is_a_file_is_a_configuration_error(tmp_path):
    (tmp_path / "home").write_text("")

    with pytest.raises(ConfigurationError, match="home"):
        load_or_create_credentials(Path(tmp_path / "home"))
