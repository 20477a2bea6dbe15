"""Prints random policies and requests, and the reference's decisions, as lines of JSON.

    python3 tests/data/model/generate.py SEED CASES CASES_PER_POLICY

A line is `{"policy": …}`, or `{"case": …}` under the policy before it. The last line, `{"tried": …}`,
counts how often each kind of condition held, and how often it did not. The same arguments give the
same lines. Vocabularies are small, so that conditions hold often enough.
"""

import json
import random
import sys

import reference

METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD"]
BACKENDS = ["stable", "canary", "beta", "next-1", "v2.prod"]
SHADOWS = ["canary", "shadow-a", "shadow-b"]
HEADERS = ["x-user", "x-canary", "x-serve-shard-key"]
COOKIES = ["session", "beta"]
PARAMETERS = ["uid", "model", ""]
TIER, USER = [["metadata", "filter_metadata", "test", name] for name in ("tier", "user")]
# An attribute of Envoy. It is an empty string if there is no query.
QUERY = ["request", "query"]
PROPERTIES = [TIER, USER, QUERY, ["no", "such", "one"]]

PATHS = ["/", "/rank", "/rank/", "/rank/x", "/ranking", "/RANK", "/a", "/a/b/c", "/models/m-1/predict"]
ODD_PATHS = ["//rank", "/rank//x", "/rank%2Fx", "/r%61nk", "/rank;v=1", "/rank/."]
BAD_PATHS = ["", "rank", "/r\xffnk", "/r\xc3\xa4nk", "/" + "a" * 1023, "/" + "a" * 1024]
PATH_PREFIXES = ["/", "/", "/rank", "/rank/", "/rank/x", "/a", "/models/"]
PATH_REGEXES = ["/rank(/.*)?", "/models/[a-z0-9-]+/predict", ".*", "/(a|rank)/[^/]*", "/r.nk", "/[a-z]+"]
HOSTS = ["api.example.com", "*.example.com", "*.internal.example", "EXAMPLE.com", "[2001:db8::1]"]
AUTHORITIES = [
    "api.example.com", "API.example.com:8443", "example.com", "x.y.Example.com", "notexample.com", "example.com.",
    "a.internal.example:80", "internal.example", ".example.com", "api.example.com.evil.example", "[2001:db8::1]:80",
    "[2001:DB8::1]", "api.example.com:", "api.example.com:8443:1", "api.example.com:abc",
]
BAD_AUTHORITIES = ["", "api.example.com\xff"]
NETWORKS = ["10.0.0.0/8", "10.1.2.0/24", "10.1.2.3/32", "0.0.0.0/0", "2001:db8::/32", "::/0", "2001:db8::1/128"]
ADDRESSES = ["10.1.2.3", "10.1.3.0", "192.0.2.7", "[2001:db8::1]", "[2001:db9::1]", "[::ffff:10.1.2.3]"]

TEXTS = ["v1", "us", "user-1", "h\u00e4", "k"]
REGEXES = ["v[0-9]+", "user-[1-4]", "on|us", "v1|v12", "h.", "k+", "[^a]*", ".*", r"\w+", r"\d+", r"s\S*", "(a*)*b"]
# Values that no policy contains. Two are the kelvin sign and the long s in UTF-8, which case
# folding beyond ASCII turns into k and s.
ODD_VALUES = [
    "", "\xe2\x84\xaa", "\xc5\xbfs", "h\xc3", "H\xc3\x84", "\xff\xfe", "v1\xff", "on", "aab", "7", "a b", "a\tb",
    "x" * 300, "v" * 1024, "k" * 1025,
]
TOKENS = ["", "v1", "us", "user-1", "k", "V1", "xus", "a%20b", "a+b", "b=c", "%", "%ff"]
# Values of properties. None of the strings could be the eight bytes of a number.
PROPERTY_TEXTS = ["", "us", "US", "user-1", "v1", "h\u00e4", "\u212a", "bus", "a\tb", "a\x01b", "us\x00", "7", "true"]
NUMBERS = [0, 7, 42, -3, 0.5, 0.1, 1e-7, 1e20, 123456789.25, 2**53, 9007199254740993.0, 1e300]
NUMBER_TEXTS = ["7", "42", "0.5", "-3", "100000000000000000000", "0"]
PROPERTY_VALUES = [
    *PROPERTY_TEXTS, *NUMBERS, True, False, True, False, None, [], ["us"], ["bus", "user-1"], {}, {"us": "v1"}, [7], [None],
]
# Cookies around a name and a value.
COOKIE_FORMS = ["{}={}"] * 6 + [
    "{} = {} ", "\t{}\t=\t{}", '{}="{}"', '{}=" {} "', '{}="{}', '{}="', '{}=""', "{}=", "{}", "x{}={}", "{}={}=1",
    "x={}={}", 'x="a;{}={}"', "", "=", "=1", "\xff=\xfe",
]
COOKIE_PATHS = ["/", "/rank", "/rank/", "/a"]
COOKIE_DOMAINS = ["example.com", "Api.Example.com", "evil.example"]
SALTS = ["", "ranker", "a salt with \u00fcmlauts"]


