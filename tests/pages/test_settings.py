"""The settings page: what it says, previewing, saving, and what happens when somebody else was quicker."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from builders import logged_decision
from streamlit.testing.v1 import AppTest

from freerelay_core.clock import id_at
from freerelay_core.composition.accounts import OPERATOR
from freerelay_core.preference import RoutingPreference

COST, BALANCED, PERFORMANCE = RoutingPreference
USE_DEFAULT = "Use the default (balanced)"


def html(app: AppTest) -> str:
    return "\n".join(part.proto.body for part in app.get("html") if not part.proto.body.startswith("<style"))


def told(app: AppTest) -> str:
    """The page's words, without its own HTML."""
    return "\n".join(part.value for part in (*app.header, *app.markdown, *app.caption))


def choose(app: AppTest, preference: str) -> AppTest:
    return app.button_group(key="preference").set_value(preference).run()


def press(app: AppTest, label: str) -> AppTest:
    (button,) = (button for button in app.button if button.label == label)
    return button.click().run()


def stored(running: Any) -> RoutingPreference | None:
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    return tenant.routing_preference


def test_before_anybody_chose_the_default_is_in_force(tenant_reader: Any) -> None:
    app = tenant_reader.open("settings")
    assert "<strong>Balanced</strong> is in force" in html(app)
    assert "<li aria-current='true'>default</li>" in html(app)
    assert "Nobody has chosen for this tenant yet" in html(app)
    assert app.button_group(key="preference").value == "balanced"


def test_choosing_previews_and_saves_nothing(tenant_reader: Any, running: Any) -> None:
    app = choose(tenant_reader.open("settings"), "cost-optimized")
    assert "What cost-optimized would change" in [header.value for header in app.header]
    assert "First choices changed" in html(app)
    assert stored(running) is None


def go_to(app: AppTest, **query: str) -> AppTest:
    """The page as the browser draws it after its Back, at the link of before."""
    app.query_params.clear()
    app.query_params.update(query)
    app = app.run()
    assert {name: app.query_params[name] for name in app.query_params} == query, "else Back would lead nowhere"
    return app


def test_the_way_back_leads_to_the_preview_of_before(tenant_reader: Any) -> None:
    app = choose(choose(tenant_reader.open("settings"), "cost-optimized"), "performance-first")
    assert app.query_params["preference"] == "performance-first"
    app = go_to(app, preference="cost-optimized")
    assert app.button_group(key="preference").value == "cost-optimized"
    assert "What cost-optimized would change" in [header.value for header in app.header]
    app = go_to(app)
    assert app.button_group(key="preference").value == "balanced"
    app = press(choose(app, "performance-first"), "Save performance-first")
    assert "preference" not in app.query_params
    app = go_to(app, preference="performance-first")
    assert "Nothing is saved by choosing" in told(app), "it is in force by now"


def test_keeping_ends_the_preview(tenant_reader: Any) -> None:
    app = press(choose(tenant_reader.open("settings"), "cost-optimized"), "Keep balanced")
    assert app.button_group(key="preference").value == "balanced"
    assert "What cost-optimized would change" not in [header.value for header in app.header]


def test_saving_puts_the_preference_in_force_and_says_so(tenant_reader: Any, running: Any) -> None:
    app = press(choose(tenant_reader.open("settings"), "performance-first"), "Save performance-first")
    assert app.success[0].value == "Saved. **performance-first** is in force: the very next request follows it."
    assert stored(running) is PERFORMANCE
    assert "<strong>Performance-first</strong> is in force" in html(app)
    assert "<li aria-current='true'>tenant</li>" in html(app)
    assert "demo@freerelay.local (dashboard)</td><td>default → performance-first" in html(app)
    assert app.run().success, "it stands when the page is drawn again"
    assert not choose(app, "balanced").success, "until another choice is looked at"


def test_a_confirmation_goes_when_it_is_no_longer_true(tenant_reader: Any, running: Any) -> None:
    app = press(choose(tenant_reader.open("settings"), "performance-first"), "Save performance-first")
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    running.run(running.application.set_preference(tenant.id, "cost-optimized", actor="other"))
    assert not app.run().success
    assert "<strong>Cost-optimized</strong> is in force" in html(app)


def test_a_save_over_a_change_not_seen_is_refused_and_says_whose_it_was(tenant_reader: Any, running: Any) -> None:
    app = choose(tenant_reader.open("settings"), "cost-optimized")
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    running.run(running.application.set_preference(tenant.id, "performance-first", actor="key fr_live_other"))
    press(app, "Save cost-optimized")
    assert app.warning[0].value.startswith("Not saved: these settings were changed meanwhile by key fr\\_live\\_other")
    assert stored(running) is PERFORMANCE
    assert "<strong>Performance-first</strong> is in force" in html(app)


