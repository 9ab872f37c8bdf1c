"""A preference that is saved once: its answer holds what is so when it is saved."""

from __future__ import annotations

import pytest

from freerelay_core.composition.saving import save_preference_once
from freerelay_core.errors import Conflict
from freerelay_core.preference import RoutingPreference

pytestmark = pytest.mark.anyio

COST = RoutingPreference.COST_OPTIMIZED


@pytest.fixture
async def ann(store):
    return await store.create_tenant("ann@x", tier="free", allow_override=False)


async def save(store, ann, answer_for, *, expected_version=None):
    return await save_preference_once(
        store, ann.id, COST, actor="x", expected_version=expected_version, key="k", answer_for=answer_for
    )


async def test_what_changes_while_the_answer_is_written_is_in_it(store, ann):
    written = []

    async def answer_for(tenant):
        written.append((tenant.tier, tenant.routing_preference))
        if len(written) <= 2:
            await store.update_tenant(ann.id, actor="operator", tier=["silver", "gold"][len(written) - 1])
        return tenant.tier

    answered = await save(store, ann, answer_for)

    assert written == [("free", COST), ("silver", COST), ("gold", COST)]
    assert (answered.answer, answered.tenant.tier, answered.tenant.settings_version) == ("gold", "gold", 4)


async def test_a_version_that_was_named_is_tried_once(store, ann):
    async def answer_for(tenant):
        await store.update_tenant(ann.id, actor="operator", tier="silver")
        return tenant.tier

    with pytest.raises(Conflict, match="version 2, not 1"):
        await save(store, ann, answer_for, expected_version=1)
    assert (await store.tenant(ann.id)).routing_preference is None


async def test_settings_that_never_stand_still_are_a_conflict(store, ann):
    async def answer_for(tenant):
        other = RoutingPreference.BALANCED if tenant.settings_version % 2 else RoutingPreference.PERFORMANCE_FIRST
        await store.set_routing_preference(ann.id, other, actor="y")
        return ""

    with pytest.raises(Conflict) as refused:
        await save(store, ann, answer_for)
    assert refused.value.code == "settings_busy"


async def test_an_unforeseen_failure_is_not_tried_again(store, ann):
    async def answer_for(tenant):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await save(store, ann, answer_for)
