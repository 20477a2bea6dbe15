//! A JSON document as a tree.
//!
//! serde_json could fill the types directly, but it accepts a list for a struct, keeps the last of
//! two equal keys, and doesn't know where in the document it is. Here every error has its place.

use std::fmt;

use serde_core::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::fault;
use crate::decimal::decimal;
use crate::finding::{Errors, Fault, Kind};
use crate::place::At;
use crate::placement::{fnv1a, mix};

/// A JSON value. Numbers are doubles, as in Istio.
#[derive(Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the document, equal keys included.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// A hash of what the document says. Layout, the order of keys and the form of numbers make no
    /// difference: control planes change them on the way.
    pub(super) fn hash(&self) -> u64 {
        match self {
            Self::Null => 1,
            Self::Bool(value) => 2 + u64::from(*value),
            // 0 and -0 are one number.
            Self::Number(value) => mix((value + 0.0).to_bits() ^ 4),
            Self::Text(text) => mix(fnv1a(text.as_bytes()) ^ 5),
            Self::List(list) => list.iter().fold(6, |hash, node| mix(hash ^ node.hash().rotate_left(1))),
            Self::Object(members) => members.iter().fold(7, |hash: u64, (key, node)| {
                hash.wrapping_add(mix(fnv1a(key.as_bytes()) ^ node.hash().rotate_left(2)))
            }),
        }
    }

    /// The member of an object with this name.
    pub(super) fn member_mut(&mut self, name: &str) -> Option<&mut Self> {
        let Self::Object(members) = self else { return None };
        members.iter_mut().find(|(known, _)| known == name).map(|(_, node)| node)
    }

    /// The elements of a list; `None` for another value, which is noted.
    pub(super) fn list(&self, at: &At<'_>, errors: &mut Errors) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => self.is_not("a list", at, errors),
        }
    }

    /// The members of an object, sorted by name; `None` for another value, which is noted. Two of the
    /// same name are an error.
    pub(super) fn members(&self, at: &At<'_>, errors: &mut Errors) -> Option<Members<'_>> {
        let Self::Object(members) = self else { return self.is_not("an object", at, errors) };
        let mut members: Vec<&(String, Self)> = members.iter().collect();
        members.sort_unstable_by_key(|(name, _)| name.as_str());
        let mut are_unique = true;
        for [(name, _), (next, _)] in members.array_windows() {
            if name == next {
                are_unique = false;
                let fault = Fault::new(format!("duplicate key {name:?}"), "keep one of them");
                errors.add(at, fault.of(Kind::Duplicate));
            }
        }
        Some(Members { members, are_unique })
    }

    /// A string; `None` for another value, which is noted.
    pub(super) fn word(&self, at: &At<'_>, errors: &mut Errors) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => self.is_not("a string", at, errors),
        }
    }

    /// Notes that this is not what was `expected`.
    pub(super) fn is_not<T>(&self, expected: &str, at: &At<'_>, errors: &mut Errors) -> Option<T> {
        let found = match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => format!("the number {}", decimal(*value)),
            Self::Text(text) => format!("the string {text:?}"),
            Self::List(_) => "a list".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        };
        let fault = Fault::new(format!("this is {found}"), format!("expected {expected}"));
        errors.add(at, fault.of(Kind::Shape));
        None
    }
}

/// The members of an object, sorted by name.
pub(super) struct Members<'a> {
    members: Vec<&'a (String, Node)>,
    are_unique: bool,
}

impl<'a> Members<'a> {
    /// Checks that each member is one of the fields `known`.
    pub(super) fn check_names(&self, known: &[&str], at: &At<'_>, errors: &mut Errors) {
        for (name, _) in self.iter().filter(|(name, _)| !known.contains(name)) {
            errors.add(&at.member(name), fault::unknown_field(name, known));
        }
    }

    /// The object that was read from them; `None` if two had the same name.
    pub(super) fn finish<T>(self, object: T) -> Option<T> {
        self.are_unique.then_some(object)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Node)> {
        self.members.iter().map(|(name, node)| (name.as_str(), node))
    }

    pub(super) fn find(&self, name: &str) -> Option<&'a Node> {
        self.iter().find(|(known, _)| *known == name).map(|(_, node)| node)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;

        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Bool(value))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Number(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Number(value as f64))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Number(value as f64))
            }

            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(node) = access.next_element()? {
                    list.push(node);
                }
                list.shrink_to_fit();
                Ok(Node::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                members.shrink_to_fit();
                Ok(Node::Object(members))
            }
        }

        deserializer.deserialize_any(NodeVisitor)
    }
}
