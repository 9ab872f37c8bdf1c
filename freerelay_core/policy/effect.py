"""What a directive does to a ranking beyond preferring and excluding: limits on endpoints, and the output contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from freerelay_core.catalogue import CAPABILITIES
from freerelay_core.policy.directive import Directive, EnforceMode, Requirement, matching
from freerelay_core.profile import OutputContract, ProfileBatch, RequestProfile
from freerelay_core.scoring import Excluded, Limit
from freerelay_core.snapshot import Snapshot

__all__ = ["limit_of", "limits_of", "raised", "raised_batch"]

_JSON_MODE, _STRUCTURED = CAPABILITIES.index("json_mode"), CAPABILITIES.index("structured_output")


def limits_of(directive: Directive, snapshot: Snapshot) -> tuple[Limit, ...]:
    """The limits that a directive sets, those that may be dropped last: so that none is dropped for nothing."""
    if directive.enforce_mode is None and not directive.requirements:
        return ()
    limits = [] if directive.enforce_mode is None else [Limit(Excluded.NO_JSON_MODE, keep=_writes_json(snapshot))]
    ordered = sorted(directive.requirements, key=lambda r: r.may_be_dropped)
    return (*limits, *(limit_of(requirement, snapshot) for requirement in ordered))


def _writes_json(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
    able: npt.NDArray[np.bool_] = snapshot.capabilities[_JSON_MODE] | snapshot.capabilities[_STRUCTURED]
    return able


def limit_of(requirement: Requirement, snapshot: Snapshot) -> Limit:
    """The limit that a requirement sets."""
    soft = requirement.may_be_dropped
    if requirement.patterns is not None:
        return Limit(Excluded.OUTSIDE_REQUIRED, keep=matching(requirement.patterns, snapshot.endpoint_ids), soft=soft)
    if requirement.max_cost_usd is not None:
        return Limit(Excluded.OVER_MAX_COST, most=requirement.max_cost_usd, soft=soft)
    return Limit(Excluded.OVER_MAX_LATENCY, most=requirement.max_latency_s or 0.0, soft=soft)


_TEXT_AS_JSON = np.array([OutputContract.JSON, OutputContract.JSON, OutputContract.SCHEMA, OutputContract.STRICT])
_RAISED = {
    None: np.array(list(OutputContract)),
    EnforceMode.JSON: _TEXT_AS_JSON,
    EnforceMode.STRICT: np.where(_TEXT_AS_JSON == OutputContract.SCHEMA, OutputContract.STRICT, _TEXT_AS_JSON),
}
"""The contract in place of each contract. Nothing can be strict where the client names no schema."""


def raised(profile: RequestProfile, directive: Directive) -> RequestProfile:
    """The profile with the output contract that a rule enforces, which is never a lower one."""
    if directive.enforce_mode is None:
        return profile
    contract = OutputContract(_RAISED[directive.enforce_mode][profile.contract])
    if contract is profile.contract:
        return profile
    reason = f"raised from {profile.contract.label} by rule {directive.rule_of('enforce_mode')}"
    return profile._replace(contract=contract, reasons={**profile.reasons, "contract": reason})


def raised_batch(profiles: ProfileBatch, directives: Sequence[Directive], index: npt.NDArray[np.intp]) -> ProfileBatch:
    """`raised` for R requests, of which request r follows `directives[index[r]]`."""
    if all(directive.enforce_mode is None for directive in directives):
        return profiles
    tables = np.array([_RAISED[directive.enforce_mode] for directive in directives])
    return replace(profiles, contract=tables[index, profiles.contract])
