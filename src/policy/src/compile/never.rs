//! Conditions that can never hold, whatever clients send.

use crate::config::{
    AffinityConfig, EndpointConfig, KeyFields, MatchConfig, MatchFields, PathFields, PolicyConfig, TextFields,
    ValueFields,
};
use crate::finding::{Finding, Kind, Warnings};
use crate::matching::PathRule;
use crate::place::At;

/// A warning for each condition that can never hold.
pub(super) fn warnings(config: &PolicyConfig) -> Vec<Finding> {
    let mut never = Never(Warnings::default());
    let list = At::Root.member("endpoints");
    for (n, endpoint) in config.endpoints.iter() {
        never.endpoint(&list.element(n), endpoint);
    }
    never.0.finish()
}

struct Never(Warnings);

/// A string that no value of a request contains, or starts or ends with.
type Impossible = (&'static str, &'static str);

/// What a condition asks of the path and the method; all of it must hold.
#[derive(Clone, Default)]
struct Asked<'a> {
    paths: Vec<PathRule>,
    methods: Vec<&'a [String]>,
}

impl Never {
    fn endpoint(&mut self, at: &At<'_>, endpoint: &EndpointConfig) {
        if let Some(route) = &endpoint.route {
            self.path(&at.member("route"), route, true);
        }
        let mut shorthand = Asked::default();
        shorthand.paths.extend(endpoint.route.as_deref().map(PathRule::prefix));
        shorthand.methods.extend(endpoint.methods.as_deref());
        let mut alternatives = vec![shorthand];
        if let Some(matching) = &endpoint.matching {
            alternatives = self.matching(&at.member("match"), matching, &alternatives);
        }
        if let AffinityConfig::On(fields) = &endpoint.affinity {
            let (affinity, keys) = (at.member("affinity"), fields.keys.iter().flatten());
            let list = affinity.member("keys");
            for (n, KeyFields { query, .. }) in keys.enumerate() {
                self.parameter(&list.element(n).member("query"), query.as_deref());
            }
        }
        let cohorts = at.member("cohorts");
        for (n, cohort) in endpoint.cohorts.iter().enumerate() {
            self.matching(&cohorts.element(n).member("match"), &cohort.matching, &alternatives);
        }
    }

    /// Checks a match, one of whose alternatives must hold together with one of those `around` it.
    /// Returns what its alternatives ask.
    fn matching<'a>(&mut self, at: &At<'_>, config: &'a MatchConfig, around: &[Asked<'a>]) -> Vec<Asked<'a>> {
        match config {
            MatchConfig::One(fields) => self.alternative(at, fields, around),
            MatchConfig::AnyOf(list) => {
                let list = list.iter().enumerate();
                list.flat_map(|(n, fields)| self.alternative(&at.element(n), fields, around)).collect()
            }
        }
    }

    fn alternative<'a>(&mut self, at: &At<'_>, fields: &'a MatchFields, around: &[Asked<'a>]) -> Vec<Asked<'a>> {
        // A long list of alternatives inside another would take long to compare.
        const ALTERNATIVES: usize = 16;
        let MatchFields { path, methods, hosts: _, headers, cookies, query, source_ip: _, properties: _ } = fields;
        if let Some(PathFields { exact, prefix, regex }) = path {
            let at = at.member("path");
            exact.iter().for_each(|path| self.path(&at.member("exact"), path, false));
            prefix.iter().for_each(|path| self.path(&at.member("prefix"), path, true));
            regex.iter().for_each(|regex| self.path_regex(&at.member("regex"), regex));
        }
        self.values(&at.member("headers"), headers.as_deref(), in_header);
        self.values(&at.member("cookies"), cookies.as_deref(), in_cookie);
        self.values(&at.member("query"), query.as_deref(), in_query);
        for (n, parameter) in query.iter().flatten().enumerate() {
            self.parameter(&at.member("query").element(n).member("name"), Some(&parameter.name));
        }
        if around.len() > ALTERNATIVES {
            return around.to_vec();
        }
        let own = Asked {
            paths: path.iter().filter_map(path_rule).collect(),
            methods: methods.as_deref().into_iter().collect(),
        };
        let possible: Vec<_> = around.iter().filter_map(|around| around.with(&own)).collect();
        if possible.is_empty() && !around.is_empty() {
            let problem = "no request has this path and method and those that the endpoint takes";
            self.add(at, problem, "make them agree");
        }
        possible
    }

    /// A path, or a prefix of paths.
    fn path(&mut self, at: &At<'_>, path: &str, is_prefix: bool) {
        if path.contains('*') {
            let remedy = match is_prefix {
                true => "leave it out: a prefix takes all paths under it",
                false => "use a prefix, which takes all paths under it, or a regex",
            };
            self.add(at, &format!("a * in {path:?} stands for itself"), remedy);
        }
    }

    fn path_regex(&mut self, at: &At<'_>, regex: &str) {
        let mut start = regex.strip_prefix('^').unwrap_or(regex).chars();
        let is_letter = start.next().is_some_and(|char| char.is_ascii_alphanumeric());
        let is_optional = start.next().is_some_and(|char| matches!(char, '?' | '*' | '{'));
        if is_letter && !is_optional && !regex.contains('|') {
            let problem = format!("{regex:?} takes no path: it must match all of it, and each starts with /");
            self.add(at, &problem, "start it with / or .*");
        } else if regex.contains(r"\?") {
            let problem = format!("{regex:?} asks for a ?, and the path ends before it");
            self.add(at, &problem, "match the query string by `query`");
        }
    }

    fn values(&mut self, at: &At<'_>, values: Option<&[ValueFields]>, impossible: fn(&Text<'_>) -> Option<Impossible>) {
        for (n, value) in values.into_iter().flatten().enumerate() {
            let Some(text) = Text::of(&value.text()) else { continue };
            if let Some((problem, remedy)) = impossible(&text) {
                self.add(&at.element(n).member(text.field), problem, remedy);
            }
        }
    }

    /// The name of a query parameter.
    fn parameter(&mut self, at: &At<'_>, name: Option<&str>) {
        if name.is_some_and(|name| name.contains('=') || has_end_of_parameter(name)) {
            let problem = "no parameter's name has a space, &, = or #";
            self.add(at, problem, "write them percent-encoded, as clients send them");
        }
    }

    fn add(&mut self, at: &At<'_>, problem: &str, remedy: &str) {
        self.0.add(|| Finding::warning(Kind::NeverHolds, at.place(), problem, remedy));
    }
}

