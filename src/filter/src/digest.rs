//! Tells documents apart without comparing them.

use std::hash::Hasher;

use fnv::FnvHasher;

/// The hash and the length of a document. No protection against forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    hash: u64,
    bytes: u64,
}

impl Digest {
    /// The digest of a document.
    pub fn of(document: &[u8]) -> Self {
        let mut hasher = FnvHasher::default();
        hasher.write(document);
        Self { hash: hasher.finish(), bytes: document.len() as u64 }
    }

    /// The length of the document.
    pub fn document_bytes(self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    /// The digest as bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        [self.hash, self.bytes].map(u64::to_le_bytes).concat()
    }

    /// Reads what [`Digest::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hash, bytes) = bytes.split_first_chunk()?;
        Some(Self { hash: u64::from_le_bytes(*hash), bytes: u64::from_le_bytes(bytes.try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_was_written_and_from_nothing_else() {
        let digest = Digest::of(b"{}");
        let bytes = digest.to_bytes();
        assert_eq!(Digest::from_bytes(&bytes), Some(digest));
        assert_eq!(digest.document_bytes(), 2);
        for other in [&bytes[..15], &[], &[&bytes[..], b"x"].concat()] {
            assert_eq!(Digest::from_bytes(other), None, "{other:?}");
        }
    }

    #[test]
    fn documents_that_differ_have_different_digests() {
        assert_ne!(Digest::of(b"{}"), Digest::of(b"{ }"));
        assert_ne!(Digest::of(b"ab"), Digest::of(b"ba"));
    }
}
