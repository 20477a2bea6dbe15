//! The questions that a decision may ask of a request.

use std::borrow::Cow;

use crate::property::Property;

/// A request, asked for a value only when the policy needs it.
///
/// In a proxy each answer is a host call, which costs more than all of the policy's arithmetic. So
/// the core asks for nothing that the policy doesn't name, and an implementation answers a repeated
/// question from memory. All values are the client's bytes, with any content.
pub trait Request {
    /// The values of the header `name` (in lower case), in order. The pseudo-headers are `:path`
    /// (with the query string), `:method` and `:authority`. Read no further than needed: the second
    /// value may cost more than the first.
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;

    /// The client's address with its port: `192.0.2.1:50000` or `[2001:db8::1]:50000`.
    fn source_address(&self) -> Option<&[u8]>;

    /// The text of an Envoy attribute, such as a claim that an earlier filter has put into the
    /// metadata: what [`Property::text`] makes of its bytes.
    fn property<'a>(&'a self, property: &Property) -> Option<Cow<'a, [u8]>>;

    /// The target with its query string, or `None` for CONNECT.
    fn path(&self) -> Option<&[u8]> {
        self.header(":path").next()
    }

    /// The target without its query string; `None` if it is no path, as for CONNECT and
    /// `OPTIONS *`.
    fn path_only(&self) -> Option<&[u8]> {
        self.path().filter(|target| *target != b"*").map(without_query)
    }

    /// The method.
    fn method(&self) -> Option<&[u8]> {
        self.header(":method").next()
    }
}

/// `target` up to its query string, or up to a fragment, which it should not have.
fn without_query(target: &[u8]) -> &[u8] {
    let end = target.iter().position(|byte| matches!(byte, b'?' | b'#'));
    end.and_then(|end| target.get(..end)).unwrap_or(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_before_the_query_string() {
        for (target, path) in
            [("/a", "/a"), ("/a?b=/c", "/a"), ("/a#b?c", "/a"), ("/a?b#c", "/a"), ("?", ""), ("", ""), ("*", "*")]
        {
            assert_eq!(without_query(target.as_bytes()), path.as_bytes(), "{target}");
        }
    }
}