impl<'a> Asked<'a> {
    /// What both ask; `None` if no request has it.
    fn with(&self, other: &Self) -> Option<Self> {
        let are_apart =
            |a: &PathRule, b: &PathRule| a.as_path().is_some() && b.as_path().is_some() && !a.covers(b) && !b.covers(a);
        let no_path = self.paths.iter().any(|a| other.paths.iter().any(|b| are_apart(a, b)));
        let no_method =
            self.methods.iter().any(|a| other.methods.iter().any(|b| !a.iter().any(|method| b.contains(method))));
        if no_path || no_method {
            return None;
        }
        let mut both = self.clone();
        both.paths.extend(other.paths.iter().cloned());
        both.methods.extend(other.methods.iter().copied());
        Some(both)
    }
}

/// The rule of an exact path or a prefix; `None` for a regex, which is not compared with others.
fn path_rule(fields: &PathFields) -> Option<PathRule> {
    use crate::matching::{Kind, Text};
    match (&fields.exact, &fields.prefix) {
        (Some(path), None) => Some(PathRule::Text(Text::new(Kind::Exact, path.clone(), false))),
        (None, Some(prefix)) => Some(PathRule::prefix(prefix)),
        _ => None,
    }
}

/// A string that values are compared with, other than by a regex.
struct Text<'a> {
    field: &'static str,
    pattern: &'a str,
    /// Whether a value starts with it, if it is so.
    at_start: bool,
    at_end: bool,
}

impl<'a> Text<'a> {
    fn of(fields: &TextFields<'a>) -> Option<Self> {
        let all = [
            ("exact", fields.exact, true, true),
            ("prefix", fields.prefix, true, false),
            ("suffix", fields.suffix, false, true),
            ("contains", fields.contains, false, false),
        ];
        all.into_iter()
            .find_map(|(field, pattern, at_start, at_end)| Some(Self { field, pattern: pattern?, at_start, at_end }))
    }
}

fn in_header(text: &Text<'_>) -> Option<Impossible> {
    const SPACES: [char; 2] = [' ', '\t'];
    if text.at_start && text.pattern.starts_with(SPACES) || text.at_end && text.pattern.ends_with(SPACES) {
        return Some(("no value starts or ends with a space, which is no part of it", "leave it out"));
    }
    let is_control = |char: char| char.is_ascii_control() && char != '\t';
    text.pattern.contains(is_control).then_some(("no value has control characters", "leave them out"))
}

fn in_cookie(text: &Text<'_>) -> Option<Impossible> {
    if text.pattern.contains(';') {
        return Some(("no cookie's value has a ;, which ends it", "name the next cookie in a condition of its own"));
    }
    if text.pattern.contains('"') {
        return Some(("no cookie's value has quotes: those around it are no part of it", "leave them out"));
    }
    in_header(text)
}

fn in_query(text: &Text<'_>) -> Option<Impossible> {
    has_end_of_parameter(text.pattern)
        .then_some(("no parameter's value has a space, & or #", "write them percent-encoded, as clients send them"))
}

fn has_end_of_parameter(text: &str) -> bool {
    text.contains(|char: char| char.is_ascii_control() || matches!(char, ' ' | '&' | '#'))
}
