//! Comparisons of a value, and the names of values, checked and made ready.

use regex_lite::RegexBuilder;

use crate::config::TextFields;
use crate::finding::{Errors, Fault};
use crate::limits::{PATTERN_BYTES, REGEX_BYTES, REGEX_STATES};
use crate::matching::{Kind, Number, Regex, Rule, Text, Work};
use crate::names::HeaderName;
use crate::place::At;
use crate::source::Source;

/// The rule that a value of `source` compares as the fields say. Checks them even without a source.
pub(super) fn rule(at: &At<'_>, source: Option<Source>, fields: &TextFields<'_>, errors: &mut Errors) -> Option<Rule> {
    let text = text(at, fields, errors)?;
    // The absence of a value is the inverse of its presence.
    let invert = fields.invert != (fields.present == Some(false));
    Some(Rule::Value { source: source?, text, invert, number: Number::default() })
}

fn text(at: &At<'_>, fields: &TextFields<'_>, errors: &mut Errors) -> Option<Text> {
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
        errors.refuse(at, "there must be one comparison", remedy);
        return None;
    };
    let at = at.member(name);
    if pattern.len() > PATTERN_BYTES {
        let problem = format!("the string has {} bytes", pattern.len());
        errors.refuse(&at, problem, format!("use at most {PATTERN_BYTES}"));
    }
    if pattern.is_empty() && matches!(kind, Some(Kind::Prefix | Kind::Suffix | Kind::Contains)) {
        errors.refuse(&at, "the string is empty: every value would match", "use \"present\": true");
    }
    let kind = match kind {
        Some(kind) => kind,
        None => errors.accept(&at, self::regex(pattern, ignore_case))?,
    };
    Some(Text::new(kind, pattern.to_owned(), ignore_case))
}

/// A regex for a whole value.
pub(super) fn regex(pattern: &str, ignore_case: bool) -> Result<Kind, Fault> {
    let work = Work::of(pattern);
    if work.states > REGEX_STATES {
        let problem = format!("{pattern:?} has {} states", work.states);
        return Err(Fault::new(problem, format!("use a regex of at most {REGEX_STATES}: repetitions multiply them")));
    }
    let build =
        |pattern: &str| RegexBuilder::new(pattern).case_insensitive(ignore_case).size_limit(REGEX_BYTES).build();
    // By itself first: one with an unbalanced bracket may be valid inside others.
    let regex = build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z"))).map_err(|error| {
        Fault::new(
            format!("{pattern:?} is not a regex that can be used: {error}"),
            "use the syntax of Rust's regex-lite crate, and a smaller regex if it is too large",
        )
    })?;
    Ok(Kind::Regex(Regex::new(regex, work)))
}

/// The name of a header of the request.
pub(super) fn header(name: &str) -> Result<HeaderName, Fault> {
    let header = name.parse().ok().filter(|header: &HeaderName| *header != "host");
    header.ok_or_else(|| {
        Fault::new(
            format!("{name:?} is not a header name"),
            "use letters, digits and -; path, methods and hosts have fields of their own",
        )
    })
}
