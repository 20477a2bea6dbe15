//! Reads values from the nodes of a document.

use super::node::{Members, Node};
use super::unreadable::Unreadable;
use crate::named::Named;

/// A value as written, read from a node.
pub(super) trait FromNode: Sized {
    /// Reads the value. Strict: any other type than that of the value is an error.
    fn from_node(node: &Node) -> Result<Self, Unreadable>;
}

impl FromNode for String {
    fn from_node(node: &Node) -> Result<Self, Unreadable> {
        match node {
            Node::Text(text) => Ok(text.clone()),
            _ => Err(node.is_not("a string")),
        }
    }
}

impl FromNode for bool {
    fn from_node(node: &Node) -> Result<Self, Unreadable> {
        match node {
            Node::Bool(value) => Ok(*value),
            _ => Err(node.is_not("a boolean")),
        }
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node) -> Result<Self, Unreadable> {
        let Node::List(list) = node else { return Err(node.is_not("a list")) };
        // Of its final size from the start: a list that grows has room for twice as much.
        let mut elements = Self::with_capacity(list.len());
        for (n, node) in list.iter().enumerate() {
            elements.push(T::from_node(node).map_err(|error| error.inside(n))?);
        }
        Ok(elements)
    }
}

impl<V: FromNode> FromNode for Named<V> {
    fn from_node(node: &Node) -> Result<Self, Unreadable> {
        let mut named = Self::default();
        for (name, node) in node.members()?.iter() {
            let value = V::from_node(node).map_err(|error| error.inside(name))?;
            named.insert(name.to_owned(), value);
        }
        Ok(named)
    }
}

impl Members<'_> {
    /// The value of a field; `None` if it is absent.
    pub(super) fn optional<T: FromNode>(&self, name: &str) -> Result<Option<T>, Unreadable> {
        let value = self.find(name).map(T::from_node).transpose();
        value.map_err(|error| error.inside(name))
    }

    /// The value of a field that must be present.
    pub(super) fn required<T: FromNode>(&self, name: &str) -> Result<T, Unreadable> {
        self.optional(name)?.ok_or_else(|| Unreadable::missing(name))
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
            ) -> Result<Self, $crate::config::unreadable::Unreadable> {
                let members = node.members()?;
                members.check_names(&[$($crate::config::from_node::key!($field $(as $key)?)),*])?;
                Ok(Self {
                    $($field: $crate::config::from_node::read!(
                        $kind members $crate::config::from_node::key!($field $(as $key)?)
                    ),)*
                })
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
    (required $members:ident $key:expr) => {
        $members.required($key)?
    };
    (optional $members:ident $key:expr) => {
        $members.optional($key)?
    };
    (default $members:ident $key:expr) => {
        $members.optional($key)?.unwrap_or_default()
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
            ) -> Result<Self, $crate::config::unreadable::Unreadable> {
                match node.word()? {
                    $first_word $(| $first_alias)? => Ok(Self::$first),
                    $($word $(| $alias)? => Ok(Self::$variant),)*
                    word => Err($crate::config::unreadable::Unreadable::unknown_word(
                        word,
                        &[$first_word, $($word),*],
                    )),
                }
            }
        }
    };
}

pub(super) use {field, key, object, read, word};
