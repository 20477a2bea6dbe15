//! The schema, with the rules of names, strings and lists that it leaves to the compiler.
//!
//! The compiler is the reference: a value that it accepts must pass.

use policy::limits::{BACKEND_BYTES, COOKIE_NAME_BYTES, COPY_HEADERS, KEY_SOURCES, NAME_BYTES, PATTERN_BYTES};
use serde_json::{Value, json};

use super::cel::string;
use super::object;

/// The schema of policies with the rules of [`refinements`].
pub fn refined() -> Value {
    let mut schema = policy::schema();
    for (pointer, rules) in refinements() {
        if let (Some(Value::Object(members)), Value::Object(rules)) = (schema.pointer_mut(pointer), rules) {
            members.extend(rules);
        }
    }
    schema
}

/// A token of HTTP (RFC 9110, section 5.6.2).
pub const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/// A path as clients send it.
const PATH: &str = r#"^/[!"$->@-~]*$"#;

/// Headers that the filter must not write itself.
const USED: &str =
    "(?i)^(connection|content-length|cookie|host|set-cookie|te|trailer|transfer-encoding|upgrade|x-traffic-shadow)$";

/// Headers that a copy must have as they are.
const OF_COPIES: &str =
    "(?i)^(connection|content-length|te|trailer|transfer-encoding|upgrade|x-traffic-shadow|x-envoy-.*)$";

