//! What a decision may ask of a request.

/// A request, asked for a value only when the policy needs it.
///
/// In a proxy each answer is a call to the host, dearer than everything that the policy computes: the core asks for
/// nothing that the policy doesn't name, and an implementation answers a repeated question from memory. All values
/// are the client's bytes, of any content.
pub trait Request {
    /// The values of the header `name` (lower case), in order; also of the pseudo-headers `:path` (with the query
    /// string), `:method` and `:authority`. Read no further than needed: the second value may cost more than the first.
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;

    /// The address from which the request came, with a port: `192.0.2.1:50000` or `[2001:db8::1]:50000`.
    fn source_address(&self) -> Option<&[u8]>;

    /// An attribute of the proxy's, such as a claim that an earlier filter put into the metadata.
    fn property(&self, path: &[String]) -> Option<&[u8]>;

    /// The target with its query string, or `None` for CONNECT.
    fn path(&self) -> Option<&[u8]> {
        self.header(":path").next()
    }

    /// The method.
    fn method(&self) -> Option<&[u8]> {
        self.header(":method").next()
    }
}
