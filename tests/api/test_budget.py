"""A tenant's budget on live requests: shown, used, refused with 429 when it does not last."""

from __future__ import annotations

import time

from api_server import BODY

from freerelay_core.composition.accounts import OPERATOR


def test_a_budget_is_spent_shown_and_then_refused_until_it_is_raised(server):
    tenant, key = server.tenant()
    accounts = server.application.accounts
    body = BODY | {"model": "openai/gpt-4o-mini"}
    server.run(accounts.set_budget(OPERATOR, tenant.id, 10.0))
    with server.http(key) as client:
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        limit = time.monotonic() + 10
        while not (shown := client.get("/v1/tenant/settings").json()["budget"])["spent_usd"]:
            assert time.monotonic() < limit
            time.sleep(0.05)
        assert (shown["budget_usd"], shown["basis"]) == (10.0, "simulated")
        assert shown["left_usd"] == 10.0 - shown["spent_usd"]

        server.run(accounts.set_budget(OPERATOR, tenant.id, shown["spent_usd"]))
        refused = client.post("/v1/chat/completions", json=body)
        assert refused.status_code == 429
        assert (refused.json()["error"]["code"], refused.json()["error"]["type"]) == ("insufficient_quota",) * 2
        assert "The operator can raise the budget" in refused.json()["error"]["message"]
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["x-should-retry"] == "false"

        server.run(accounts.set_budget(OPERATOR, tenant.id, shown["spent_usd"] + 0.00001))
        refused = client.post("/v1/chat/completions", json=body)
        assert refused.json()["error"]["message"].startswith("0.000010 USD are left of this tenant's budget")

        server.run(accounts.set_budget(OPERATOR, tenant.id, None))
        assert client.post("/v1/chat/completions", json=body).status_code == 200
