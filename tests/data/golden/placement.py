"""The placement function in Python.

It was written from the words of the documents and not from the Rust code.

    python3 tests/data/golden/placement.py > tests/data/golden/placement.json

makes the golden vectors again, the same in every run. Tests check that they are current and that the
core agrees with them. A change of any of them moves users, so it needs a new major version.
"""

import json
import math
import struct
import sys
import uuid

MASK = (1 << 64) - 1


def fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def mix(h: int) -> int:
    h ^= h >> 33
    h = h * 0xFF51AFD7ED558CCD & MASK
    h ^= h >> 33
    h = h * 0xC4CEB9FE1A85EC53 & MASK
    return h ^ h >> 33


def u(h: int) -> float:
    return ((h >> 11) + 0.5) * 2.0**-53


def point(salt: str, key: bytes) -> int:
    return mix(fnv1a(salt.encode() + b"\0" + key))


def choose(traffic: dict[str, float], at: int, variants: dict[str, str] = {}) -> str:
    """`variants` has the variant of each backend for which it is not the name."""
    variant = {name: variants.get(name, name) for name in traffic}
    total = sum(traffic[name] for name in sorted(traffic, key=variant.get))
    scores = [
        (-math.log(u(mix(at ^ fnv1a(variant[name].encode())))) / (share / total), variant[name], name)
        for name, share in traffic.items()
        if share > 0
    ]
    return min(scores)[2]


def is_copied(draw: int, backend: str, fraction: float) -> bool:
    return u(mix(draw ^ fnv1a(b"shadow\0" + backend.encode()))) < fraction


def draws(count: int):
    """Numbers that look random and are the same in every run: SplitMix64 from 0."""
    state = 0
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        yield z ^ z >> 31


KEYS = (
    [b"a", b"\0", b"\xff\xfe", "h\u00e4ns".encode(), b" spaced key ", b"x" * 300]
    + [f"user-{n}".encode() for n in (1, 2, 3, 99, 100000)]
    + [str(n).encode() for n in (0, 1, 2, 10, 999999)]
    + [str(uuid.UUID(int=n << 64 | n)).encode() for n in list(draws(5))]
    + [struct.pack(">QQ", n, n ^ MASK) for n in list(draws(9))[5:]]
)
SALTS = ["ranker", "r", "", "a salt with \u00fcmlauts"]
TRAFFICS = [
    {"model-v1": 0.9, "model-v2": 0.1},
    {"model-v1": 0.8, "model-v2": 0.2},
    {"default": 0.98, "new": 0.01, "new2": 0.01},
    {"a": 50, "b": 30, "c": 20},
    {"outbound|8080|v1|m.prod.svc.cluster.local": 0.5, "outbound|8080|v2|m.prod.svc.cluster.local": 0.5},
    {"on": 1, "off": 0},
    {f"b{n}": 0.1 for n in range(10)},
    {"stable": 0.9999, "canary": 0.0001},
]

points = [
    {"salt": salt, "key_hex": key.hex(), "point": f"{point(salt, key):016x}"} for salt in SALTS for key in KEYS
]
choices = [
    {"traffic": traffic, "point": f"{at:016x}", "backend": choose(traffic, at)}
    for n, traffic in enumerate(TRAFFICS)
    for at in [point("ranker", key) for key in KEYS] + list(draws(100 * (n + 1)))[100 * n :]
]
# The backends of another endpoint, placed like those of the first traffics.
VARIANTS = [
    ({"api-v1": 0.9, "api-v2": 0.1}, {"api-v1": "model-v1", "api-v2": "model-v2"}),
    ({"z": 50, "y": 30, "x": 20}, {"z": "a", "y": "b", "x": "c"}),
    ({"a": 0.5, "b": 0.5}, {"b": "c"}),
]
alike = [
    {"traffic": traffic, "variants": variants, "point": f"{at:016x}", "backend": choose(traffic, at, variants)}
    for n, (traffic, variants) in enumerate(VARIANTS)
    for at in [point("ranker", key) for key in KEYS] + list(draws(50 * (n + 1)))[50 * n :]
]
shadows = [
    {"draw": f"{draw:016x}", "backend": backend, "fraction": fraction, "copied": is_copied(draw, backend, fraction)}
    for backend in ("model-v3", "model-v4")
    for fraction in (0.5, 0.1, 0.01, 1, 0)
    for draw in draws(40)
]
made = (
    "Made by tests/data/golden/placement.py, an implementation of its own, written from the words of the README. "
    "All 64-bit numbers are in hexadecimal. points: the point of a salt and a key; choices: the backend that serves a "
    "point; variants: the same for backends whose variant is not their name; shadows: whether a request with this draw is copied. Python's logarithm is the C library's; where it "
    "differs from the filter's in the last bit, no vector here is near enough to a tie to tell."
)


def rows(name: str, values: list) -> str:
    return f'"{name}": [\n' + ",\n".join(json.dumps(value) for value in values) + "\n]"


parts = [f'"made": {json.dumps(made)}', rows("points", points), rows("choices", choices), rows("variants", alike), rows("shadows", shadows)]
sys.stdout.write("{\n" + ",\n".join(parts) + "\n}\n")
