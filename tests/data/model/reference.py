"""The reference model: the contract as a slow and obvious program.

It was written from the words of the documents and not from the Rust code. `decide` decides about
one request under one policy, and reads the policy as its author wrote it. Where the documents are
silent, a comment states the assumption.
"""

import collections
import decimal
import ipaddress
import math
import re

MASK = (1 << 64) - 1

# How often each kind of condition held, and how often it did not. The counts show whether random
# cases try everything.
tried: collections.Counter[str] = collections.Counter()


def decide(policy: dict, request: dict, draw: int) -> dict:
    """Where the request goes, why, and which shadows get a copy.

    A request has a `method`, a `path` with its query or `None`, `headers` as pairs, a `source` with
    its port, `properties` as pairs of path and JSON value, and `new_key`, the 128 bits of a key that may
    be generated for it. Each character stands for one byte, except in properties.
    """
    for endpoint in policy["endpoints"]:
        if endpoint_takes(endpoint, request):
            return decide_in(policy, endpoint, request, draw)
    return {
        "endpoint": None,
        "cohort": None,
        "backend": None,
        "cluster": policy.get("default_cluster"),
        "reason": "none",
        "candidates": {},
        "near_tie": False,
        "shadows": [],
        "skipped": [],
        "set_cookie": None,
    }


def decide_in(policy: dict, endpoint: dict, request: dict, draw: int) -> dict:
    """The decision within the endpoint that matches."""
    cohort = next((c for c in endpoint.get("cohorts", []) if any_match_holds(c["match"], request)), None)
    traffic = (cohort or endpoint)["traffic"]
    reason, key, set_cookie = shard_key(endpoint, request)
    key_point = None if key is None else point(salt_of(endpoint), key)
    variants = {name: variant_of(policy, name) for name in policy.get("backends", {})}
    backend, near_tie = choose(traffic, draw if key_point is None else key_point, variants)
    shadows = inherited_shadows(endpoint, cohort)
    drawn = [
        name for name in sorted(shadows)
        if is_drawn(variants.get(name, name), shadows[name], backend, draw, key_point)
    ]
    skipped = {name: skip_reason(shadows[name], request) for name in drawn}
    return {
        "endpoint": endpoint["name"],
        "cohort": cohort and cohort["name"],
        "backend": backend,
        "cluster": cluster_of(policy, backend),
        "reason": reason,
        "candidates": {name: cluster_of(policy, name) for name, share in traffic.items() if share > 0},
        "near_tie": near_tie,
        "shadows": [name for name in drawn if skipped[name] is None],
        "skipped": [[name, skipped[name]] for name in drawn if skipped[name] is not None],
        "set_cookie": set_cookie,
    }


def cluster_of(policy: dict, backend: str) -> str:
    """The cluster of a backend. By default it has the name of the backend."""
    return policy.get("backends", {}).get(backend, {}).get("cluster", backend)


def variant_of(policy: dict, backend: str) -> str:
    """What the placement hashes of a backend. By default it is the name of the backend."""
    return policy.get("backends", {}).get(backend, {}).get("variant", backend)


# -------------------------------------------------------------------------------------- the request


def values_of_header(request: dict, name: str) -> list[bytes]:
    """Header names are case-insensitive. Spaces around a value do not belong to it."""
    return [value.encode("latin-1").strip(b" \t") for known, value in request["headers"] if known.lower() == name.lower()]


def split_target(request: dict) -> tuple[bytes | None, bytes]:
    """The path and the query. The documents are silent on fragments; they belong to neither."""
    # CONNECT and `OPTIONS *` are requests without a path.
    if request["path"] is None or request["path"] == "*":
        return None, b""
    target = request["path"].encode("latin-1").partition(b"#")[0]
    path, _, query = target.partition(b"?")
    return path, query


def values_of_parameter(request: dict, name: str) -> list[bytes]:
    """Nothing is decoded. A parameter without `=` has an empty value."""
    _, query = split_target(request)
    values = []
    for parameter in query.split(b"&"):
        known, _, value = parameter.partition(b"=")
        if parameter != b"" and known == name.encode():
            values.append(value)
    return values