/// Places in the schema, each with the members that it gets.
///
/// `x-words` say what is wrong with a string that its `pattern` doesn't match, `x-excluded` lists
/// patterns that it must not match, `x-empty` says what is wrong with an empty list or object.
/// `x-rules` are rules about an object whose fields are right, in which `{v}` stands for it.
fn refinements() -> Vec<(&'static str, Value)> {
    let own_header = json!({
        "pattern": TOKEN,
        "x-words": "is not a header name; use letters, digits and -, as in \"x-traffic-cluster\"",
        "x-excluded": [{ "pattern": USED, "words": "has another use; choose a header of your own" }],
    });
    let cluster = json!({
        "pattern": format!("^[!-:<-~]{{1,{BACKEND_BYTES}}}$"),
        "x-words": format!("is not a name for a cluster; use 1 to {BACKEND_BYTES} printable ASCII characters without \
                            spaces and semicolons"),
    });
    let in_labels = |what: &str| {
        json!({
            "pattern": format!("^[!#-+.-:<>-\\[\\]-z|~-]{{1,{BACKEND_BYTES}}}$"),
            "x-words": format!("is not {what}; use 1 to {BACKEND_BYTES} printable ASCII characters without spaces and \
                                without any of \" , ; = \\ {{ }}"),
        })
    };
    let backend = in_labels("a name for a backend");
    let word = |what: &str| {
        json!({
            "x-words": format!("is not a name for {what}; use 1 to {NAME_BYTES} characters of A-Z, a-z, 0-9, _ and -"),
        })
    };
    let methods = |of: &str| {
        json!({
            "items": {
                "type": "string",
                "pattern": "^[A-Z0-9!#$%&'*+.^_`|~-]+$",
                "x-words": "is not a method; write it in upper case, as in \"GET\"",
            },
            "x-empty": format!("the list is empty: {of}; name a method, or remove the field"),
        })
    };
    let no_request = "no request would match";
    let path = json!({
        "pattern": PATH,
        "x-words": "is not a path; start it with / and use no query, fragment, spaces or characters beyond ASCII",
    });
    let traffic = json!({
        "minProperties": 1,
        "x-empty": "there is no backend; name at least one, as in {\"model-v1\": 1}",
        "propertyNames": with_type(&backend),
        "x-rules": [object::sum()],
    });
    let shadow = json!({ "propertyNames": with_type(&backend) });
    let pattern = json!({ "maxLength": PATTERN_BYTES });
    let part = json!({ "minLength": 1, "maxLength": PATTERN_BYTES });
    let conditions = json!({ "x-empty": "the list is empty; name a condition, or remove the field" });
    let header_of_copy = json!({
        "pattern": TOKEN,
        "x-words": "is not a header name; use letters, digits and -; for the authority, use `host`",
        "x-excluded": [
            { "pattern": "(?i)^host$", "words": "is the authority of a copy; use `host`" },
            { "pattern": OF_COPIES, "words": "on a copy is reserved for the filter or Envoy; remove it" },
        ],
    });
    let header_name = json!({
        "pattern": TOKEN,
        "x-words": "is not a header name; use letters, digits and -",
        "x-excluded": [{ "pattern": "(?i)^host$", "words": "is no header; hosts have a field of their own" }],
    });
    let cookie_name = json!({ "pattern": TOKEN, "x-words": "is not a cookie name; use letters, digits, - and _" });
    let attribute = json!({ "minItems": 1, "x-empty": "an attribute has a path; list its segments",
        "items": { "type": "string", "minLength": 1 } });
    let mut all = vec![
        ("/properties/routing_header", own_header.clone()),
        ("/properties/response_header", own_header.clone()),
        ("/properties/request_header", own_header.clone()),
        (
            "/properties/filter_state",
            json!({
                "pattern": format!("^[A-Za-z0-9_.-]{{1,{NAME_BYTES}}}$"),
                "x-words": format!("is not a name for a filter state; use 1 to {NAME_BYTES} characters of A-Z, a-z, 0-9, \
                                    _, - and ., as in \"traffic_policy\""),
            }),
        ),
        ("/properties/default_cluster", cluster.clone()),
        ("/properties/backends", json!({ "propertyNames": with_type(&backend) })),
        ("/$defs/BackendConfig/properties/cluster", cluster),
        ("/$defs/BackendConfig/properties/variant", in_labels("a variant")),
        ("/$defs/EndpointConfig/properties/name", word("an endpoint")),
        ("/$defs/EndpointConfig/properties/route", path.clone()),
        ("/$defs/EndpointConfig/properties/methods", methods(no_request)),
        ("/$defs/EndpointConfig/properties/traffic", traffic.clone()),
        ("/$defs/EndpointConfig/properties/shadow", shadow.clone()),
        ("/$defs/CohortConfig/properties/name", word("a cohort")),
        ("/$defs/CohortConfig/properties/traffic", traffic),
        ("/$defs/CohortConfig/properties/shadow", shadow),
        (
            "/$defs/Match/anyOf/1",
            json!({ "x-empty": format!("the list is empty: {no_request}; name a match, or remove the field") }),
        ),
        (
            "/$defs/MatchFields",
            json!({ "x-rules": [
            object::names("headers", &format!("h['name'].matches({}) && !h['name'].matches('(?i)^host$')", string(TOKEN)),
                "is not a header name; use letters, digits and -; path, methods and hosts have fields of their own"),
            object::names("cookies", &format!("h['name'].matches({})", string(TOKEN)),
                "is not a cookie name; use letters, digits, - and _"),
        ] }),
        ),
        ("/$defs/MatchFields/properties/methods", methods(no_request)),
        (
            "/$defs/MatchFields/properties/hosts",
            json!({
                "x-empty": format!("the list is empty: {no_request}; name a host, or remove the field"),
                "items": {
                    "type": "string",
                    "pattern": r"^(\*\.)?[A-Za-z0-9._~:\[\]-]+$",
                    "x-words": "is not a host; write \"example.com\" or \"*.example.com\", without a port",
                    "x-excluded": [{
                        "pattern": r"^[^:]*:[0-9]*$|\]:[0-9]*$",
                        "words": "is not a host; write \"example.com\" or \"*.example.com\", without a port",
                    }],
                },
            }),
        ),
        (
            "/$defs/MatchFields/properties/source_ip",
            json!({
                "x-empty": format!("the list is empty: {no_request}; name a network, or remove the field"),
                "items": network(),
            }),
        ),
        ("/$defs/PathFields/properties/exact", path.clone()),
        ("/$defs/PathFields/properties/prefix", path),
        ("/$defs/PropertyFields/properties/path", attribute.clone()),
        ("/$defs/PropertyFields", json!({ "x-rules": [object::text(), object::attribute("path")] })),
        ("/$defs/ShadowFields", json!({ "x-rules": [object::mirror(), object::mirror_header()] })),
        ("/$defs/ShadowFields/properties/methods", methods(no_request)),
        (
            "/$defs/ShadowFields/properties/only_from",
            json!({
                "x-empty": "the list is empty: no request would be copied; name a backend of the endpoint's traffic, or remove the field",
            }),
        ),
        ("/$defs/ShadowFields/properties/mirror_header", own_header),
        (
            "/$defs/ShadowFields/properties/host",
            json!({
                "pattern": r#"^[!"$-.0->A-\[\]-~]+$"#,
                "x-words": "is not a host; write a name, with a port if one is needed: \"shadow.example:8080\"",
            }),
        ),
        ("/$defs/HeadersConfig", json!({ "x-rules": [object::set_once(), object::set_or_removed()] })),
        (
            "/$defs/HeadersConfig/properties/set",
            json!({
                "maxProperties": COPY_HEADERS,
                "propertyNames": with_type(&header_of_copy),
                "additionalProperties": {
                    "type": "string",
                    "x-excluded": [{
                        "pattern": r"[\x00-\x08\x0a-\x1f\x7f]|^\s|\s$",
                        "words": "is not a header value; remove control characters, and spaces at either end",
                    }],
                },
            }),
        ),
        (
            "/$defs/HeadersConfig/properties/remove",
            json!({
                "maxItems": COPY_HEADERS, "items": with_type(&header_of_copy),
            }),
        ),
        ("/$defs/AffinityFields", json!({ "x-rules": [object::cookie(), object::keys()] })),
        ("/$defs/AffinityFields/properties/keys", json!({ "maxItems": KEY_SOURCES })),
        (
            "/$defs/KeyFields",
            json!({ "x-one": "source", "x-rules": [object::type_of_property(), object::attribute("property")] }),
        ),
        ("/$defs/KeyFields/properties/header", header_name),
        ("/$defs/KeyFields/properties/cookie", cookie_name.clone()),
        ("/$defs/KeyFields/properties/property", attribute),
        ("/$defs/CookieFields", json!({ "x-rules": [object::same_site(), object::partitioned(), object::prefix()] })),
        ("/$defs/CookieFields/properties/name", cookie_name),
        ("/$defs/CookieFields/properties/name", json!({ "maxLength": COOKIE_NAME_BYTES })),
        (
            "/$defs/CookieFields/properties/path",
            json!({
                "pattern": "^/[!-:<-~]*$",
                "x-words": "is not the path of a cookie; start it with / and use no spaces or semicolons",
            }),
        ),
        (
            "/$defs/CookieFields/properties/domain",
            json!({
                "x-words": NO_DOMAIN,
                "x-excluded": [{ "pattern": r"(^|\.)-|-(\.|$)|\.[0-9]+$|[^.]{64}", "words": NO_DOMAIN }],
            }),
        ),
    ];
    for (pointer, rules) in [
        ("/$defs/ValueFields/properties/exact", &pattern),
        ("/$defs/ValueFields/properties/regex", &pattern),
        ("/$defs/ValueFields/properties/prefix", &part),
        ("/$defs/ValueFields/properties/suffix", &part),
        ("/$defs/ValueFields/properties/contains", &part),
        ("/$defs/PropertyFields/properties/exact", &pattern),
        ("/$defs/PropertyFields/properties/regex", &pattern),
        ("/$defs/PropertyFields/properties/prefix", &part),
        ("/$defs/PropertyFields/properties/suffix", &part),
        ("/$defs/PropertyFields/properties/contains", &part),
        ("/$defs/MatchFields/properties/headers", &conditions),
        ("/$defs/MatchFields/properties/cookies", &conditions),
        ("/$defs/MatchFields/properties/query", &conditions),
        ("/$defs/MatchFields/properties/properties", &conditions),
    ] {
        all.push((pointer, rules.clone()));
    }
    all
}

