//! Rules about several parts of a policy together, each checked apart.

use policy::limits::{MIRROR_HEADER, ROUTING_HEADER};

use super::cel::{bind, string};
use super::check::Check;
use super::section::{POLICY, in_lists};

/// A rule about a policy whose parts are right.
pub struct Rule {
    /// Its name among the variables.
    pub name: &'static str,
    /// The rule in words, for a problem that is too long to be shown.
    pub words: &'static str,
    /// The check of the policy.
    pub check: Check,
}

/// An expression that other rules use.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The expression.
    pub expression: String,
}

/// The most names of endpoints that are compared with each other. The cost grows with the square, and
/// an expression may cost a million.
const NAMES: usize = 900;

/// What the rules use.
pub fn variables() -> Vec<Variable> {
    // With a name of its own, a policy has a routing header of its own.
    let default = format!("'name' in {POLICY} ? '{ROUTING_HEADER}-' + {POLICY}['name'] : '{ROUTING_HEADER}'");
    let routing_header =
        format!("'routing_header' in {POLICY} ? {POLICY}['routing_header'].lowerAscii() : ({default})");
    vec![Variable { name: "routing_header", expression: routing_header }]
}

/// The rules, in the order in which they are checked.
pub fn rules() -> Vec<Rule> {
    vec![
        Rule {
            name: "endpoints_have_names_of_their_own",
            words: "each endpoint has a name of its own",
            check: unique("variables.policy['endpoints']", "endpoints"),
        },
        Rule {
            name: "cohorts_have_names_of_their_own",
            words: "each cohort of an endpoint has a name of its own",
            check: in_lists(&["endpoints"], unique("x0['cohorts']", ".cohorts").only_if("'cohorts' in x0"))
                .only_if(&format!(
                    "{POLICY}['endpoints'].map(e, 'cohorts' in e ? size(e['cohorts']) * size(e['cohorts']) : 0).sum() \
                     <= {NAMES} * {NAMES}"
                )),
        },
        Rule {
            name: "the_request_header_is_free",
            words: "the request header is not the routing header",
            check: Check::new(
                format!("{POLICY}['request_header'].lowerAscii() != variables.routing_header"),
                "'request_header: ' + strings.quote(variables.routing_header) + ' is the routing header; choose a header of its own'",
            )
            .only_if(&format!("'request_header' in {POLICY}")),
        },
        Rule {
            name: "mirror_headers_are_free",
            words: "a mirror header is neither the routing header nor the request header",
            check: in_lists(&["endpoints"], mirror_headers_are_free()),
        },
        Rule {
            name: "mirrors_have_headers_of_their_own",
            words: "each mirror of an endpoint has a header of its own",
            check: in_lists(&["endpoints"], mirrors()),
        },
        Rule {
            name: "shadows_copy_from_backends_that_serve",
            words: "`only_from` names backends of the traffic",
            check: in_lists(&["endpoints"], only_from()),
        },
        Rule {
            name: "backends_of_a_traffic_have_variants_of_their_own",
            words: "the backends of a traffic have different variants",
            check: in_lists(&["endpoints"], variants()).only_if(&format!(
                "'backends' in {POLICY} && {POLICY}['backends'].exists(b, 'variant' in {POLICY}['backends'][b])"
            )),
        },
    ]
}

/// Each object of a list has a name of its own.
fn unique(list: &str, place: &str) -> Check {
    // The numbers of the first objects with each name add up to less if two are the same.
    let names = format!("{list}.map(e, e['name'])");
    let holds = format!(
        "size({list}) > {NAMES} || [{names}].exists(l, l.map(m, l.indexOf(m)).sum() == size(l) * (size(l) - 1) / 2)"
    );
    let words = "': the name ' + strings.quote(l.filter(m, l.indexOf(m) != l.lastIndexOf(m))[0]) \
                 + ' is given twice; give each a name of its own'";
    Check::new(holds, bind("l", &names, &format!("{} + {words}", string(place))))
}