def values_of_cookie(request: dict, name: str) -> list[bytes]:
    """A part without `=` is not a cookie. Spaces around names and values do not belong to them."""
    values = []
    for header in values_of_header(request, "cookie"):
        for cookie in header.split(b";"):
            known, equals, value = cookie.partition(b"=")
            value = value.strip(b" \t")
            if len(value) >= 2 and value.startswith(b'"') and value.endswith(b'"'):
                value = value[1:-1]
            if equals and known.strip(b" \t") == name.encode():
                values.append(value)
    return values


def values_of_property(request: dict, path: list[str], read_as: str) -> list[bytes]:
    """A value of another type counts as absent, and so does an empty string."""
    values = [text_of(value, read_as) for known, value in request["properties"] if known == path]
    for known, value in request["properties"]:
        if known == path:
            tried[f"{type(value).__name__} as {read_as}"] += 1
    return [value for value in values if value is not None]


def text_of(value: object, read_as: str) -> bytes | None:
    """The text of a value of this type. A string with a control character counts as absent."""
    if read_as == "string" and isinstance(value, str) and value != "":
        return None if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value) else value.encode()
    if read_as == "number" and isinstance(value, (int, float)) and not isinstance(value, bool):
        # All numbers in metadata are doubles, and Python writes the fewest digits.
        text = f"{decimal.Decimal(repr(float(value))):f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text).encode()
    if read_as == "bool" and isinstance(value, bool):
        return str(value).lower().encode()
    return None


def source_address(request: dict) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The client's address. An IPv4-mapped IPv6 address is the IPv4 address."""
    if request["source"] is None:
        return None
    address = request["source"].rpartition(":")[0].strip("[]")
    try:
        address = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


# -------------------------------------------------------------------------------------- the matches


def endpoint_takes(endpoint: dict, request: dict) -> bool:
    """Whether `route`, `methods` and `match` all hold."""
    short = {}
    if "route" in endpoint:
        short["path"] = {"prefix": endpoint["route"]}
    if "methods" in endpoint:
        short["methods"] = endpoint["methods"]
    return match_holds(short, request) and any_match_holds(endpoint.get("match", {}), request)


def any_match_holds(match: dict | list[dict], request: dict) -> bool:
    """Whether a match holds, or any match of a list."""
    if isinstance(match, list):
        return any(match_holds(one, request) for one in match)
    return match_holds(match, request)


def match_holds(match: dict, request: dict) -> bool:
    """Whether all fields of a match hold."""
    return all(field_holds(field, wanted, request) for field, wanted in match.items())


def field_holds(field: str, wanted: dict | list, request: dict) -> bool:
    """Whether one field of a match holds."""
    if field == "path":
        holds = path_holds(wanted, request)
    elif field == "methods":
        holds = request["method"] in wanted
    elif field == "hosts":
        holds = any(host_is(host, request) for host in wanted)
    elif field == "headers":
        holds = all(compares(one, values_of_header(request, one["name"])) for one in wanted)
    elif field == "cookies":
        holds = all(compares(one, values_of_cookie(request, one["name"])) for one in wanted)
    elif field == "query":
        holds = all(compares(one, values_of_parameter(request, one["name"])) for one in wanted)
    elif field == "properties":
        holds = all(
            compares(one, values_of_property(request, one["path"], one.get("as", "string"))) for one in wanted
        )
    elif field == "source_ip":
        address = source_address(request)
        holds = address is not None and any(address in ipaddress.ip_network(network) for network in wanted)
    else:
        raise ValueError(f"a match has no {field}")
    tried[f"{field}: {holds}"] += 1
    return holds


def path_holds(wanted: dict, request: dict) -> bool:
    """One of `exact`, `prefix` and `regex`. A prefix consists of whole segments."""
    [(comparison, text)] = wanted.items()
    path, _ = split_target(request)
    if path is None:
        holds = False
    elif comparison == "exact":
        holds = path == text.encode()
    elif comparison == "prefix":
        prefix = text.encode().removesuffix(b"/")
        # A path starts with "/". The empty string before a query is not a path.
        holds = path.startswith(prefix + b"/") or (path == prefix and prefix != b"")
    else:
        holds = any(regex_matches(text, value, False) for value in values_for_regex([path]))
    tried[f"path {comparison}: {holds}"] += 1
    return holds


def host_is(wanted: str, request: dict) -> bool:
    """Case and port are ignored. `*.example.com` matches all its subdomains, and not itself."""
    authorities = values_of_header(request, "host")
    if not authorities:
        return False
    # The documents do not define a port: digits, or nothing, after the last colon.
    host = re.sub(rb":[0-9]*$", b"", authorities[0]).lower()
    name = wanted.lower().encode()
    if name.startswith(b"*."):
        suffix = name[1:]
        return host.endswith(suffix) and host != suffix
    return host == name


