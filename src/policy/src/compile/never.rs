//! Conditions that can never hold, whatever clients send.

use crate::config::{
    AffinityConfig, EndpointConfig, KeyFields, MatchConfig, MatchFields, PathFields, PolicyConfig, TextFields,
    ValueFields,
};
use crate::finding::{Finding, Kind, Warnings};
use crate::matching::is_under;
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

/// Why no value of a request is as a condition wants it, and the remedy.
type Impossible = (&'static str, &'static str);

/// What an endpoint, or an alternative of a match, asks of the path and the method. All of it must
/// hold.
#[derive(Clone, Copy)]
struct Asked<'a> {
    paths: [Option<Literal<'a>>; 2],
    methods: [Option<&'a [String]>; 2],
}

/// A path, or a prefix of paths that ends at a segment.
#[derive(Clone, Copy)]
enum Literal<'a> {
    Exact(&'a str),
    Prefix(&'a str),
}

impl Never {
    fn endpoint(&mut self, at: &At<'_>, endpoint: &EndpointConfig) {
        if let Some(route) = &endpoint.route {
            self.path(&at.member("route"), route, true);
        }
        let shorthand = Asked::of_endpoint(endpoint);
        let own = endpoint.matching.as_ref().map(alternatives).unwrap_or_default();
        for (n, fields) in &own {
            self.alternative(&place_of(&at.member("match"), *n), fields, &[shorthand]);
        }
        // Each cohort would be compared with each of a long list.
        const FEW: usize = 16;
        let mut around: Vec<_> = own.iter().take(FEW + 1).map(|(_, fields)| shorthand.with(fields)).collect();
        match around.len() {
            0 => around.push(shorthand),
            1..=FEW => {}
            _ => around.clear(),
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
            let cohort_at = cohorts.element(n);
            let at = cohort_at.member("match");
            for (n, fields) in alternatives(&cohort.matching) {
                self.alternative(&place_of(&at, n), fields, &around);
            }
        }
    }

    /// Checks an alternative of a match, which must hold together with something `around` it.
    fn alternative(&mut self, at: &At<'_>, fields: &MatchFields, around: &[Asked<'_>]) {
        let MatchFields { path, methods: _, hosts: _, headers, cookies, query, source_ip: _, properties: _ } = fields;
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
        if !around.is_empty() && around.iter().all(|around| around.excludes(fields)) {
            let problem = "no request has this path and method and those that the endpoint takes";
            self.add(at, problem, "make them agree");
        }
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
    fn of_endpoint(endpoint: &'a EndpointConfig) -> Self {
        let route = endpoint.route.as_deref().map(Literal::prefix);
        Self { paths: [route, None], methods: [endpoint.methods.as_deref(), None] }
    }

    /// What an endpoint and an alternative of its match ask together.
    fn with(self, fields: &'a MatchFields) -> Self {
        let ([path, _], [methods, _]) = (self.paths, self.methods);
        Self { paths: [path, Literal::of(fields)], methods: [methods, fields.methods.as_deref()] }
    }

    /// Whether no request has this and what `fields` ask.
    fn excludes(&self, fields: &MatchFields) -> bool {
        let path = Literal::of(fields);
        let has_other_path = |path: Literal<'_>| self.paths.iter().flatten().any(|other| other.excludes(path));
        let has_other_method =
            |methods: &[String]| self.methods.iter().flatten().any(|others| are_apart(others, methods));
        path.is_some_and(has_other_path) || fields.methods.as_deref().is_some_and(has_other_method)
    }
}

impl<'a> Literal<'a> {
    /// That of a match; `None` for a regex, which is not compared with others.
    fn of(fields: &'a MatchFields) -> Option<Self> {
        let PathFields { exact, prefix, .. } = fields.path.as_ref()?;
        exact.as_deref().map(Self::Exact).or_else(|| prefix.as_deref().map(Self::prefix))
    }

    fn prefix(path: &'a str) -> Self {
        Self::Prefix(path.trim_end_matches('/'))
    }

    /// Whether no path obeys both.
    fn excludes(self, other: Literal<'_>) -> bool {
        match (self, other) {
            (Self::Exact(a), Literal::Exact(b)) => a != b,
            (Self::Prefix(prefix), Literal::Exact(path)) => !is_under(path, prefix),
            (Self::Exact(path), Literal::Prefix(prefix)) => !is_under(path, prefix),
            (Self::Prefix(a), Literal::Prefix(b)) => !is_under(a, b) && !is_under(b, a),
        }
    }
}

/// Whether no method is in both lists. Long lists, of which there is no need, are not compared.
fn are_apart(one: &[String], other: &[String]) -> bool {
    const METHODS: usize = 64;
    one.len() <= METHODS && other.len() <= METHODS && !one.iter().any(|method| other.contains(method))
}

/// The alternatives of a match, each with its number if they are in a list.
fn alternatives(config: &MatchConfig) -> Vec<(Option<usize>, &MatchFields)> {
    match config {
        MatchConfig::One(fields) => vec![(None, fields)],
        MatchConfig::AnyOf(list) => list.iter().enumerate().map(|(n, fields)| (Some(n), fields)).collect(),
    }
}

/// The place of an alternative of the match at `at`.
fn place_of<'a>(at: &'a At<'a>, n: Option<usize>) -> At<'a> {
    n.map_or(*at, |n| at.element(n))
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