const NO_DOMAIN: &str = "is not the domain of a cookie; write a host name with a dot, as in \"example.com\", without port, \
                         scheme or a dot at its start: browsers refuse others";

/// The rules as a schema of strings.
fn with_type(rules: &Value) -> Value {
    let mut schema = rules.clone();
    if let Value::Object(members) = &mut schema {
        members.insert("type".to_owned(), json!("string"));
    }
    schema
}

/// Networks in CIDR notation. CEL's own functions for them are newer than Kubernetes 1.30, so a network
/// whose address has bits behind the prefix is found only where the last or next part shows it.
fn network() -> Value {
    const BYTE: &str = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
    let v4 = format!(r"({BYTE}\.){{3}}{BYTE}/0*([12]?[0-9]|3[0-2])");
    let v6 = r"[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*/0*([1-9]?[0-9]|1[01][0-9]|12[0-8])";
    let not_first = "is not a network: its address has bits behind the prefix; write the first address of the network";
    json!({
        "type": "string",
        "pattern": format!("^({v4}|{v6})$"),
        "x-words": "is not a network; write it in CIDR notation: \"10.0.0.0/8\", \"192.0.2.1/32\" or \"2001:db8::/32\"",
        "x-excluded": [
            { "pattern": r"^[^:]*\.[1-9][0-9]*/0*(1?[0-9]|2[0-4])$", "words": not_first },
            { "pattern": r"^[^:]*\.[1-9][0-9]*\.[0-9]+/0*(1[0-6]|[0-9])$", "words": not_first },
            { "pattern": r":0*[1-9A-Fa-f][0-9A-Fa-f]*/0*([1-9]?[0-9]|10[0-9]|11[0-2])$", "words": not_first },
            {
                "pattern": r"(?i)^::ffff:[0-9.]+/0*(9[6-9]|1[0-2][0-9])$",
                "words": "is a network of IPv4 addresses; write it as one, as in \"10.0.0.0/8\"",
            },
        ],
    })
}