def compares(comparison: dict, values: list[bytes]) -> bool:
    """Whether any of the values compares, or none of them with `invert`."""
    [kind] = [key for key in comparison if key not in ("name", "path", "as", "ignore_case", "invert")]
    wanted = comparison[kind]
    if kind == "present":
        holds = bool(values) == wanted
    else:
        if kind == "regex":
            values = values_for_regex(values)
        holds = any(value_compares(kind, wanted, value, comparison.get("ignore_case", False)) for value in values)
    if comparison.get("invert", False):
        holds = not holds
    options = "".join(f" {option}" for option in ("ignore_case", "invert") if comparison.get(option))
    tried[f"{kind}{options}: {holds}"] += 1
    return holds


def value_compares(kind: str, text: str, value: bytes, ignore_case: bool) -> bool:
    """Whether one value compares. `ignore_case` concerns ASCII letters, as `bytes.lower` does."""
    if kind == "regex":
        return regex_matches(text, value, ignore_case)
    wanted = text.encode()
    if ignore_case:
        wanted, value = wanted.lower(), value.lower()
    if kind == "exact":
        return value == wanted
    if kind == "prefix":
        return value.startswith(wanted)
    if kind == "suffix":
        return value.endswith(wanted)
    if kind == "contains":
        return wanted in value
    raise ValueError(f"no comparison {kind}")


def values_for_regex(values: list[bytes]) -> list[bytes]:
    """The values that a regex reads: the first 16, as far as they have at most 1024 bytes together."""
    read = []
    for value in values[:16]:
        if sum(map(len, read)) + len(value) > 1024:
            break
        read.append(value)
    return read


def regex_matches(regex: str, value: bytes, ignore_case: bool) -> bool:
    """Whether the regex matches the whole value. A value that is not UTF-8 never matches."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    flags = re.ASCII | (re.IGNORECASE if ignore_case else 0)
    return re.fullmatch(regex, text, flags) is not None


# ------------------------------------------------------------------------------------ the shard key


def shard_key(endpoint: dict, request: dict) -> tuple[str, bytes | None, str | None]:
    """The reason for the choice, the key, and the start of the cookie with a generated key."""
    affinity = endpoint.get("affinity", {})
    if affinity is None:
        return "random", None, None
    keys = affinity.get("keys", [{"header": "x-serve-shard-key"}])
    generates = affinity.get("on_missing", "random") == "generate_cookie"
    if generates:
        keys = keys + [{"cookie": affinity["cookie"]["name"]}]
    for source in keys:
        for value in values_of_source(source, request):
            if value != b"":
                tried[f"key of {next(iter(source))}{' as ' + source['as'] if 'as' in source else ''}"] += 1
                return "key", value, None
    if not generates or not comes_back(affinity["cookie"], request):
        return "random", None, None
    # The documents do not define the form of the id: the 128 bits in hexadecimal.
    key = f"{request['new_key']:032x}"
    return "generated", key.encode(), f"{affinity['cookie']['name']}={key};"


def comes_back(cookie: dict, request: dict) -> bool:
    """Whether a browser would send the cookie with later requests like this one (RFC 6265, 5.1.3 and 5.1.4)."""
    path, _ = split_target(request)
    if path is None or not is_under(path, cookie.get("path", "/").encode()):
        outcome = "outside its path"
    elif "domain" in cookie and not is_in_domain(request, cookie["domain"]):
        outcome = "outside its domain"
    elif is_preflight(request):
        outcome = "of a preflight"
    else:
        outcome = "comes back"
    tried[f"cookie {outcome}"] += 1
    return outcome == "comes back"


def is_under(path: bytes, cookie_path: bytes) -> bool:
    """RFC 6265, 5.1.4: equal, or the rest starts at a slash."""
    if not path.startswith(cookie_path):
        return False
    return path == cookie_path or cookie_path.endswith(b"/") or path[len(cookie_path):].startswith(b"/")


def is_in_domain(request: dict, domain: str) -> bool:
    """RFC 6265, 5.1.3: the domain itself, or a host below it."""
    authorities = values_of_header(request, "host")
    if not authorities:
        return False
    host, domain = re.sub(rb":[0-9]*$", b"", authorities[0]).lower(), domain.lower().encode()
    return host == domain or host.endswith(b"." + domain)


def is_preflight(request: dict) -> bool:
    """A CORS preflight, which browsers send without cookies."""
    names = {name.lower() for name, _ in request["headers"]}
    return request["method"] == "OPTIONS" and {"origin", "access-control-request-method"} <= names


def values_of_source(source: dict, request: dict) -> list[bytes]:
    """The values of a source of keys."""
    [(kind, name)] = [(kind, name) for kind, name in source.items() if kind != "as"]
    if kind == "header":
        return values_of_header(request, name)
    if kind == "cookie":
        return values_of_cookie(request, name)
    if kind == "query":
        return values_of_parameter(request, name)
    if kind == "property":
        return values_of_property(request, name, source.get("as", "string"))
    if kind == "source_ip":
        address = source_address(request)
        return [] if address is None else [str(address).encode()]
    raise ValueError(f"no source {kind}")


def salt_of(endpoint: dict) -> str:
    """The salt of the endpoint and its cohorts."""
    return endpoint.get("affinity", {}).get("salt", endpoint["name"])


# ------------------------------------------------------------------------------------ the placement


def fnv1a(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def mix(h: int) -> int:
    """MurmurHash3's 64-bit finalizer."""
    h ^= h >> 33
    h = (h * 0xFF51AFD7ED558CCD) & MASK
    h ^= h >> 33
    h = (h * 0xC4CEB9FE1A85EC53) & MASK
    return h ^ (h >> 33)


