//! Numbers of things in one policy, by which tables beside the policy are kept.

/// Declares a number: from 0, without gaps, in the order of the document.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(usize);

        impl $name {
            /// The position in a table that has one row for each of them.
            pub fn index(self) -> usize {
                self.0
            }
        }

        impl From<usize> for $name {
            fn from(index: usize) -> Self {
                Self(index)
            }
        }
    };
}

id! {
    /// A backend that an endpoint or a cohort can choose; below
    /// [`Policy::choices`](crate::Policy::choices).
    ChoiceId
}

id! {
    /// A shadow of an endpoint's or a cohort's requests.
    ShadowId
}

id! {
    /// An entry in a `shadow` object. A shadow that a cohort inherits has the entry of its
    /// endpoint, with which it shares limits.
    EntryId
}
