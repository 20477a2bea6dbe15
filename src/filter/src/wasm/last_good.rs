//! The last good policy of a plugin, which outlives its workers and its module.
//!
//! The threads of the process share it. A small record beside the document keeps a thread from
//! writing what is there already.

use super::host;
use crate::digest::Digest;

/// Where a document and its record are.
struct Keys {
    record: String,
    document: String,
}

impl Keys {
    /// Those of the plugin `name`. Modules of all versions use the same.
    fn of(name: &str) -> Self {
        let key = |what: &str| ["traffic_policy last good ", what, " of ", name].concat();
        Self { record: key("record"), document: key("policy") }
    }
}

/// Remembers the document of a policy that is valid.
pub(super) fn remember(name: &str, document: &[u8], digest: Digest) {
    // Other threads may change it at the same time, but not that often.
    const TRIES: usize = 100;
    let (keys, record) = (Keys::of(name), digest.to_bytes());
    for _ in 0..TRIES {
        let (known, version) = host::shared_data(&keys.record);
        if known == record {
            return;
        }
        // The record last, and only if no other thread has written one since: so the last record is
        // that of the last document.
        host::set_shared_data(&keys.document, document, None);
        if host::set_shared_data(&keys.record, &record, version) {
            return;
        }
    }
}

/// The digest of the document that is remembered; `None` if there is none.
pub(super) fn digest(name: &str) -> Option<Digest> {
    Digest::from_bytes(&host::shared_data(&Keys::of(name).record).0)
}

/// The document that is remembered. It may have changed since [`digest`]. Empty if there is none.
pub(super) fn document(name: &str) -> Vec<u8> {
    host::shared_data(&Keys::of(name).document).0
}
