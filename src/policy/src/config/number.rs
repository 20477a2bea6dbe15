//! Numbers as written: any form of JSON number will do.

use super::from_node::FromNode;
use super::node::Node;
use crate::finding::Errors;
use crate::place::At;

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

impl Node {
    fn number(&self, expected: &str, at: &At<'_>, errors: &mut Errors) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            _ => self.is_not(expected, at, errors),
        }
    }
}

impl FromNode for Share {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        node.number("a share: a number, not in quotes", at, errors).map(Self)
    }
}

impl FromNode for Fraction {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        node.number("a fraction: a number from 0 to 1, not in quotes", at, errors).map(Self)
    }
}

impl FromNode for Rate {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        node.number("a rate: a number, not in quotes", at, errors).map(Self)
    }
}

impl FromNode for Whole {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        const EXPECTED: &str = "a whole number, not in quotes";
        // The integers that a double represents exactly.
        const LIMIT: f64 = 9_007_199_254_740_992.0;
        let value = node.number(EXPECTED, at, errors)?;
        if value.fract() != 0.0 || !(0.0..LIMIT).contains(&value) {
            return node.is_not(EXPECTED, at, errors);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        Some(Self(value as u64))
    }
}
