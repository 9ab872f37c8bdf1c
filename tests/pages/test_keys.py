"""The keys page: made and shown once, labelled, revoked; never another tenant's."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from freerelay_core.composition.accounts import MOST_LIVE_KEYS, OPERATOR
from freerelay_core.store import well_formed

EVIL = "<b>*x*</b>](http://y)"


def html(app: AppTest) -> str:
    return "\n".join(part.proto.body for part in app.get("html") if not part.proto.body.startswith("<style"))


def press(app: AppTest, label: str) -> AppTest:
    (button,) = (button for button in app.button if button.label.startswith(label))
    return button.click().run()


def create(app: AppTest, label: str, expires: str = "never") -> AppTest:
    app.text_input(key="key_label").set_value(label)
    app.selectbox(key="key_lifetime").set_value(expires)
    return press(app, "Create key")


def keys(running: Any, tenant_id: str) -> list[Any]:
    return running.run(running.application.accounts.keys(OPERATOR, tenant_id))


@pytest.fixture
def tenant_id(running: Any, reader: Any) -> str:
    """A new tenant, signed in with its one key."""
    tenant_id, secret = running.new_tenant()
    reader.sign_in(secret)
    return tenant_id


def test_the_answer_is_how_many_keys_work(reader: Any, tenant_id: str) -> None:
    shown = html(reader.open("keys"))
    assert "<strong>1\u00a0key</strong> works" in shown
    assert "signed in with</span>" in shown
    assert "Keys that have ended" not in shown


def test_the_way_back_leads_to_the_key_of_before(reader: Any, running: Any, tenant_id: str) -> None:
    app = create(reader.open("keys"), "nightly job")
    newer, older = keys(running, tenant_id)
    for key in (older, newer):
        app = app.selectbox(key="key").set_value(key.id).run()
    app.query_params["key"] = older.id
    app = app.run()
    assert app.selectbox(key="key").value == app.query_params["key"] == older.id
    app.query_params.clear()
    app = app.run()
    assert app.selectbox(key="key").value is None
    assert "key" not in app.query_params
    app.query_params["key"] = newer.id
    app = press(app.run(), "Revoke")
    assert "key" not in app.query_params
    app.query_params["key"] = newer.id
    app = app.run()
    assert app.selectbox(key="key").value is None
    assert "has ended or is not yours" in app.warning[0].value
    assert app.query_params["key"] == newer.id, "else Back would lead nowhere"


def test_a_new_key_is_shown_once_and_works(reader: Any, running: Any, tenant_id: str) -> None:
    app = create(reader.open("keys"), "nightly job", "in 30 days")
    (code,) = app.code
    assert well_formed(code.value, "live")
    identity = running.run(running.application.identities.identify(code.value))
    assert identity.tenant.id == tenant_id
    assert identity.expires_at is not None
    assert app.text_input(key="key_label").value == "", "the form is ready for another"
    assert "nightly job <code>" in html(app)
    assert "<strong>2\u00a0keys</strong> work" in html(app)
    assert app.run().code, "it stays while the page is drawn again"
    assert not press(app, "I have stored it").code
    assert not app.run().code
    assert not reader.open("keys").code, "no other session sees it"


def test_the_secret_is_nowhere_but_in_its_box(reader: Any, tenant_id: str) -> None:
    app = create(reader.open("keys"), "x")
    secret = app.code[0].value
    texts = [html(app), *(part.value for part in (*app.markdown, *app.header, *app.caption, *app.success))]
    assert not [text for text in texts if secret in text]
    assert secret not in str(dict(app.query_params))


def test_somebody_else_at_the_same_browser_does_not_see_it(reader: Any, running: Any, tenant_id: str) -> None:
    app = create(reader.open("keys"), "x")
    assert app.code
    reader.sign_in(running.demo_key)
    assert not app.run().code
    reader.sign_in(running.new_tenant()[1])
    assert not app.run().code


@pytest.mark.parametrize("label", ["", "   ", "a\x00b"])
def test_a_label_that_cannot_be_is_refused_and_nothing_is_made(
    reader: Any, running: Any, tenant_id: str, label: str
) -> None:
    app = create(reader.open("keys"), label)
    assert "printable characters" in app.error[0].value
    assert not app.code
    assert len(keys(running, tenant_id)) == 1


def test_a_label_is_shown_as_it_is(reader: Any, tenant_id: str) -> None:
    app = create(reader.open("keys"), EVIL)
    assert EVIL in unescape(html(app))
    assert EVIL not in html(app)


def choose(app: AppTest, key_id: str) -> AppTest:
    return app.selectbox(key="key").set_value(key_id).run()


def test_a_key_is_renamed(reader: Any, running: Any, tenant_id: str) -> None:
    (key,) = keys(running, tenant_id)
    app = choose(reader.open("keys"), key.id)
    app.text_input(key=f"label:{key.id}").set_value("laptop")
    app = press(app, "Rename")
    assert "is now called **laptop**" in app.success[0].value
    assert keys(running, tenant_id)[0].name == "laptop"
    assert "laptop <code>" in html(app)


def test_a_key_is_revoked_after_a_confirmation_that_says_what_it_means(
    reader: Any, running: Any, tenant_id: str
) -> None:
    app = create(reader.open("keys"), "old")
    newest = keys(running, tenant_id)[0]
    app = choose(app, newest.id)
    assert any("refused within a second" in part.value for part in app.markdown)
    assert not app.warning, "nobody is signed in with this key"
    app = press(app, f"Revoke {newest.prefix}")
    assert "is revoked" in app.success[0].value
    assert not app.warning
    assert "revoked " in html(app)
    assert app.selectbox(key="key").value is None
    assert newest.id not in str(dict(app.query_params))
    assert keys(running, tenant_id)[0].revoked_at is not None


def test_revoking_the_key_of_this_session_warns_and_signs_out(reader: Any, running: Any, tenant_id: str) -> None:
    (own,) = keys(running, tenant_id)
    app = choose(reader.open("keys"), own.id)
    assert "you will be signed out" in app.warning[0].value
    app = press(app, f"Revoke {own.prefix}")
    assert [title.value for title in app.title] == ["Sign in to FreeRelay"]


def test_the_chosen_key_stands_in_the_url(reader: Any, running: Any, tenant_id: str) -> None:
    (own,) = keys(running, tenant_id)
    app = reader.open("keys", key=own.id)
    assert app.selectbox(key="key").value == own.id
    app = choose(reader.open("keys"), own.id)
    assert app.query_params["key"] == own.id


def test_another_tenants_key_in_the_url_answers_as_an_unknown_one(reader: Any, running: Any, tenant_id: str) -> None:
    stranger, _ = running.new_tenant()
    (foreign,) = keys(running, stranger)
    answers = set()
    for key_id in (foreign.id, "0198c0de-0000-7000-8000-000000000000", "<script>", ""):
        app = reader.open("keys", key=key_id)
        assert app.selectbox(key="key").value is None
        answers.add((app.warning[0].value, html(app)))
    assert len({warning for warning, _ in answers}) == 1
    assert not [shown for _, shown in answers if foreign.id in shown]


def test_a_key_revoked_in_another_tab_is_no_longer_offered(reader: Any, running: Any, tenant_id: str) -> None:
    app = create(reader.open("keys"), "old")
    newest = keys(running, tenant_id)[0]
    app = choose(app, newest.id)
    running.run(running.application.accounts.revoke_key(OPERATOR, tenant_id, newest.id))
    app = app.run()
    assert not app.exception
    assert app.selectbox(key="key").value is None


def test_at_the_limit_the_page_says_so_instead_of_offering_another(reader: Any, running: Any, tenant_id: str) -> None:
    accounts = running.application.accounts
    for _ in range(MOST_LIVE_KEYS - 1):
        running.run(accounts.create_key(OPERATOR, tenant_id, name="x"))
    app = reader.open("keys")
    assert any("No more than 20\u00a0keys" in caption.value for caption in app.caption)
    assert not [button for button in app.button if button.label == "Create key"]