def u(h: int) -> float:
    """The number between 0 and 1 that a hash stands for."""
    return ((h >> 11) + 0.5) * 2.0**-53


def point(salt: str, key: bytes) -> int:
    """The point of a key."""
    return mix(fnv1a(salt.encode() + b"\0" + key))


def choose(traffic: dict[str, float], at: int, variants: dict[str, str] = {}) -> tuple[str, bool]:
    """The backend with the lowest score, and whether the last bit of `ln` may decide it."""
    total = math.fsum(traffic.values())
    scores = sorted(
        (-math.log(u(mix(at ^ fnv1a(variants.get(name, name).encode())))) / (share / total), name)
        for name, share in traffic.items()
        if share > 0
    )
    near_tie = len(scores) > 1 and scores[1][0] - scores[0][0] <= 1e-12 * scores[1][0]
    return scores[0][1], near_tie


# -------------------------------------------------------------------------------------- the shadows


def inherited_shadows(endpoint: dict, cohort: dict | None) -> dict[str, dict]:
    """The shadows of the endpoint, overridden by those of the cohort, with fraction and options."""
    written = {**endpoint.get("shadow", {}), **(cohort or {}).get("shadow", {})}
    return {name: one if isinstance(one, dict) else {"fraction": one} for name, one in written.items()}


def is_drawn(variant: str, shadow: dict, backend: str, draw: int, key_point: int | None) -> bool:
    """Whether the shadow draws a request that `backend` serves."""
    if backend not in shadow.get("only_from", [backend]):
        tried["only_from: False"] += 1
        return False
    by_key = shadow.get("sample", "request") == "key" and key_point is not None
    number = u(mix((key_point if by_key else draw) ^ fnv1a(b"shadow\0" + variant.encode())))
    # A fraction of 1 copies every request, although a double rounds the largest number to 1.
    drawn = number < shadow["fraction"] or shadow["fraction"] == 1
    tried[f"shadow by {'key' if by_key else 'request'}: {drawn}"] += 1
    return drawn


def skip_reason(shadow: dict, request: dict) -> str | None:
    """Why a drawn request is not copied: the first reason that applies, in the documents' order."""
    if values_of_header(request, "x-traffic-shadow"):
        return "skipped_marked"
    if is_upgrade(request):
        return "skipped_upgrade"
    if "methods" in shadow and request["method"] not in shadow["methods"]:
        return "skipped_method"
    return None


def is_upgrade(request: dict) -> bool:
    """Whether a request is CONNECT, or has an `upgrade` header that `connection` names."""
    connection = b",".join(values_of_header(request, "connection")).lower().split(b",")
    asks = values_of_header(request, "upgrade") and b"upgrade" in [token.strip(b" \t") for token in connection]
    return request["method"] == "CONNECT" or bool(asks)
