"""Prints the reference's decisions about given requests under given policies, as lines of JSON.

    python3 tests/data/model/decide.py < QUESTIONS

The first line of the questions is a list of policies. Each other line is
`{"policy": …, "request": …}` with the position of the policy in that list. Where a draw decides, the
answer contains the chances.
"""

import json
import sys

import reference


def answer(policy: dict, request: dict) -> dict:
    """The chances of backends and shadows, and the reasons for which shadows get no copy."""
    decision = reference.decide(policy, request, 0)
    endpoint = next(one for one in policy["endpoints"] if one["name"] == decision["endpoint"])
    cohort = next((one for one in endpoint.get("cohorts", []) if one["name"] == decision["cohort"]), None)
    reason, key, _ = reference.shard_key(endpoint, request)
    if reason == "key":
        key_point = reference.point(reference.salt_of(endpoint), key)
        backends = {decision["backend"]: 1}
    else:
        # The response contains a generated key. Ask again with that.
        key_point = None
        shares = {name: share for name, share in (cohort or endpoint)["traffic"].items() if share > 0}
        backends = {name: share / sum(shares.values()) for name, share in shares.items()}
    shadows = reference.inherited_shadows(endpoint, cohort)
    skips = {name: reference.skip_reason(shadow, request) for name, shadow in shadows.items()}
    return {
        "endpoint": endpoint["name"],
        "cohort": decision["cohort"],
        "reason": reason,
        "backends": backends,
        "shadows": {
            backend: {name: chance(reference.variant_of(policy, name), shadow, backend, key_point) for name, shadow in shadows.items()}
            for backend in backends
        },
        "skips": {name: skip for name, skip in skips.items() if skip is not None},
    }


def chance(variant: str, shadow: dict, backend: str, key_point: int | None) -> float:
    """The chance that the shadow draws a request that `backend` serves."""
    if shadow.get("sample", "request") == "key" and key_point is not None:
        return float(reference.is_drawn(variant, shadow, backend, 0, key_point))
    return shadow["fraction"] if backend in shadow.get("only_from", [backend]) else 0


policies = json.loads(sys.stdin.readline())
for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps(answer(policies[question["policy"]], question["request"])))
