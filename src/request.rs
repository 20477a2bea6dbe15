//! What a decision may ask of a request.

use std::borrow::Cow;

/// A request, asked for a value only when the policy needs it.
///
/// In a proxy each answer is a call to the host, dearer than everything that the policy computes: the core asks for
/// nothing that the policy doesn't name, and an implementation answers a repeated question from memory. All values
/// are the client's bytes, of any content.
pub trait Request {
    /// The target with its query string (`:path`), or `None` for CONNECT.
    fn path(&self) -> Option<Cow<'_, [u8]>>;

    /// The method, or `None` if the proxy has none.
    fn method(&self) -> Option<Cow<'_, [u8]>>;

    /// The first value of the header `name` (lower case), or `None` if the request doesn't bear it.
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>>;
}
