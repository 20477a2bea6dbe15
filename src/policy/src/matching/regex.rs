//! Regexes of whole values, and the work that one may take.

use crate::limits::{REGEX_VALUE_BYTES, REGEX_VALUES};

/// A regex that takes a whole value.
#[derive(Clone, Debug)]
pub(crate) struct Regex {
    regex: regex_lite::Regex,
    work: Work,
}

/// The size of a regex, counted from its pattern alone: the same in every build, unlike the memory
/// that a compiled regex takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// The states of the whole regex.
    pub(crate) states: u64,
    /// The characters, at the start of the pattern, before anything that repeats, groups or
    /// branches.
    fixed: u64,
    /// The states that may be visited for each byte of a value: those after the fixed start of the
    /// pattern, where only one is alive.
    pub(crate) states_per_byte: u64,
}

/// The values that a regex may still read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    values: usize,
    bytes: usize,
}

impl Regex {
    /// `regex`, which takes whatever `pattern` takes as a whole.
    pub(crate) fn new(regex: regex_lite::Regex, work: Work) -> Self {
        Self { regex, work }
    }

    pub(crate) fn work(&self) -> Work {
        self.work
    }

    /// A string with which every match starts, taken from the regex' own `pattern`.
    pub(crate) fn fixed_start<'a>(&self, pattern: &'a str) -> &'a str {
        let is_itself = |char: char| char.is_ascii_alphanumeric() || "/-_~%".contains(char);
        let most = usize::try_from(self.work.fixed).unwrap_or(usize::MAX);
        let end = pattern.bytes().take(most).position(|byte| !is_itself(char::from(byte)));
        pattern.get(..end.unwrap_or(most.min(pattern.len()))).unwrap_or_default()
    }

    /// Whether `value` matches. A value that is not UTF-8, or that `allowance` leaves no room for,
    /// doesn't, and nor does any value after that one.
    pub(crate) fn matches(&self, value: &[u8], allowance: &mut Allowance) -> bool {
        allowance.take(value.len()) && std::str::from_utf8(value).is_ok_and(|value| self.regex.is_match(value))
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self { values: REGEX_VALUES, bytes: REGEX_VALUE_BYTES }
    }
}

impl Allowance {
    fn take(&mut self, bytes: usize) -> bool {
        let left = self.values.checked_sub(1).zip(self.bytes.checked_sub(bytes));
        let (values, bytes) = left.unwrap_or_default();
        *self = Self { values, bytes };
        left.is_some()
    }
}

impl Work {
    /// The work of a valid `pattern`. Never less than the regex has, and rarely much more.
    pub(crate) fn of(pattern: &str) -> Self {
        let mut count = Count { groups: Vec::new(), group: Group::default(), fixed: 0, is_fixed: true };
        let mut rest = pattern.chars();
        while let Some(char) = rest.next() {
            rest = count.add(char, rest);
        }
        let states = count.group.total();
        Self { states, fixed: count.fixed, states_per_byte: states.saturating_sub(count.fixed).saturating_add(1) }
    }
}

/// The count so far.
struct Count {
    /// The enclosing groups, the outermost first.
    groups: Vec<Group>,
    group: Group,
    /// How many states stand before anything that repeats, groups or branches.
    fixed: u64,
    is_fixed: bool,
}

/// The states of a group.
#[derive(Default)]
struct Group {
    before: u64,
    /// Those of the latest item, which a repetition multiplies.
    last: u64,
}

impl Group {
    fn push(&mut self, states: u64) {
        self.before = self.before.saturating_add(self.last);
        self.last = states;
    }

    fn total(&self) -> u64 {
        self.before.saturating_add(self.last)
    }
}

impl Count {
    /// Adds what `char` starts, and returns the rest of the pattern.
    fn add<'a>(&mut self, char: char, mut rest: std::str::Chars<'a>) -> std::str::Chars<'a> {
        match char {
            '(' => {
                self.is_fixed = false;
                let after = rest.as_str().strip_prefix('?');
                match after.and_then(|flags| flags.find([':', '>', ')']).map(|end| flags.split_at(end))) {
                    // Flags for the rest of the group, which is no group itself.
                    Some((_, end)) if end.starts_with(')') => return end.get(1..).unwrap_or_default().chars(),
                    Some((_, end)) => rest = end.get(1..).unwrap_or_default().chars(),
                    None => {}
                }
                self.groups.push(std::mem::take(&mut self.group));
            }
            ')' => {
                let states = self.group.total().saturating_add(2);
                self.group = self.groups.pop().unwrap_or_default();
                self.group.push(states);
            }
            '|' => {
                if self.groups.is_empty() {
                    self.fixed = 0;
                }
                self.is_fixed = false;
                self.group.push(2);
            }
            '*' | '+' | '?' => self.repeat(0, 1),
            '{' => {
                let end = rest.as_str().find('}');
                let (times, after) = end.map(|end| rest.as_str().split_at(end)).unwrap_or_default();
                match bounds(times) {
                    Some((fixed, optional)) => {
                        self.repeat(fixed, optional);
                        return after.get(1..).unwrap_or_default().chars();
                    }
                    None => self.item(1),
                }
            }
            '[' => {
                let (ranges, after) = class(rest.as_str());
                self.item(1 + ranges / 4);
                return after.chars();
            }
            '\\' => {
                self.item(2);
                let escaped = rest.next();
                // `\x{41}`, `\u{41}`, `\b{start}`
                let braces = rest.as_str().strip_prefix('{').and_then(|inner| inner.split_once('}'));
                if let (Some('x' | 'u' | 'U' | 'b'), Some((inner, after))) = (escaped, braces)
                    && (escaped != Some('b') || bounds(inner).is_none())
                {
                    return after.chars();
                }
            }
            _ => self.item(1),
        }
        rest
    }

    fn item(&mut self, states: u64) {
        self.group.push(states);
        if self.is_fixed {
            self.fixed = self.group.total();
        }
    }

    /// The latest item occurs `fixed` times, and `optional` times at most, or any number of times.
    fn repeat(&mut self, fixed: u64, optional: u64) {
        if self.is_fixed {
            self.fixed = self.group.before;
        }
        self.is_fixed = false;
        let item = self.group.last;
        let of_optional = item.saturating_add(2).saturating_mul(optional);
        self.group.last = item.saturating_mul(fixed).saturating_add(of_optional);
    }
}