def test_a_change_made_before_the_choice_is_told_before_it_is_overwritten(tenant_reader: Any, running: Any) -> None:
    app = tenant_reader.open("settings")
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    running.run(running.application.set_preference(tenant.id, "performance-first", actor="other"))
    app = press(choose(app, "cost-optimized"), "Save cost-optimized")
    assert stored(running) is PERFORMANCE
    said = app.warning[0].value.replace("\\", "")
    assert said.startswith("Not saved: these settings were changed meanwhile by other on ")
    assert "(default → performance-first). The preference is **performance-first** now. Save again" in said
    running.run(running.application.set_preference(tenant.id, "balanced", actor="a third"))
    app = press(app, "Save cost-optimized")
    assert "changed meanwhile by a third" in app.warning[0].value, "each change is told"
    app = press(app, "Save cost-optimized")
    assert app.success[0].value.startswith("Saved. **cost-optimized** is in force")
    assert stored(running) is COST
    press(choose(app, "balanced"), "Save balanced")
    assert stored(running) is BALANCED, "one's own change is no conflict"


def test_a_change_of_the_tier_meanwhile_is_told_as_what_it_is(tenant_reader: Any, running: Any) -> None:
    app = tenant_reader.open("settings")
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    tier = "silver" if tenant.tier != "silver" else "bronze"
    running.run(running.application.accounts.update_tenant(OPERATOR, tenant.id, tier=tier))
    app = press(choose(app, "cost-optimized"), "Save cost-optimized")
    said = app.warning[0].value.replace("\\", "")
    assert "by operator on " in said
    assert f"(tier: {tenant.tier} → {tier}). The preference is **balanced** now. Nobody has chosen" in said
    press(app, "Save cost-optimized")
    assert stored(running) is COST


def test_an_undo_of_a_change_that_came_with_another_choice_is_told_first(tenant_reader: Any, running: Any) -> None:
    app = tenant_reader.open("settings")
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    running.run(running.application.set_preference(tenant.id, "performance-first", actor="other"))
    undo = "Undo the last change: back to the default (balanced)"
    app = press(choose(app, "cost-optimized"), undo)
    assert app.warning[0].value.startswith("Not undone: these settings were changed meanwhile by other")
    assert stored(running) is PERFORMANCE
    press(app, undo)
    assert stored(running) is None


def test_a_page_opened_anew_shows_the_change_and_saves_at_once(tenant_reader: Any, running: Any) -> None:
    app = tenant_reader.open("settings")
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    running.run(running.application.set_preference(tenant.id, "performance-first", actor="other"))
    app = tenant_reader.go(tenant_reader.go(app, "keys"), "settings")
    press(choose(app, "cost-optimized"), "Save cost-optimized")
    assert stored(running) is COST


def test_after_a_conflict_one_may_reload_or_save_again(tenant_reader: Any, running: Any) -> None:
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    app = choose(tenant_reader.open("settings"), "cost-optimized")
    running.run(running.application.set_preference(tenant.id, "performance-first", actor="other"))
    press(app, "Save cost-optimized")
    press(app, "Reload")
    assert app.button_group(key="preference").value == "performance-first"
    press(choose(app, "cost-optimized"), "Save cost-optimized")
    assert stored(running) is COST


@pytest.mark.parametrize("value", ["bogus", "COST-OPTIMIZED", "", "[x](javascript:1)", "a" * 500])
def test_a_url_that_asks_for_no_preference_falls_back_and_says_so(tenant_reader: Any, value: str) -> None:
    app = tenant_reader.open("settings", preference=value)
    assert app.button_group(key="preference").value == "balanced"
    assert "which does not exist" in app.warning[0].value
    assert "](javascript" not in app.warning[0].value


def test_the_shell_command_is_for_the_preference_looked_at(tenant_reader: Any) -> None:
    app = choose(tenant_reader.open("settings"), "cost-optimized")
    assert '{"routing_preference": "cost-optimized"}' in app.code[0].value


def test_a_tenant_sees_its_own_settings_only(reader: Any, running: Any) -> None:
    reader.sign_in(running.demo_key)
    press(choose(reader.open("settings"), "cost-optimized"), "Save cost-optimized")
    _, secret = running.new_tenant()
    reader.sign_in(secret)
    shown = html(reader.open("settings"))
    assert "<strong>Balanced</strong> is in force" in shown
    assert "demo@freerelay.local" not in shown
    assert "X-FreeRelay-Preference" not in shown, "this tenant may not override"


