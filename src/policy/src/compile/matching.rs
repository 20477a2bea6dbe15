//! Matches, checked and made ready.

use regex_lite::RegexBuilder;

use super::{Compiler, is_token};
use crate::config::{MatchConfig, MatchFields, PathFields, TextFields, ValueFields};
use crate::error::member;
use crate::matching::{AllOf, Cidr, HostPattern, Kind, Match, NotCidr, PathRule, Rule, Text};
use crate::source::Source;

/// The longest text that a value is compared with, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;

/// How much memory a compiled regex may take, in bytes: this bounds its time for each byte of a value, too.
const MAX_REGEX_BYTES: usize = 1 << 14;

impl Compiler<'_> {
    /// The match of `config`, each alternative of which starts with the rules of `shorthand`.
    pub(super) fn matching(&mut self, place: &str, config: &MatchConfig, shorthand: &AllOf) -> Match {
        if config.alternatives.is_empty() {
            let problem = "the list is empty: no request would match";
            self.refuse(place, problem, "name a match, or leave it out");
        }
        let mut alternatives = Vec::new();
        for (n, fields) in config.alternatives.iter().enumerate() {
            let place = if config.is_list { format!("{place}[{n}]") } else { place.to_owned() };
            let AllOf(mut rules) = shorthand.clone();
            self.rules(&place, fields, &mut rules);
            alternatives.push(AllOf(rules));
        }
        Match(alternatives)
    }

    fn rules(&mut self, place: &str, fields: &MatchFields, rules: &mut Vec<Rule>) {
        if let Some(path) = &fields.path {
            rules.extend(self.path(&member(place, "path"), path).map(Rule::Path));
        }
        if let Some(methods) = &fields.methods {
            self.check_methods(&member(place, "methods"), methods);
            rules.push(Rule::Methods(methods.clone()));
        }
        if let Some(hosts) = &fields.hosts {
            rules.push(Rule::Hosts(self.hosts(&member(place, "hosts"), hosts)));
        }
        self.values(&member(place, "headers"), fields.headers.as_ref(), rules, |compiler, place, name| {
            Source::Header(compiler.name_of_header(place, name))
        });
        self.values(&member(place, "cookies"), fields.cookies.as_ref(), rules, |compiler, place, name| {
            Source::Cookie(compiler.name_of_cookie(place, name))
        });
        self.values(&member(place, "query"), fields.query.as_ref(), rules, |_, _, name| Source::Query(name.to_owned()));
        if let Some(networks) = &fields.source_ip {
            rules.push(Rule::SourceIp(self.networks(&member(place, "source_ip"), networks)));
        }
        let place = member(place, "properties");
        self.check_conditions(&place, fields.properties.as_ref());
        for (n, property) in fields.properties.iter().flatten().enumerate() {
            let place = format!("{place}[{n}]");
            let source = Source::Property(self.property(&member(&place, "path"), &property.path));
            self.value(&place, source, property.text(), rules);
        }
    }

    /// A path prefix that ends at a segment.
    pub(super) fn prefix(&mut self, place: &str, prefix: &str) -> PathRule {
        self.check_path(place, prefix);
        PathRule::prefix(prefix)
    }

    fn check_path(&mut self, place: &str, path: &str) {
        let is_path_char = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
        if !path.starts_with('/') || !path.bytes().all(is_path_char) {
            self.refuse(
                place,
                format!("{path:?} is not a path"),
                "start it with / and leave out query, fragment, spaces and characters beyond ASCII (write them \
                 percent-encoded, as clients send them)",
            );
        }
    }

    fn path(&mut self, place: &str, fields: &PathFields) -> Option<PathRule> {
        match (&fields.exact, &fields.prefix, &fields.regex) {
            (Some(exact), None, None) => {
                self.check_path(&member(place, "exact"), exact);
                Some(PathRule::Text(Text::new(Kind::Exact, exact.clone(), false)))
            }
            (None, Some(prefix), None) => Some(self.prefix(&member(place, "prefix"), prefix)),
            (None, None, Some(regex)) => {
                let kind = self.regex(&member(place, "regex"), regex, false)?;
                Some(PathRule::Text(Text::new(kind, regex.clone(), false)))
            }
            _ => {
                self.refuse(place, "there must be one comparison", "use one of exact, prefix and regex");
                None
            }
        }
    }

    fn hosts(&mut self, place: &str, hosts: &[String]) -> Vec<HostPattern> {
        if hosts.is_empty() {
            self.refuse(place, "the list is empty: no request would match", "name a host, or leave it out");
        }
        let mut patterns = Vec::new();
        for (n, host) in hosts.iter().enumerate() {
            match HostPattern::parse(host) {
                Some(pattern) => patterns.push(pattern),
                None => {
                    let remedy = "write \"example.com\" or \"*.example.com\", without a port";
                    self.refuse(&format!("{place}[{n}]"), format!("{host:?} is not a host"), remedy);
                }
            }
        }
        patterns
    }

    fn networks(&mut self, place: &str, networks: &[String]) -> Vec<Cidr> {
        if networks.is_empty() {
            self.refuse(place, "the list is empty: no request would match", "name a network, or leave it out");
        }
        let mut parsed = Vec::new();
        for (n, text) in networks.iter().enumerate() {
            let problem = format!("{text:?} is not a network");
            match Cidr::parse(text) {
                Ok(network) => parsed.push(network),
                Err(NotCidr::HostBits(network)) => {
                    self.refuse(&format!("{place}[{n}]"), problem, &format!("the network is {network:?}"));
                }
                Err(NotCidr::Malformed) => {
                    let remedy = "write it in CIDR notation: \"10.0.0.0/8\", \"192.0.2.1/32\" or \"2001:db8::/32\"";
                    self.refuse(&format!("{place}[{n}]"), problem, remedy);
                }
            }
        }
        parsed
    }

    fn values(
        &mut self,
        place: &str,
        values: Option<&Vec<ValueFields>>,
        rules: &mut Vec<Rule>,
        source: impl Fn(&mut Self, &str, &str) -> Source,
    ) {
        self.check_conditions(place, values);
        for (n, value) in values.into_iter().flatten().enumerate() {
            let place = format!("{place}[{n}]");
            let source = source(self, &member(&place, "name"), &value.name);
            self.value(&place, source, value.text(), rules);
        }
    }

    fn check_conditions<T>(&mut self, place: &str, conditions: Option<&Vec<T>>) {
        if conditions.is_some_and(Vec::is_empty) {
            self.refuse(place, "the list is empty", "name a condition, or leave it out");
        }
    }

    fn value(&mut self, place: &str, source: Source, fields: TextFields<'_>, rules: &mut Vec<Rule>) {
        if let Some(text) = self.text(place, &fields) {
            // That a value is not present is the inverse of its presence.
            let invert = fields.invert != (fields.present == Some(false));
            rules.push(Rule::Value { source, text, invert });
        }
    }

    fn text(&mut self, place: &str, fields: &TextFields<'_>) -> Option<Text> {
        let TextFields { exact, prefix, suffix, contains, regex, present, ignore_case, .. } = *fields;
        let comparisons = [
            ("exact", exact, Some(Kind::Exact)),
            ("prefix", prefix, Some(Kind::Prefix)),
            ("suffix", suffix, Some(Kind::Suffix)),
            ("contains", contains, Some(Kind::Contains)),
            ("regex", regex, None),
            ("present", present.map(|_| ""), Some(Kind::Present)),
        ];
        let mut given = comparisons.into_iter().filter_map(|(name, pattern, kind)| Some((name, pattern?, kind)));
        let (Some((name, pattern, kind)), None) = (given.next(), given.next()) else {
            let remedy = "use one of exact, prefix, suffix, contains, regex and present";
            self.refuse(place, "there must be one comparison", remedy);
            return None;
        };
        let place = member(place, name);
        if pattern.len() > MAX_PATTERN_BYTES {
            let problem = format!("the text has {} bytes", pattern.len());
            self.refuse(&place, problem, &format!("use at most {MAX_PATTERN_BYTES}"));
        }
        if pattern.is_empty() && ["prefix", "suffix", "contains"].contains(&name) {
            self.refuse(&place, "the text is empty: every value would match", "use \"present\": true");
        }
        let kind = match kind {
            Some(kind) => kind,
            None => self.regex(&place, pattern, ignore_case)?,
        };
        Some(Text::new(kind, pattern.to_owned(), ignore_case))
    }

    fn regex(&mut self, place: &str, pattern: &str, ignore_case: bool) -> Option<Kind> {
        let build = |pattern: &str| {
            RegexBuilder::new(pattern).case_insensitive(ignore_case).size_limit(MAX_REGEX_BYTES).build()
        };
        // By itself first: with an unbalanced bracket it might be valid inside of others.
        match build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z"))) {
            Ok(regex) => Some(Kind::Regex(regex)),
            Err(error) => {
                let problem = format!("{pattern:?} is not a regex that can be used: {error}");
                let remedy = "use the syntax of Rust's regex-lite crate, and a smaller one if it is too large";
                self.refuse(place, problem, remedy);
                None
            }
        }
    }

    /// The path of a property.
    pub(super) fn property(&mut self, place: &str, path: &[String]) -> Vec<String> {
        if path.is_empty() || path.iter().any(|segment| segment.is_empty() || segment.contains('\0')) {
            let remedy =
                "list its segments, as in [\"metadata\", \"filter_metadata\", \"envoy.filters.http.jwt_authn\", …]";
            self.refuse(place, format!("{path:?} is not the path of a property"), remedy);
        }
        path.to_vec()
    }

    /// The name of a header of the request, in lower case.
    pub(super) fn name_of_header(&mut self, place: &str, name: &str) -> String {
        let lower = name.to_ascii_lowercase();
        if !is_token(name) || lower == "host" {
            let remedy = "use letters, digits and -; for path, methods and hosts there are fields of their own";
            self.refuse(place, format!("{name:?} is not a header name"), remedy);
        }
        lower
    }

    /// The name of a cookie.
    pub(super) fn name_of_cookie(&mut self, place: &str, name: &str) -> String {
        if !is_token(name) {
            let remedy = "use letters, digits, - and _";
            self.refuse(place, format!("{name:?} is not a cookie name"), remedy);
        }
        name.to_owned()
    }
}