def traffic(rng: random.Random) -> dict:
    """Shares that add up to 1, nearly to 1, or to 100."""
    names = rng.sample(BACKENDS, rng.randint(1, 4))
    if len(names) == 1:
        return {names[0]: rng.choice([1, 1.0, 100])}
    kind = rng.choice(["one", "percent", "nearly", "zeros", "tiny"])
    if kind == "tiny":
        return {names[0]: 0.9999, names[1]: 0.0001}
    if kind == "zeros":
        return dict.fromkeys(names, 0) | {rng.choice(names): 1}
    if kind == "nearly":
        return dict.fromkeys(names, round(1 / len(names), 6))
    cuts = sorted(rng.randint(0, 100) for _ in names[1:])
    percent = [high - low for low, high in zip([0, *cuts], [*cuts, 100])]
    return {name: share if kind == "percent" else share / 100 for name, share in zip(names, percent)}


def comparison(rng: random.Random, texts: list[str] = TEXTS) -> dict:
    """A comparison with its options."""
    kind = rng.choice(["exact", "prefix", "suffix", "contains", "regex", "present"])
    made = {kind: rng.choice(REGEXES if kind == "regex" else [True, False] if kind == "present" else texts)}
    if kind == "exact" and texts == TEXTS and rng.random() < 0.1:
        made[kind] = ""
    if kind != "present" and rng.random() < 0.3:
        made["ignore_case"] = rng.random() < 0.9
    if rng.random() < 0.2:
        made["invert"] = rng.random() < 0.9
    return made


def any_case(rng: random.Random, name: str) -> str:
    """The name of a header, in any case."""
    return rng.choice([name, name, name.upper(), name.title()])


def field(rng: random.Random, kind: str) -> dict | list:
    """The value of a field in a match."""
    count = rng.choice([1, 1, 2])
    if kind == "path":
        choices = {"exact": PATHS + ODD_PATHS, "prefix": PATH_PREFIXES, "regex": PATH_REGEXES}
        kind = rng.choice(list(choices))
        return {kind: rng.choice(choices[kind])}
    if kind == "headers":
        return [{"name": any_case(rng, rng.choice(HEADERS)), **comparison(rng)} for _ in range(count)]
    if kind == "cookies":
        return [{"name": rng.choice(COOKIES), **comparison(rng)} for _ in range(count)]
    if kind == "query":
        return [{"name": rng.choice(PARAMETERS), **comparison(rng)} for _ in range(count)]
    if kind == "properties":
        return [one_property(rng) for _ in range(count)]
    return rng.sample({"methods": METHODS, "hosts": HOSTS, "source_ip": NETWORKS}[kind], count)


def one_property(rng: random.Random) -> dict:
    """A condition on a property, with a type or without."""
    path = rng.choice(PROPERTIES)
    read_as = rng.choice([None, "string", "number", "bool"])
    if read_as is None or path == QUERY:
        return {"path": path, **comparison(rng)}
    texts = {"string": TEXTS, "number": NUMBER_TEXTS, "bool": ["true", "false"]}[read_as]
    return {"path": path, "as": read_as, **comparison(rng, texts)}


def match(rng: random.Random) -> dict:
    """A match of zero to three fields."""
    kinds = ["path", "methods", "hosts", "headers", "cookies", "query", "properties", "source_ip"]
    return {kind: field(rng, kind) for kind in rng.sample(kinds, rng.choice([0, 1, 1, 1, 2, 2, 3]))}


def matches(rng: random.Random) -> dict | list[dict]:
    """A match, or a list of matches."""
    if rng.random() < 0.25:
        return [match(rng) for _ in range(rng.randint(1, 3))]
    return match(rng)


def affinity(rng: random.Random) -> dict | None:
    """The sources of the shard key."""
    if rng.random() < 0.1:
        return None
    made = {}
    sources = [
        {"header": "x-user"}, {"header": "X-Serve-Shard-Key"}, {"cookie": "session"}, {"query": "uid"},
        {"property": USER}, {"property": USER, "as": "number"}, {"property": TIER, "as": "bool"}, {"source_ip": True},
    ]
    if rng.random() < 0.8:
        made["keys"] = rng.sample(sources, rng.choice([0, 1, 1, 1, 2, 2, 3]))
    if rng.random() < 0.4:
        made["salt"] = rng.choice(SALTS)
    if rng.random() < 0.3:
        made |= {"on_missing": "generate_cookie", "cookie": cookie(rng)}
    return made


