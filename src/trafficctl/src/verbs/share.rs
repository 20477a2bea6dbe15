//! Shares and fractions on the command line.

use std::str::FromStr;

use serde_json::{Map, Number, Value};

use crate::error::Error;

/// A backend and its share, as in `model-v1=0.9`.
#[derive(Clone, Debug)]
pub struct Share {
    backend: String,
    share: Number,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((backend, share)) = text.rsplit_once('=') else {
            return Err("write BACKEND=SHARE, as in model-v1=0.9".to_owned());
        };
        Ok(Self { backend: backend.to_owned(), share: number(share)? })
    }
}

/// Parses a number that JSON can express, also if it is written as `.5`.
///
/// # Errors
/// A message for the user.
pub fn number(text: &str) -> Result<Number, String> {
    let as_written = || text.parse::<Number>().ok();
    let rounded = || text.parse::<f64>().ok().and_then(Number::from_f64);
    as_written().or_else(rounded).ok_or_else(|| format!("{text:?} is not a number"))
}

/// The shares as the `traffic` of a policy, sorted by backend.
///
/// # Errors
/// [`Error::Wrong`] if a backend has two shares.
pub fn traffic(shares: &[Share]) -> Result<Map<String, Value>, Error> {
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
        for (text, expected) in [("1", Ok("1")), ("0.10", Ok("0.1")), (".5", Ok("0.5")), ("90", Ok("90"))] {
            assert_eq!(
                number(text).map(|number| number.to_string()).as_deref(),
                expected.map_err(str::to_owned).as_deref()
            );
        }
        assert!(number("half").is_err() && number("NaN").is_err() && number("").is_err());
    }

    #[test]
    fn a_backend_with_two_shares_is_refused() {
        let shares: Result<Vec<Share>, _> = ["b=1", "a=0", "b=0"].into_iter().map(str::parse).collect();
        assert!(traffic(&shares.clone().unwrap()).is_err());
        let traffic = traffic(&shares.unwrap()[..2]).unwrap();
        assert_eq!(traffic.keys().collect::<Vec<_>>(), ["a", "b"]);
    }
}