def history(running: Any) -> list[tuple[str | None, str | None]]:
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    changes = running.run(running.application.store.settings_history(tenant.id))
    return [(change.old_value, change.new_value) for change in changes]


def test_a_save_can_be_undone_to_never_having_chosen(tenant_reader: Any, running: Any) -> None:
    app = press(choose(tenant_reader.open("settings"), "cost-optimized"), "Save cost-optimized")
    app = press(app, "Undo")
    assert app.success[0].value == "Undone. The default (**balanced**) is in force: the very next request follows it."
    assert stored(running) is None
    assert "<li aria-current='true'>default</li>" in html(app)
    assert "Nobody has chosen for this tenant yet" not in html(app), "the history says otherwise"
    assert app.button_group(key="preference").value == "balanced"
    assert history(running) == [("cost-optimized", None), (None, "cost-optimized")]
    assert "demo@freerelay.local (dashboard)</td><td>cost-optimized → default" in html(app)


def test_the_default_is_a_choice_once_there_is_one_to_take_back(tenant_reader: Any, running: Any) -> None:
    app = tenant_reader.open("settings")
    assert USE_DEFAULT not in app.button_group(key="preference").options
    app = press(choose(app, "cost-optimized"), "Save cost-optimized")
    assert USE_DEFAULT in app.button_group(key="preference").options
    app = choose(app, "default")
    assert "What the default (balanced) would change" in [header.value for header in app.header]
    assert "First choices changed" in html(app)
    assert '{"routing_preference": null}' in app.code[0].value
    assert app.query_params["preference"] == "default"
    assert stored(running) is COST, "choosing saves nothing"
    app = press(app, "Save the default (balanced)")
    assert stored(running) is None
    assert app.success[0].value == "Saved. The default (**balanced**) is in force: the very next request follows it."
    assert "<li aria-current='true'>default</li>" in html(app)
    assert "The choice was taken back by demo@freerelay.local (dashboard) on" in html(app)
    assert app.button_group(key="preference").value == "balanced"
    assert "preference" not in app.query_params
    assert history(running)[0] == ("cost-optimized", None)
    app = press(app, "Undo")
    assert app.success[0].value.startswith("Undone. **cost-optimized** is in force")
    assert stored(running) is COST


def test_taking_back_a_choice_that_is_the_default_changes_nothing_for_now(tenant_reader: Any, running: Any) -> None:
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    running.run(running.application.set_preference(tenant.id, "balanced", actor="other"))
    app = tenant_reader.open("settings", preference="default")
    assert "Nothing for now: balanced is the default, too." in told(app)
    assert "First choices changed" not in html(app)
    app = press(app, "Keep balanced")
    assert app.button_group(key="preference").value == "balanced"
    app = press(choose(app, "default"), "Save the default (balanced)")
    assert stored(running) is None
    running.run(running.application.set_preference(tenant.id, "balanced", actor="other"))
    assert not app.run().success, "it is no longer the default that is in force"


def test_a_choice_is_not_taken_back_over_a_change_not_seen(tenant_reader: Any, running: Any) -> None:
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    running.run(running.application.set_preference(tenant.id, "cost-optimized", actor="other"))
    app = choose(tenant_reader.open("settings"), "default")
    running.run(running.application.set_preference(tenant.id, "performance-first", actor="other"))
    app = press(app, "Save the default (balanced)")
    said = app.warning[0].value.replace("\\", "")
    assert "(cost-optimized → performance-first). The preference is **performance-first** now. Save again" in said
    assert stored(running) is PERFORMANCE
    press(app, "Save the default (balanced)")
    assert stored(running) is None


def test_a_choice_that_somebody_else_took_back_meanwhile_is_told(tenant_reader: Any, running: Any) -> None:
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    running.run(running.application.set_preference(tenant.id, "cost-optimized", actor="other"))
    app = choose(tenant_reader.open("settings"), "default")
    running.run(running.application.set_preference(tenant.id, None, actor="other"))
    app = press(app, "Save the default (balanced)")
    assert "(cost-optimized → default). The preference is **balanced** now" in app.warning[0].value.replace("\\", "")
    assert app.button_group(key="preference").value == "balanced"
    assert [change for change, _ in history(running)] == ["cost-optimized", None], "nothing was saved twice"


def test_a_link_to_the_default_where_nobody_chose_shows_it_without_a_word(tenant_reader: Any) -> None:
    app = tenant_reader.open("settings", preference="default")
    assert app.button_group(key="preference").value == "balanced"
    assert not app.warning
    assert app.query_params["preference"] == "default", "else the way back would lead nowhere"