def cookie(rng: random.Random) -> dict:
    """The cookie of generated keys."""
    made = {"name": rng.choice(COOKIES)}
    if rng.random() < 0.3:
        made["path"] = rng.choice(COOKIE_PATHS)
    if rng.random() < 0.2:
        made["domain"] = rng.choice(COOKIE_DOMAINS)
    return made


def shadows(rng: random.Random, served_by: dict) -> dict:
    """Shadows of the requests that the backends of `served_by` serve."""
    made = {}
    for name in rng.sample(SHADOWS, rng.choice([0, 1, 2, 3])):
        fraction = rng.choice([0, 0.0, 0.01, 0.25, 0.5, 0.75, 1, 1.0])
        options = {}
        if rng.random() < 0.4:
            options["sample"] = rng.choice(["request", "key", "key"])
        if rng.random() < 0.3:
            options["methods"] = rng.sample(METHODS, 2)
        if rng.random() < 0.3:
            options["only_from"] = rng.sample(list(served_by), rng.randint(1, len(served_by)))
        if rng.random() < 0.1:
            options |= {"via": "mirror", "mirror_header": f"x-mirror-{name}"}
        made[name] = {"fraction": fraction, **options} if options or rng.random() < 0.2 else fraction
    return made


def cohort(rng: random.Random, number: int) -> dict:
    """A cohort."""
    shares = traffic(rng)
    made = {"name": f"cohort-{number}", "match": matches(rng), "traffic": shares}
    if rng.random() < 0.5:
        made["shadow"] = shadows(rng, shares)
    return made


def endpoint(rng: random.Random, number: int) -> dict:
    """An endpoint."""
    shares = traffic(rng)
    made = {"name": f"endpoint-{number}", "traffic": shares}
    if rng.random() < 0.5:
        made["route"] = rng.choice(PATH_PREFIXES)
    if rng.random() < 0.2:
        made["methods"] = rng.sample(METHODS, 3)
    if rng.random() < 0.6:
        made["match"] = matches(rng)
    if rng.random() < 0.7:
        made["shadow"] = shadows(rng, shares)
    if rng.random() < 0.7:
        made["affinity"] = affinity(rng)
    if rng.random() < 0.6:
        made["cohorts"] = [cohort(rng, n) for n in range(rng.randint(1, 3))]
    return made


def policy(rng: random.Random) -> dict:
    """A valid policy."""
    made = {"endpoints": [endpoint(rng, n) for n in range(rng.randint(1, 4))]}
    if rng.random() < 0.5:
        made["default_cluster"] = "fallback"
    if rng.random() < 0.5:
        made["response_header"] = "X-Served"
    if rng.random() < 0.5:
        names = rng.sample(BACKENDS, 2)
        made["backends"] = {names[0]: {"cluster": f"cluster|of|{names[0]}"}, names[1]: {}}
        if rng.random() < 0.5:
            # No backend has such a name, and no two of them are equal.
            for number, name in enumerate(rng.sample(BACKENDS + SHADOWS[1:], 3)):
                made["backends"].setdefault(name, {})["variant"] = f"variant-{number}"
    return made


def target(rng: random.Random, method: str) -> str | None:
    """A path with a query, sometimes one that nobody should send."""
    if method == "CONNECT":
        return None
    if method == "OPTIONS":
        return rng.choice(["*", "/rank", "/rank", "/a"])
    path = rng.choice(PATHS * 4 + ODD_PATHS + BAD_PATHS)
    query = ""
    if rng.random() < 0.6:
        forms = rng.choices(["{}", "{}=", "{}={}", "{}={}", "{}={}"], k=rng.choice([0, 1, 1, 2, 3]))
        parts = [form.format(rng.choice(PARAMETERS), rng.choice(TOKENS)) for form in forms]
        query = "?" + rng.choice(["&", "&", "&", "&&", ";", "?"]).join(parts)
    return path + query + rng.choice([""] * 15 + ["#top", "#a?uid=1"])


def value(rng: random.Random) -> str:
    """A string of a policy, a similar one, or something else."""
    text = rng.choice(TEXTS).encode().decode("latin-1")
    upper = text.upper() if text.isascii() else text
    return rng.choice([text, text, text, upper, f"{text}2", f"x{text}", f"x{text}2", rng.choice(ODD_VALUES)])


