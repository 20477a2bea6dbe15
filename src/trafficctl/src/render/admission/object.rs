//! Rules about the fields of one object together.

use policy::attribute::{GROUPS, MAPS_OF_STRINGS, NUMBERS, OTHER_STRINGS, OTHER_STRUCTURES};
use serde_json::{Value, json};

use super::cel::strings;

/// How far a sum of shares may be from 1, with room for the order in which they are added.
const TOLERANCE: f64 = policy::limits::SUM_TOLERANCE + 1e-12;

/// A rule in which `{v}` stands for the object. `words` start with the place inside it.
fn rule(holds: &str, words: &str) -> Value {
    json!({ "holds": holds, "words": words })
}

/// The shares of a traffic add up to 1, or to 100.
pub fn sum() -> Value {
    let sum = "{v}.map(b, double({v}[b])).sum()";
    let is_near = |of: &str, to: &str| format!("{of} - {to} <= {TOLERANCE:?} && {to} - {of} <= {TOLERANCE:?}");
    rule(
        &format!("[{sum}].exists(s, {} || {})", is_near("s", "1.0"), is_near("s / 100.0", "1.0")),
        &format!("': the shares add up to ' + string({sum}) + '; make them add up to 1 (or to 100, as percentages)'"),
    )
}

/// The names of a list of conditions.
pub fn names(field: &str, is_name: &str, words: &str) -> Value {
    rule(
        &format!("!('{field}' in {{v}}) || {{v}}['{field}'].all(h, {is_name})"),
        &format!(
            "'.{field}: ' + {{v}}['{field}'].filter(h, !({is_name})).map(h, strings.quote(h['name']))[0] + ' {words}'"
        ),
    )
}

/// A number or a bool of Envoy's is compared with a string that may be one's text.
pub fn text() -> Value {
    rule(
        "!('as' in {v}) || !('exact' in {v}) || {v}['as'] == 'string' \
         || {v}['as'] == 'bool' && {v}['exact'] in ['true', 'false'] \
         || {v}['as'] == 'number' && {v}['exact'] != '-0' \
         && {v}['exact'].matches('^-?(0|[1-9][0-9]*)([.][0-9]*[1-9])?$')",
        "'.exact: ' + strings.quote({v}['exact']) + ' is not the text of a ' + {v}['as'] \
         + '; write \"true\" or \"false\", or a number without needless zeros'",
    )
}

/// Only a property has a type.
pub fn type_of_property() -> Value {
    rule("!('as' in {v}) || 'property' in {v}", "'.as: only a property has a type; remove it, or name a property'")
}

/// Envoy makes the copies of a mirror: options of the filter's own copies have no use.
pub fn mirror() -> Value {
    let options = "['timeout_ms', 'max_body_bytes', 'max_in_flight', 'max_per_second', 'headers', 'host']";
    rule(
        &format!("!('via' in {{v}}) || {{v}}['via'] != 'mirror' || !{options}.exists(o, o in {{v}})"),
        &format!(
            "'.' + {options}.filter(o, o in {{v}})[0] + ': Envoy makes the copies of a shadow via \"mirror\"; \
             remove it, and set it in Envoy: on the route\\'s mirror policy or on the cluster'"
        ),
    )
}

/// Only a mirror has a header that steers it.
pub fn mirror_header() -> Value {
    rule(
        "!('mirror_header' in {v}) || 'via' in {v} && {v}['via'] == 'mirror'",
        "'.mirror_header: only a shadow via \"mirror\" has this header; add \"via\": \"mirror\", or remove the field'",
    )
}

/// A copy has each header set once.
pub fn set_once() -> Value {
    let is_once = "{v}['set'].exists_one(o, o.lowerAscii() == h.lowerAscii())";
    rule(
        &format!("!('set' in {{v}}) || {{v}}['set'].all(h, {is_once})"),
        &format!(
            "'.set: ' + {{v}}['set'].filter(h, !{is_once}).map(h, strings.quote(h))[0] \
             + ' is set twice, in another case; set each header once'"
        ),
    )
}

/// A copy has a header set or removed, not both.
pub fn set_or_removed() -> Value {
    let is_set = "{v}['set'].exists(o, o.lowerAscii() == h.lowerAscii())";
    rule(
        &format!("!('set' in {{v}} && 'remove' in {{v}}) || !{{v}}['remove'].exists(h, {is_set})"),
        &format!(
            "'.remove: ' + {{v}}['remove'].filter(h, {is_set}).map(h, strings.quote(h))[0] \
             + ' is set, too; set a header or remove it'"
        ),
    )
}