def test_the_newest_change_in_the_history_can_be_undone_later(tenant_reader: Any, running: Any) -> None:
    app = tenant_reader.open("settings")
    assert not [button for button in app.button if button.label.startswith("Undo")], "there is nothing to undo"
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    for chosen in ("cost-optimized", "performance-first"):
        running.run(running.application.set_preference(tenant.id, chosen, actor="key:other"))
    app = press(tenant_reader.open("settings"), "Undo the last change: back to cost-optimized")
    assert stored(running) is COST
    app = press(app, "Undo the last change: back to performance-first")
    assert stored(running) is PERFORMANCE, "undoing an undo repeats the change"


def test_an_undo_of_what_somebody_changed_meanwhile_is_refused(tenant_reader: Any, running: Any) -> None:
    app = press(choose(tenant_reader.open("settings"), "cost-optimized"), "Save cost-optimized")
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    running.run(running.application.set_preference(tenant.id, "performance-first", actor="key fr_live_other"))
    app = press(app, "Undo")
    assert app.warning[0].value.startswith("Not undone: these settings were changed meanwhile by key fr\\_live\\_other")
    assert stored(running) is PERFORMANCE
    app = press(app, "Reload")
    assert not app.warning
    assert app.button_group(key="preference").value == "performance-first"


def test_a_former_value_that_no_longer_exists_is_not_offered(tenant_reader: Any, database: str) -> None:
    app = press(choose(tenant_reader.open("settings"), "cost-optimized"), "Save cost-optimized")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("update settings_audit set old_value = 'fastest'")
    assert not [button for button in app.run().button if button.label.startswith("Undo")]
    assert "fastest → cost-optimized" in html(app)


class TestRules:
    """With an operator's rule that decides for everybody."""

    @pytest.fixture
    def rules(self) -> str:
        return "rules: [{name: budget & week, routing_preference: cost-optimized}]"

    def test_the_rule_that_decides_is_named(self, tenant_reader: Any) -> None:
        shown = html(tenant_reader.open("settings"))
        assert (
            "<strong>Cost-optimized</strong> is in force by the operator's rule <code>budget &amp; week</code>" in shown
        )
        assert "<li aria-current='true'>rule</li>" in shown
        assert "chooses exactly as" in shown, "where a rule decides, the preferences do not differ"


def test_the_budget_is_told_with_what_is_left_or_that_there_is_none(tenant_reader: Any, running: Any) -> None:
    app = tenant_reader.open("settings")
    assert any(part.value.startswith("No budget is set") for part in app.markdown)
    assert told(app).count("o budget is set") == 1
    application = running.application
    tenant = running.run(application.store.tenant_by_email("demo@freerelay.local"))
    running.run(application.accounts.set_budget(OPERATOR, tenant.id, 50.0))
    app = tenant_reader.open("settings")
    assert any("50\\.00 left" in part.value for part in app.markdown)
    assert any("Only the operator sets a budget" in part.value for part in app.caption)
    assert "<td>budget: no budget → $50.00</td>" in html(app), "not a default, and an amount as everywhere"


@pytest.mark.parametrize("budget", [None, 50.0, 0.5])
def test_what_the_forecast_says_is_in_dollars_like_the_rest(
    tenant_reader: Any, running: Any, budget: float | None
) -> None:
    application = running.application
    tenant = running.run(application.store.tenant_by_email("demo@freerelay.local"))
    running.run(application.accounts.set_budget(OPERATOR, tenant.id, budget))
    today = logged_decision(application.clock, tenant.id, cost_usd=1.25, basis="simulated")
    week = [today._replace(id=id_at(today.created_at - timedelta(days=day), day)) for day in range(6)]
    running.run(application.store.append_decisions(week))
    app = tenant_reader.open("settings")
    (forecast,) = (part.value for part in app.caption if part.value.startswith(("At this pace", "The budget of")))
    assert "\\$" in forecast
    assert "USD" not in told(app)
    assert told(app).count("o budget is set") == (budget is None)


def test_a_change_by_a_key_names_the_key_as_the_page_of_keys_does(tenant_reader: Any, running: Any) -> None:
    tenant = running.run(running.application.store.tenant_by_email("demo@freerelay.local"))
    (key,) = running.run(running.application.store.list_keys(tenant.id))
    running.run(running.application.set_preference(tenant.id, "cost-optimized", actor=f"key:{key.id}"))
    shown = html(tenant_reader.open("settings"))
    named = f"API key {key.name} ({key.prefix}…)"
    assert f"Chosen by {named} on" in shown
    assert f"<td>{named}</td>" in shown
    assert key.id not in shown
