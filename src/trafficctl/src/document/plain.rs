//! Plain scalars, which are those without quotes, in YAML 1.1.
//!
//! `kubectl` and the API server convert YAML with `sigs.k8s.io/yaml`. Its rules are those of
//! `go-yaml` version 2, which these functions follow.

/// A scalar without quotes, as Kubernetes reads it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// A string: the scalar as it is written.
    Text,
}

/// A scalar without quotes, as `go-yaml` version 2 resolves it.
pub fn read(text: &str) -> Reading {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Reading::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Reading::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Reading::Bool(false);
        }
        _ => (),
    }
    if text.starts_with('.') {
        return if is_float(text) { text.parse().map_or(Reading::Text, Reading::Float) } else { Reading::Text };
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-') {
        return Reading::Text;
    }
    let plain = text.replace('_', "");
    if let Some(integer) = integer(&plain) {
        return Reading::Integer(integer);
    }
    if is_float(&plain) { plain.parse().map_or(Reading::Text, Reading::Float) } else { Reading::Text }
}

/// Whether YAML 1.1 itself reads a scalar in another way than Kubernetes does, or other readers do:
/// a number with an exponent but no point or sign, in base 8, or in base 60, a time, and a word such
/// as `on`.
pub fn is_unclear(text: &str) -> bool {
    if matches!(read(text), Reading::Bool(_)) {
        return !text.eq_ignore_ascii_case("true") && !text.eq_ignore_ascii_case("false");
    }
    let plain = text.replace('_', "");
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let is_short_exponent = is_float(&plain)
        && unsigned
            .split_once(['e', 'E'])
            .is_some_and(|(mantissa, exponent)| !mantissa.contains('.') || !exponent.starts_with(['+', '-']));
    let has_leading_zero =
        unsigned.len() > 1 && unsigned.starts_with('0') && unsigned.chars().all(|c| c.is_ascii_digit());
    let is_octal = ["0o", "0O"].iter().any(|prefix| unsigned.starts_with(prefix)) && integer(&plain).is_some();
    is_short_exponent || has_leading_zero || is_octal || is_base_60(unsigned) || is_time(text)
}

/// `1:30`, or `12:30:45.5`.
fn is_base_60(unsigned: &str) -> bool {
    let (whole, part) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_below_60 = |digits: &str| digits.len() <= 2 && digits.parse::<u8>().is_ok_and(|number| number < 60);
    let mut groups = whole.split(':');
    let first = groups.next().unwrap_or_default();
    whole.contains(':')
        && !first.is_empty()
        && first.chars().chain(part.chars()).all(|c| c.is_ascii_digit())
        && groups.all(is_below_60)
}

/// `2026-01-31`, or with a time of day behind it.
fn is_time(text: &str) -> bool {
    let date = text.split(['T', 't', ' ']).next().unwrap_or_default();
    let are_digits = |(digits, longest): (&str, usize)| {
        (1..=longest).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit())
    };
    let parts: Vec<_> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    year.len() == 4 && [(year, 4), (month, 2), (day, 2)].into_iter().all(are_digits)
}

/// An integer, whose prefix gives its base: `0x`, `0b`, and `0o` or `0` alone for octal.
fn integer(plain: &str) -> Option<i64> {
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.strip_prefix('+').unwrap_or(plain)),
    };
    let based = |prefixes: [&str; 2]| prefixes.iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (digits, base) = if let Some(digits) = based(["0x", "0X"]) {
        (digits, 16)
    } else if let Some(digits) = based(["0o", "0O"]) {
        (digits, 8)
    } else if let Some(digits) = based(["0b", "0B"]) {
        (digits, 2)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (digits, 8)
    } else {
        (digits, 10)
    };
    // A second sign is none.
    let is_number = digits.chars().all(|c| c.is_digit(base));
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok().filter(|_| is_number)
}

/// Whether it is a number with digits, perhaps a point, and perhaps an exponent.
fn is_float(plain: &str) -> bool {
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let are_digits = |digits: &str| digits.chars().all(|c| c.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    are_digits(whole)
        && are_digits(part)
        && !(whole.is_empty() && part.is_empty())
        && exponent.is_none_or(|exponent| are_digits(exponent) && !exponent.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_scalar_is_what_go_yaml_makes_of_it() {
        use Reading::{Bool, Float, Integer, Null, Text};
        for (text, expected) in [
            ("", Null),
            ("~", Null),
            ("yes", Bool(true)),
            ("OFF", Bool(false)),
            ("oN", Text),
            ("-0x1f", Integer(-31)),
            ("0b101", Integer(5)),
            ("0o17", Integer(15)),
            ("017", Integer(15)),
            ("08", Float(8.0)),
            ("0", Integer(0)),
            ("1_000", Integer(1000)),
            ("+-1", Text),
            ("0x-1", Text),
            ("1.5", Float(1.5)),
            (".5", Float(0.5)),
            ("5.", Float(5.0)),
            ("1e3", Float(1000.0)),
            ("1e", Text),
            (".", Text),
            ("-", Text),
            ("1.2.3", Text),
            ("12:30", Text),
            ("2026-01-31", Text),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
