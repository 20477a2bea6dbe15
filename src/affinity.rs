//! Session affinity: the shard key of a request and its point.

use crate::placement::Salt;
use crate::request::Request;

/// The header that bears the shard key unless the policy says otherwise.
pub const DEFAULT_KEY_HEADER: &str = "x-serve-shard-key";

/// Where an endpoint finds the shard key, and the salt that it hashes with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Affinity {
    header: String,
    salt: Salt,
}

impl Affinity {
    /// Affinity by [`DEFAULT_KEY_HEADER`].
    pub fn new(salt: &str) -> Self {
        Self { header: DEFAULT_KEY_HEADER.to_owned(), salt: Salt::new(salt) }
    }

    /// The point of the request's shard key; `None` without a key. An empty key counts as none.
    pub fn point(&self, request: &impl Request) -> Option<u64> {
        let key = request.header(&self.header).filter(|key| !key.is_empty())?;
        Some(self.salt.point(&key))
    }
}
