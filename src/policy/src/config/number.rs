//! Numbers as written: any form of JSON number will do.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

/// A backend's share of the traffic.
#[derive(Clone, Copy, Debug)]
pub struct Share(pub f64);

/// A shadow's fraction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fraction(pub f64);

/// A rate, in events per second.
#[derive(Clone, Copy, Debug)]
pub struct Rate(pub f64);

/// A whole number that is not negative, in any form of JSON: `500`, `500.0` or `5e2`.
#[derive(Clone, Copy, Debug)]
pub struct Whole(pub u64);

/// Reads any JSON number as f64.
fn number<'de, D: Deserializer<'de>>(deserializer: D, expected: &'static str) -> Result<f64, D::Error> {
    struct NumberVisitor(&'static str);

    impl Visitor<'_> for NumberVisitor {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }
    }

    deserializer.deserialize_f64(NumberVisitor(expected))
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a share: a number, not in quotes").map(Self)
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a fraction: a number from 0 to 1, not in quotes").map(Self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a rate: a number, not in quotes").map(Self)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a whole number, not in quotes";
        // The integers that a double holds exactly.
        const LIMIT: f64 = 9_007_199_254_740_992.0;
        let value = number(deserializer, EXPECTED)?;
        if value.fract() != 0.0 || !(0.0..LIMIT).contains(&value) {
            return Err(de::Error::invalid_value(Unexpected::Float(value), &EXPECTED));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        Ok(Self(value as u64))
    }
}
