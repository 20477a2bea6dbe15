//! Shares and fractions on the command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::{Map, Number, Value};

use super::word::name;
use crate::error::Error;

/// A backend and its share, as in `model-v1=0.9` or `model-v1=90%`.
#[derive(Clone, Debug)]
pub struct Share {
    backend: String,
    share: Number,
}

/// A share, or the file behind the shares.
#[derive(Clone, Debug)]
pub enum ShareOrFile {
    /// A share.
    Share(Share),
    /// The path of a file.
    File(PathBuf),
}

/// How a share is written.
pub const EXPECTED: &str = "write BACKEND=SHARE, as in model-v1=0.9 or model-v1=90%";

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (backend, share) = text.split_once('=').ok_or(EXPECTED)?;
        if share.contains(',') {
            return Err("a comma is in it: put spaces between the shares".to_owned());
        }
        if share.contains('=') {
            return Err(format!("two \"=\" are in it: {EXPECTED}"));
        }
        Ok(Self { backend: name(backend)?, share: number(share)? })
    }
}

impl FromStr for ShareOrFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('=') {
            return text.parse().map(Self::Share);
        }
        let path = Path::new(text);
        let has_ending = || path.extension().is_some_and(|ending| ["json", "yaml", "yml"].iter().any(|e| ending == *e));
        // Anything else is rather a share without its number.
        let is_file = text.contains('/') || has_ending() || path.is_file();
        if is_file { Ok(Self::File(path.to_owned())) } else { Err(EXPECTED.to_owned()) }
    }
}

/// The shares, and the file behind them.
///
/// # Errors
/// [`Error::Usage`] if there are two files, or a share stands behind one.
pub fn split(words: &[ShareOrFile]) -> Result<(Vec<&Share>, Option<&Path>), Error> {
    let mut shares = Vec::new();
    let mut file = None;
    for word in words {
        match word {
            ShareOrFile::Share(share) if file.is_none() => shares.push(share),
            ShareOrFile::File(path) if file.is_none() => file = Some(path.as_path()),
            _ => return Err(Error::Usage("FILE is one file, and comes last".to_owned())),
        }
    }
    Ok((shares, file))
}

/// Parses a number that JSON can express, also if it is written as `.5` or as a percentage, `50%`.
///
/// # Errors
/// A message for the user.
pub fn number(text: &str) -> Result<Number, String> {
    let wrong = || format!("{text:?} is not a number");
    if let Some(percentage) = text.strip_suffix('%') {
        // The exponent divides exactly, as the digits are written. A second one is no number.
        let part: f64 = format!("{}e-2", percentage.trim_end()).parse().map_err(|_| wrong())?;
        return part.to_string().parse().map_err(|_| wrong());
    }
    let as_written = || text.parse::<Number>().ok();
    let rounded = || text.parse::<f64>().ok().and_then(Number::from_f64);
    as_written().or_else(rounded).ok_or_else(wrong)
}

/// Parses a fraction from 0 to 1, or a percentage.
///
/// # Errors
/// A message for the user, which says how a percentage is written.
pub fn fraction(text: &str) -> Result<Number, String> {
    let number = number(text)?;
    let value = number.as_f64().unwrap_or_default();
    if (0.0..=1.0).contains(&value) {
        return Ok(number);
    }
    let hint = match self::number(&format!("{number}%")) {
        Ok(part) if (1.0..=100.0).contains(&value) && !text.ends_with('%') => {
            format!(": {number} % is {part}, or {number}%")
        }
        _ => String::new(),
    };
    Err(format!("a fraction is from 0 to 1{hint}"))
}

/// The shares as the `traffic` of a policy, sorted by backend.
///
/// # Errors
/// [`Error::Wrong`] if a backend has two shares.
pub fn traffic(shares: &[&Share]) -> Result<Map<String, Value>, Error> {
    let mut traffic = Map::new();
    for Share { backend, share } in shares {
        if traffic.insert(backend.clone(), Value::Number(share.clone())).is_some() {
            return Err(Error::Wrong(format!("the backend {backend:?} has two shares")));
        }
    }
    traffic.sort_keys();
    Ok(traffic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_as_it_is_written() {
        for (text, expected) in [
            ("1", Ok("1")),
            ("0.10", Ok("0.1")),
            (".5", Ok("0.5")),
            ("90", Ok("90")),
            ("80%", Ok("0.8")),
            ("33.3%", Ok("0.333")),
            ("0.1 %", Ok("0.001")),
            ("100%", Ok("1")),
        ] {
            assert_eq!(
                number(text).map(|number| number.to_string()).as_deref(),
                expected.map_err(str::to_owned).as_deref()
            );
        }
        for text in ["half", "NaN", "", "%", "1e1%", "NaN%", "5%%"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_fraction_that_is_a_percentage_is_refused_with_the_fraction() {
        for (text, expected) in [
            ("0.2", Ok("0.2")),
            ("20%", Ok("0.2")),
            ("1", Ok("1")),
            ("20", Err("a fraction is from 0 to 1: 20 % is 0.2, or 20%")),
            ("2.5", Err("a fraction is from 0 to 1: 2.5 % is 0.025, or 2.5%")),
            ("200", Err("a fraction is from 0 to 1")),
            ("120%", Err("a fraction is from 0 to 1")),
            ("-1", Err("a fraction is from 0 to 1")),
        ] {
            let fraction = fraction(text).map(|number| number.to_string());
            assert_eq!(fraction, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_backend_with_two_shares_is_refused() {
        let shares: Result<Vec<Share>, _> = ["b=1", "a=0", "b=0"].into_iter().map(str::parse).collect();
        let shares = shares.unwrap();
        let first = |count| shares.iter().take(count).collect::<Vec<_>>();
        assert!(traffic(&first(3)).is_err());
        let traffic = traffic(&first(2)).unwrap();
        assert_eq!(traffic.keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_word_is_a_share_or_a_file() {
        let is_file = |text: &str| text.parse::<ShareOrFile>().map(|word| matches!(word, ShareOrFile::File(_)));
        for (text, expected) in [
            ("a=1", Ok(false)),
            ("policy.json", Ok(true)),
            ("./policy", Ok(true)),
            ("a=0.5,b=0.5", Err("a comma is in it: put spaces between the shares".to_owned())),
            ("model-v1", Err(EXPECTED.to_owned())),
            ("model-1.5", Err(EXPECTED.to_owned())),
            ("a=b=1", Err(format!("two \"=\" are in it: {EXPECTED}"))),
            ("a,b=1", Err("\"a,b\" has a \",\", which no name has: put spaces between names".to_owned())),
            ("=1", Err("the name is empty".to_owned())),
        ] {
            assert_eq!(is_file(text), expected, "{text}");
        }
    }
}
