"""A provider is reached where the operator's configuration says, and nowhere inside the operator's network."""

from __future__ import annotations

import socket

import builders
import pytest
from upstreams import upstream_server

from freerelay_core.catalogue import Provider
from freerelay_core.profile import RequestProfile
from freerelay_core.providers import OpenAIWire, UpstreamError, UpstreamRequest
from freerelay_core.providers.addresses import is_public

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
    ],
)  # fmt: skip
def test_addresses_of_one_s_own_network_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "104.18.7.192", "2606:4700::6812:7c0", "64:ff9b::101:101"])
def test_addresses_of_the_internet_are_public(address):
    assert is_public(address)


async def reached(url, *, own):
    """Whether a request to this base URL is answered."""
    provider = Provider("p", "P", url, None, own=own)
    sent = UpstreamRequest(
        endpoint=builders.endpoint("p/m"), index=0, provider=provider, body=b'{"model": "m"}', stream=False,
        profile=RequestProfile(), thinking_tokens=0.0, decision_id="d", attempt=1, first_byte_limit_s=5.0,
        total_limit_s=5.0,
    )  # fmt: skip
    wire = OpenAIWire({"p": provider}, {})
    try:
        answer = await wire.send(sent)
        await answer.close()
    except UpstreamError as error:
        return error.kind != "unreachable"
    finally:
        await wire.close()
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "api.openai.example"])
async def test_only_a_provider_of_the_operator_s_own_file_may_lead_here(host, monkeypatch):
    look_up = socket.getaddrinfo

    def rebound(name, *args, **options):
        """A public name whose owner has pointed it at this machine."""
        return look_up("127.0.0.1" if name == "api.openai.example" else name, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with upstream_server() as upstream:
        url = f"http://{host}:{upstream.port}/v1"
        assert not await reached(url, own=False)
        assert upstream.connections == 0, "refused before a connection"
        assert await reached(url, own=True)
