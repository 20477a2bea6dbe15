//! Reads values from the nodes of a document.

use super::fault;
use super::node::{Members, Node};
use crate::finding::Errors;
use crate::named::Named;
use crate::place::At;

/// A value as written, read from a node.
pub(super) trait FromNode: Sized {
    /// Reads the value; `None` if it has another type. Notes all that is wrong, also inside it.
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self>;
}

impl FromNode for String {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        node.word(at, errors).map(str::to_owned)
    }
}

impl FromNode for bool {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        match node {
            Node::Bool(value) => Some(*value),
            _ => node.is_not("a boolean", at, errors),
        }
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let list = node.list(at, errors)?;
        // Of its final size from the start: a list that grows has room for twice as much.
        let mut elements = Self::with_capacity(list.len());
        for (n, node) in list.iter().enumerate() {
            elements.extend(T::from_node(node, &at.element(n), errors));
        }
        (elements.len() == list.len()).then_some(elements)
    }
}

impl<V: FromNode> FromNode for Named<V> {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let mut named = Self::default();
        let members = node.members(at, errors)?;
        let mut are_read = true;
        for (name, node) in members.iter() {
            match V::from_node(node, &at.member(name), errors) {
                Some(value) => named.insert(name.to_owned(), value),
                None => are_read = false,
            }
        }
        are_read.then(|| members.finish(named))?
    }
}

impl Members<'_> {
    /// The value of a field, `Some(None)` if it is absent; `None` if it can't be read.
    #[expect(clippy::option_option, reason = "an absent field is no error")]
    pub(super) fn optional<T: FromNode>(&self, name: &str, at: &At<'_>, errors: &mut Errors) -> Option<Option<T>> {
        match self.find(name) {
            Some(node) => T::from_node(node, &at.member(name), errors).map(Some),
            None => Some(None),
        }
    }

    /// The value of a field that must be present; `None` if it can't be read.
    pub(super) fn required<T: FromNode>(&self, name: &str, at: &At<'_>, errors: &mut Errors) -> Option<T> {
        let value = self.optional(name, at, errors)?;
        if value.is_none() {
            errors.add(at, fault::missing(name));
        }
        value
    }
}

/// Declares the type of an object: a struct whose fields are `required`, `optional` (an `Option`) or
/// have a `default` (that of their type). Another field is an error.
macro_rules! object {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$doc:meta])* $kind:ident $field:ident $(as $key:literal)?: $type:ty,)*
    }) => {
        #[derive(Debug)]
        #[cfg_attr(
            feature = "schema",
            derive(schemars::JsonSchema),
            schemars(
                deny_unknown_fields,
                extend("required" = $crate::config::schema::required(
                    &[$((stringify!($kind), $crate::config::from_node::key!($field $(as $key)?))),*],
                ))
            )
        )]
        $(#[$meta])*
        pub struct $name {
            $(
                $(#[$doc])*
                $(#[cfg_attr(feature = "schema", schemars(rename = $key))])?
                pub $field: $crate::config::from_node::field!($kind $type),
            )*
        }

        impl $crate::config::from_node::FromNode for $name {
            fn from_node(
                node: &$crate::config::node::Node,
                at: &$crate::place::At<'_>,
                errors: &mut $crate::finding::Errors,
            ) -> Option<Self> {
                let members = node.members(at, errors)?;
                members.check_names(&[$($crate::config::from_node::key!($field $(as $key)?)),*], at, errors);
                // All of them, before the first that can't be read ends it.
                $(let $field = $crate::config::from_node::read!(
                    $kind $crate::config::from_node::key!($field $(as $key)?), members, at, errors
                );)*
                members.finish(Self { $($field: $field?,)* })
            }
        }
    };
}

/// The name of a field in the document.
macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident as $key:literal) => {
        $key
    };
}

/// The type of a field.
macro_rules! field {
    (optional $type:ty) => { Option<$type> };
    ($kind:ident $type:ty) => { $type };
}

/// Reads a field.
macro_rules! read {
    (required $key:expr, $members:ident, $at:ident, $errors:ident) => {
        $members.required($key, $at, $errors)
    };
    (optional $key:expr, $members:ident, $at:ident, $errors:ident) => {
        $members.optional($key, $at, $errors)
    };
    (default $key:expr, $members:ident, $at:ident, $errors:ident) => {
        $members.optional($key, $at, $errors).map(Option::unwrap_or_default)
    };
}

/// Declares the type of a string that is one of a few words. The first is the default.
macro_rules! word {
    ($(#[$meta:meta])* pub enum $name:ident {
        $(#[$first_doc:meta])* $first:ident = $first_word:literal $(| $first_alias:literal)?,
        $($(#[$doc:meta])* $variant:ident = $word:literal $(| $alias:literal)?,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name {
            $(#[$first_doc])*
            #[default]
            #[cfg_attr(feature = "schema", schemars(rename = $first_word))]
            $first,
            $(
                $(#[$doc])*
                #[cfg_attr(feature = "schema", schemars(rename = $word))]
                $variant,
            )*
        }

        impl $crate::config::from_node::FromNode for $name {
            fn from_node(
                node: &$crate::config::node::Node,
                at: &$crate::place::At<'_>,
                errors: &mut $crate::finding::Errors,
            ) -> Option<Self> {
                match node.word(at, errors)? {
                    $first_word $(| $first_alias)? => Some(Self::$first),
                    $($word $(| $alias)? => Some(Self::$variant),)*
                    word => {
                        errors.add(at, $crate::config::fault::unknown_word(word, &[$first_word, $($word),*]));
                        None
                    }
                }
            }
        }
    };
}

pub(super) use {field, key, object, read, word};