/// How many copies of an item `{3}`, `{3,}`, `{,5}` or `{3,5}` makes: those that must be there, and
/// those that may.
fn bounds(times: &str) -> Option<(u64, u64)> {
    let number = |digits: &str| digits.trim().parse::<u64>().ok();
    let Some((min, max)) = times.split_once(',') else { return Some((number(times)?, 0)) };
    match (number(min), number(max)) {
        (None, None) => None,
        (min, None) => Some((min.unwrap_or(0), 1)),
        (min, Some(max)) => Some((min.unwrap_or(0), max.saturating_sub(min.unwrap_or(0)))),
    }
}

/// The number of characters of a class, and what follows it. `class` starts after the bracket.
fn class(class: &str) -> (u64, &str) {
    let mut count = 0;
    let mut rest = class.strip_prefix('^').unwrap_or(class);
    while let Some(char) = rest.chars().next() {
        let after = rest.get(char.len_utf8()..).unwrap_or_default();
        // A bracket in the first place is a member.
        if char == ']' && count > 0 {
            return (count, after);
        }
        count += 1;
        rest = match char {
            // An escape such as `\w` or `\]`.
            '\\' => {
                count += 4;
                after.get(after.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default()
            }
            '[' if after.starts_with(':') => {
                count += 4;
                after.split_once(":]").map_or(after, |(_, after)| after)
            }
            _ => after,
        };
    }
    (count, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_of_a_pattern_are_counted() {
        for (pattern, states) in [
            ("", 0),
            ("abc", 3),
            ("a|b", 4),
            ("(a)", 3),
            ("(?:a)b", 4),
            ("(?P<n>a)", 3),
            ("(?i)a", 1),
            ("(?i:a)", 3),
            ("a*", 3),
            ("a{3}", 3),
            ("a{2,4}", 8),
            ("a{2,}", 5),
            ("(?:a{10}){10}", 120),
            (r"\{3}", 4),
            (r"\x{41}", 2),
            (r"\b{start}a", 3),
            ("[a-z]", 1),
            ("[]a-z0-9]", 2),
            ("[[:alpha:]]", 2),
            (r"[\]\w]b", 4),
            ("(?:.*a){134}b", 805),
            ("a{1000000}{1000000}", 1_000_000_000_000),
            ("a{4294967295}{4294967295}{4294967295}", u64::MAX),
        ] {
            assert_eq!(Work::of(pattern).states, states, "{pattern}");
        }
    }

    #[test]
    fn a_fixed_start_costs_nothing_for_each_byte() {
        for (pattern, states) in [
            ("/api/v1/users", 1),
            ("/api/v[12]/users/[^/]+", 4),
            ("/api/.*", 4),
            ("/a(b|c)", 7),
            ("/a|/bc.*", 11),
            ("a?", 4),
        ] {
            assert_eq!(Work::of(pattern).states_per_byte, states, "{pattern}");
        }
    }

    #[test]
    fn the_fixed_start_of_a_regex_is_a_part_of_every_match() {
        for (pattern, start) in [
            ("/api/v[12]", "/api/v"),
            ("/api/", "/api/"),
            ("/apis?", "/api"),
            ("/a{2}", "/"),
            ("/a|/b", ""),
            ("/a(b|c)", "/a"),
            (r"/a\.b", "/a"),
            ("/a.b", "/a"),
            ("(?i)/a", ""),
            ("/\u{e4}", "/"),
        ] {
            let regex = Regex::new(regex_lite::Regex::new(pattern).unwrap(), Work::of(pattern));
            assert_eq!(regex.fixed_start(pattern), start, "{pattern}");
        }
    }

    #[test]
    fn a_regex_reads_no_more_than_its_allowance() {
        let regex = Regex::new(regex_lite::Regex::new("(?s).*").unwrap(), Work::of(".*"));
        let matches = |sizes: &[usize]| {
            let mut allowance = Allowance::default();
            sizes.iter().map(|size| regex.matches(&vec![b'a'; *size], &mut allowance)).collect::<Vec<_>>()
        };
        assert_eq!(matches(&[REGEX_VALUE_BYTES, 0, 1]), [true, true, false]);
        assert_eq!(matches(&[REGEX_VALUE_BYTES + 1, 0]), [false, false]);
        assert_eq!(matches(&[0; REGEX_VALUES + 1]).iter().filter(|matches| **matches).count(), REGEX_VALUES);
    }
}