/// A generated key has a cookie, and only that.
pub fn cookie() -> Value {
    let generates = "('on_missing' in {v} && {v}['on_missing'] == 'generate_cookie')";
    rule(
        &format!("{generates} == ('cookie' in {{v}})"),
        "('cookie' in {v} ? '.cookie: only \"on_missing\": \"generate_cookie\" has a cookie; add that, or remove the cookie' \
         : '.on_missing: \"generate_cookie\" needs a cookie; add \"cookie\": {\"name\": …}')",
    )
}

/// Each source of a key is named once.
pub fn keys() -> Value {
    let is_once = "{v}['keys'].exists_one(o, o == s || 'header' in o && 'header' in s \
                   && o['header'].lowerAscii() == s['header'].lowerAscii())";
    rule(
        &format!("!('keys' in {{v}}) || {{v}}['keys'].all(s, {is_once})"),
        "'.keys: a source is named twice; name each source once'",
    )
}

/// A cookie for requests from other sites must be secure.
pub fn same_site() -> Value {
    rule(
        "!('same_site' in {v} && {v}['same_site'] == 'None' && 'secure' in {v} && {v}['secure'] == false)",
        "'.same_site: \"None\" without `secure`; browsers refuse such a cookie: leave `secure` on, or use \"Lax\"'",
    )
}

/// A partitioned cookie must be secure.
pub fn partitioned() -> Value {
    rule(
        "!('partitioned' in {v} && {v}['partitioned'] && 'secure' in {v} && {v}['secure'] == false)",
        "'.partitioned: a partitioned cookie without `secure`; browsers refuse such a cookie: leave `secure` on'",
    )
}

/// A cookie keeps what the prefix of its name promises.
pub fn prefix() -> Value {
    let is = |pattern: &str| format!("{{v}}['name'].matches('(?i)^{pattern}')");
    rule(
        &format!(
            "!({} && 'secure' in {{v}} && {{v}}['secure'] == false \
             || {} && 'http_only' in {{v}} && {{v}}['http_only'] == false \
             || {} && ('domain' in {{v}} || 'path' in {{v}} && {{v}}['path'] != '/'))",
            is("__(host|http|secure)-"),
            is("__(host-)?http-"),
            is("__host-"),
        ),
        "'.name: ' + strings.quote({v}['name']) + ' promises what the cookie does not keep; with this prefix, browsers \
         require `secure`, for __Host- also the path \"/\" and no `domain`, and for __Http- and __Host-Http- also \
         `http_only`'",
    )
}

/// An attribute that Envoy documents is read as the type that it has. `field` has its path.
///
/// From `attribute::attribute` of the core.
pub fn attribute(field: &str) -> Value {
    let path = |dotted: &&str| strings(dotted.split('.'));
    let paths = |dotted: &[&str]| dotted.iter().map(path).collect::<Vec<_>>().join(", ");
    let maps = paths(&MAPS_OF_STRINGS);
    // The metadata of an object, or of the request.
    let inside = "(p[0] == 'metadata' ? size(p) - 1 : p[0] == 'xds' && size(p) > 1 && p[1].endsWith('metadata') ? size(p) - 2 : -1)";
    let namespaces = "(p[size(p) > 1 && p[0] == 'metadata' ? 1 : size(p) > 2 ? 2 : 0] in ['filter_metadata', 'typed_filter_metadata'])";
    let kind = format!(
        "(p in [{}] ? 'number' : p == ['connection', 'mtls'] ? 'bool' \
         : {inside} >= 0 ? ({inside} == 0 || {inside} < 3 && {namespaces} ? 'group' : '') \
         : p in [{}] ? 'string' \
         : p in [{}, {}, {maps}] ? 'group' \
         : size(p) == 2 && p[0] in {} || size(p) == 3 && [p[0], p[1]] in [{maps}] ? 'string' : '')",
        paths(&NUMBERS),
        paths(&OTHER_STRINGS),
        paths(&OTHER_STRUCTURES),
        paths(&GROUPS),
        strings(GROUPS),
    );
    // A path in one segment with dots is taken for one of several.
    let whole = format!("{{v}}['{field}']");
    let bound = |body: &str| {
        format!(
            "[size({whole}) == 1 ? {whole}[0].split('.') : {whole}].map(p, size(p) > 0 ? {kind} : '').map(t, {body})[0]"
        )
    };
    let read_as = "('as' in {v} ? {v}['as'] : 'string')";
    let is_one = format!("size({whole}) == 1 && {whole}[0].contains('.')");
    let words = bound(&format!(
        "{is_one} ? ' is one segment; list the segments one by one' \
         : t == 'group' ? ' is a group of values in Envoy; name one of them: a group has no text' \
         : ' is a ' + t + ' in Envoy; write \"as\": \"' + t + '\"'"
    ));
    rule(
        &format!("!('{field}' in {{v}}) || {}", bound(&format!("t == '' || !({is_one}) && t == {read_as}"))),
        &format!("'.{field}: ' + {whole}.map(s, strings.quote(s)).join(', ') + {words}"),
    )
}