/// The check of an endpoint, and of each of its cohorts, by the same rule about `o`.
fn of_choices(holds: &str, words: &str) -> Check {
    let choices = "([x0] + ('cohorts' in x0 ? x0['cohorts'] : []))";
    let place = "(o == x0 ? '' : '.cohorts[' + string(x0['cohorts'].indexOf(o)) + ']')";
    let wrong = format!("{choices}.filter(o, !({holds}))[0]");
    Check::new(format!("{choices}.all(o, {holds})"), bind("o", &wrong, &format!("{place} + {words}")))
}

const IS_MIRROR: &str = "type(s[b]) == map && 'via' in s[b] && s[b]['via'] == 'mirror'";

fn mirror_header() -> String {
    format!("('mirror_header' in s[b] ? s[b]['mirror_header'].lowerAscii() : '{MIRROR_HEADER}')")
}

fn mirror_headers_are_free() -> Check {
    let header = mirror_header();
    let is_free = format!(
        "{header} != variables.routing_header \
         && (!('request_header' in {POLICY}) || {header} != {POLICY}['request_header'].lowerAscii())"
    );
    let holds = format!("!('shadow' in o) || [o['shadow']].all(s, s.all(b, !({IS_MIRROR}) || {is_free}))");
    let words = format!(
        "'.shadow: the mirror header ' + [o['shadow']].map(s, s.filter(b, {IS_MIRROR} && !({is_free})) \
         .map(b, strings.quote({header}))[0])[0] \
         + ' is also the routing header or the request header; choose a header of its own'"
    );
    of_choices(&holds, &words)
}

/// The mirrors that are in force for an endpoint or a cohort have different headers.
fn mirrors() -> Check {
    let header = mirror_header();
    let is_on = format!("{IS_MIRROR} && double(s[b]['fraction']) > 0.0");
    let of = |object: &str, also: &str| {
        format!(
            "('shadow' in {object} ? [{object}['shadow']].map(s, s.filter(b, {is_on}{also}).map(b, {header}))[0] : [])"
        )
    };
    let inherited = of("x0", " && !('shadow' in o && b in o['shadow'])");
    let headers = format!("(o == x0 ? {} : {inherited} + {})", of("x0", ""), of("o", ""));
    let holds = format!("[{headers}].all(l, l.all(h, l.exists_one(g, g == h)))");
    let words = format!(
        "'.shadow: ' + [{headers}].map(l, l.filter(h, !l.exists_one(g, g == h)).map(h, strings.quote(h))[0])[0] \
         + ' steers two mirrors; give each its own header, and the route a mirror policy for each'"
    );
    of_choices(&holds, &words)
}

/// A shadow copies the requests of backends that serve some.
fn only_from() -> Check {
    // A cohort's backends may be named in an entry that the cohort inherits.
    let serves = "(f in o['traffic'] || o == x0 && 'cohorts' in x0 && x0['cohorts'].exists(c, f in c['traffic']))";
    let names = "(type(s[b]) == map && 'only_from' in s[b] ? s[b]['only_from'] : [])";
    let holds = format!("!('shadow' in o) || [o['shadow']].all(s, s.all(b, {names}.all(f, {serves})))");
    let words = format!(
        "'.shadow: ' + [o['shadow']].map(s, s.filter(b, !{names}.all(f, {serves})) \
         .map(b, {names}.filter(f, !{serves})[0]).map(f, strings.quote(f))[0])[0] \
         + ' in only_from serves none of these requests; name backends of their traffic'"
    );
    of_choices(&holds, &words)
}

/// Two backends of one traffic are placed by different variants.
fn variants() -> Check {
    let backends = format!("{POLICY}['backends']");
    let variant = format!("(b in {backends} && 'variant' in {backends}[b] ? {backends}[b]['variant'] : b)");
    let variants = format!("o['traffic'].map(b, {variant})");
    let holds = format!("[{variants}].all(l, l.all(v, l.exists_one(w, w == v)))");
    let words = format!(
        "'.traffic: two backends have the variant ' \
         + [{variants}].map(l, l.filter(v, !l.exists_one(w, w == v)).map(v, strings.quote(v))[0])[0] \
         + '; give each a variant of its own under `backends`'"
    );
    of_choices(&holds, &words)
}