def headers(rng: random.Random, method: str) -> list[list[str]]:
    """Headers: some twice, some empty, some with bytes that are not UTF-8."""
    names = [any_case(rng, rng.choice(HEADERS)) for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4]))]
    made = [[name, value(rng)] for name in names]
    if rng.random() < 0.02:
        # More values than a regex reads.
        name = rng.choice(HEADERS)
        made += [[name, rng.choice(["no", "-", ""])] for _ in range(rng.randint(14, 17))] + [[name, value(rng)]]
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        parts = [rng.choice(COOKIE_FORMS).format(rng.choice(COOKIES), value(rng)) for _ in range(rng.randint(0, 4))]
        made.append(["cookie", rng.choice(["; ", "; ", ";", " ; ", ", "]).join(parts)])
    if rng.random() < 0.7:
        made.append(["host", rng.choice(AUTHORITIES * 2 + BAD_AUTHORITIES)])
    if rng.random() < (0.8 if method == "OPTIONS" else 0.1):
        made += rng.sample([["origin", "https://a.example"], ["Access-Control-Request-Method", "PUT"]], rng.choice([1, 2, 2]))
    if rng.random() < 0.05:
        made.append(["x-traffic-shadow", rng.choice(["", "shadow-a"])])
    if rng.random() < 0.05:
        made.append(["Upgrade", "websocket"])
        # Without this header Envoy removes the other one.
        made.append(["Connection", rng.choice(["upgrade", "Upgrade", "keep-alive, upgrade"])])
    return made


def source(rng: random.Random) -> str | None:
    """The client's address with its port, nothing, or something that is not an address."""
    if rng.random() < 0.05:
        return rng.choice([None, "no address"])
    return f"{rng.choice(ADDRESSES)}:{rng.randint(1, 65535)}"


def request(rng: random.Random) -> dict:
    """A request."""
    method = rng.choice(METHODS * 8 + ["OPTIONS"] * 4 + ["CONNECT", "get", "PURGE"])
    path = target(rng, method)
    properties = [[name, rng.choice(PROPERTY_VALUES)] for name in (TIER, USER) if rng.random() < 0.6]
    if path is not None and path.isascii():
        properties.append([QUERY, path.partition("#")[0].partition("?")[2]])
    return {
        "method": method,
        "path": path,
        "headers": headers(rng, method),
        "source": source(rng),
        "properties": properties,
        "new_key": rng.getrandbits(128),
    }


def unmix(h: int) -> int:
    """The inverse of `mix`."""
    h ^= h >> 33
    h = h * pow(0xC4CEB9FE1A85EC53, -1, 1 << 64) & reference.MASK
    h ^= h >> 33
    h = h * pow(0xFF51AFD7ED558CCD, -1, 1 << 64) & reference.MASK
    return h ^ h >> 33


def draw(rng: random.Random) -> int:
    """Any draw, or one at the very edge of the draws that a shadow copies."""
    if rng.random() < 0.8:
        return rng.getrandbits(64)
    edge = int(rng.choice([0, 0.01, 0.25, 0.5, 0.75, 1]) * 2**53) + rng.choice([-1, 0, 1])
    return unmix((edge << 11) & reference.MASK) ^ reference.fnv1a(b"shadow\0" + rng.choice(SHADOWS).encode())


def only_native(one: dict) -> str | None:
    """Why HTTP or Envoy can't carry this request to the filter unchanged, or `None`."""
    names = [name.lower() for name, _ in one["headers"]]
    if one["method"] not in METHODS + ["OPTIONS", "PURGE"]:
        return "method"
    if not one["path"].startswith("/") or not all("!" <= c <= "~" and c != "#" for c in one["path"]):
        return "path"
    if "connection" in names:
        return "upgrade"
    if any(name == "host" and value in BAD_AUTHORITIES for name, value in one["headers"]):
        return "host"
    if one["source"] in (None, "no address"):
        return "source"
    if any(value != value.strip(" \t") for _, value in one["headers"]):
        return "spaces"
    return None


def main(seed: int, cases: int, cases_per_policy: int) -> None:
    """Prints the lines."""
    rng = random.Random(seed)
    for number in range(cases):
        if number % cases_per_policy == 0:
            current = policy(rng)
            print(json.dumps({"policy": current}))
        one, at = request(rng), draw(rng)
        case = {
            "request": one | {"new_key": f"{one['new_key']:032x}"},
            "draw": f"{at:016x}",
            "expected": reference.decide(current, one, at),
            "only_native": only_native(one),
        }
        print(json.dumps({"case": case}))
    print(json.dumps({"tried": dict(sorted(reference.tried.items()))}))


main(*map(int, sys.argv[1:]))
