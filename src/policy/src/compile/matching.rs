//! Matches, checked and made ready.

use super::{comparison, property};
use crate::config::{MatchConfig, MatchFields, PathFields, ValueFields};
use crate::finding::{Errors, Fault};
use crate::matching::{AllOf, Cidr, HostPattern, Kind, Match, PathRule, Rule, Text};
use crate::names::Method;
use crate::place::At;
use crate::source::Source;

/// The match of `config`. Each alternative starts with the rules of `shorthand`.
pub(super) fn matching(at: &At<'_>, config: &MatchConfig, shorthand: &AllOf, errors: &mut Errors) -> Match {
    let mut alternative = |at: &At<'_>, fields| {
        let mut rules = shorthand.0.clone();
        add_rules(at, fields, &mut rules, errors);
        AllOf(rules)
    };
    match config {
        MatchConfig::One(fields) => Match(vec![alternative(at, fields)]),
        MatchConfig::AnyOf(list) => {
            let all = list.iter().enumerate().map(|(n, fields)| alternative(&at.element(n), fields)).collect();
            if list.is_empty() {
                errors.refuse(at, "the list is empty: no request would match", "name a match, or remove the field");
            }
            Match(all)
        }
    }
}

fn add_rules(at: &At<'_>, fields: &MatchFields, rules: &mut Vec<Rule>, errors: &mut Errors) {
    let MatchFields { path, methods, hosts, headers, cookies, query, source_ip, properties } = fields;
    if let Some(fields) = path {
        rules.extend(self::path(&at.member("path"), fields, errors));
    }
    if let Some(names) = methods {
        rules.push(self::methods(&at.member("methods"), names, errors));
    }
    if let Some(patterns) = hosts {
        let patterns = list(&at.member("hosts"), patterns, "a host", errors, HostPattern::parse);
        rules.push(Rule::Hosts(patterns));
    }
    let header = |value: &ValueFields| comparison::header(&value.name).map(Source::Header);
    let cookie = |value: &ValueFields| value.name.parse().map(Source::Cookie);
    let parameter = |value: &ValueFields| Ok(Source::Query(value.name.clone()));
    add_values(&at.member("headers"), headers.as_deref(), header, rules, errors);
    add_values(&at.member("cookies"), cookies.as_deref(), cookie, rules, errors);
    add_values(&at.member("query"), query.as_deref(), parameter, rules, errors);
    if let Some(networks) = source_ip {
        let networks = list(&at.member("source_ip"), networks, "a network", errors, Cidr::parse);
        rules.push(Rule::SourceIp(networks));
    }
    if let Some(properties) = properties {
        property::add_rules(&at.member("properties"), properties, rules, errors);
    }
}

/// A path prefix that ends at a segment.
pub(super) fn prefix(at: &At<'_>, prefix: &str, errors: &mut Errors) -> Option<Rule> {
    errors.accept(at, check_path(prefix)).map(|()| Rule::Path(PathRule::prefix(prefix)))
}

fn check_path(path: &str) -> Result<(), Fault> {
    let is_path_char = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
    if path.starts_with('/') && path.bytes().all(is_path_char) {
        return Ok(());
    }
    Err(Fault::new(
        format!("{path:?} is not a path"),
        "start it with / and use no query, fragment, spaces or characters beyond ASCII (write them percent-encoded, \
         as clients send them)",
    ))
}

fn path(at: &At<'_>, fields: &PathFields, errors: &mut Errors) -> Option<Rule> {
    let PathFields { exact, prefix, regex } = fields;
    let (kind, pattern) = match (exact, prefix, regex) {
        (Some(exact), None, None) => {
            errors.accept(&at.member("exact"), check_path(exact))?;
            (Kind::Exact, exact)
        }
        (None, Some(prefix), None) => return self::prefix(&at.member("prefix"), prefix, errors),
        (None, None, Some(regex)) => (errors.accept(&at.member("regex"), comparison::regex(regex, false))?, regex),
        _ => {
            errors.refuse(at, "there must be one comparison", "use one of exact, prefix and regex");
            return None;
        }
    };
    Some(Rule::Path(PathRule::Text(Text::new(kind, pattern.clone(), false))))
}

/// The rule that the method is one of these.
pub(super) fn methods(at: &At<'_>, names: &[String], errors: &mut Errors) -> Rule {
    Rule::Methods(method_list(at, names, errors))
}

/// Methods, at least one.
pub(super) fn method_list(at: &At<'_>, names: &[String], errors: &mut Errors) -> Vec<Method> {
    list(at, names, "a method", errors, |name| name.parse())
}

/// The items of a list that must not be empty.
fn list<T>(
    at: &At<'_>,
    items: &[String],
    what: &str,
    errors: &mut Errors,
    parse: impl Fn(&str) -> Result<T, Fault>,
) -> Vec<T> {
    if items.is_empty() {
        let remedy = format!("name {what}, or remove the field");
        errors.refuse(at, "the list is empty: no request would match", remedy);
    }
    items.iter().enumerate().filter_map(|(n, item)| errors.accept(&at.element(n), parse(item))).collect()
}

/// Adds a rule for each value of a list, which must not be empty. `source` reads its source from its
/// name.
fn add_values(
    at: &At<'_>,
    values: Option<&[ValueFields]>,
    source: impl Fn(&ValueFields) -> Result<Source, Fault>,
    rules: &mut Vec<Rule>,
    errors: &mut Errors,
) {
    if values.is_some_and(<[_]>::is_empty) {
        errors.refuse(at, "the list is empty", "name a condition, or remove the field");
    }
    for (n, value) in values.into_iter().flatten().enumerate() {
        let at = at.element(n);
        let source = errors.accept(&at.member("name"), source(value));
        rules.extend(comparison::rule(&at, source, &value.text(), errors));
    }
}
