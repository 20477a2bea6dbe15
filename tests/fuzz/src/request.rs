//! Requests made from the bytes of a fuzzer.

use std::borrow::Cow;

use arbitrary::{Arbitrary, Unstructured};
use policy::{Property, Request};

/// A request with any content.
#[derive(Debug)]
pub struct AnyRequest {
    /// The headers, pseudo-headers among them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The client's address, or anything in its place.
    pub source: Option<Vec<u8>>,
    /// The bytes of every property.
    pub property: Option<Vec<u8>>,
}

/// The headers that policies of the checks ask for, so that a few bytes can name them.
pub const NAMES: [&str; 12] = [
    ":path",
    ":method",
    ":authority",
    "cookie",
    "x-a",
    "x-b",
    "x-user",
    "x-traffic-shadow",
    "upgrade",
    "content-type",
    "te",
    "x-traffic-cluster",
];

/// Values that match something, or nearly do.
pub const VALUES: [&str; 12] =
    ["/", "/a", "/a/b", "/ab", "GET", "a.example.com:80", "a=1; b=2", "a", "1", "websocket", "application/grpc", "v1"];

impl<'a> Arbitrary<'a> for AnyRequest {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut headers = Vec::new();
        for _ in 0..bytes.int_in_range(0..=12)? {
            let name = (*bytes.choose(&NAMES)?).to_owned();
            headers.push((name, value(bytes)?));
        }
        let source = if bytes.arbitrary()? { Some(source(bytes)?) } else { None };
        let property = if bytes.arbitrary()? { Some(value(bytes)?) } else { None };
        Ok(Self { headers, source, property })
    }
}

/// Any bytes, or one of the values.
fn value(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    Ok(if bytes.arbitrary()? { bytes.choose(&VALUES)?.as_bytes().to_vec() } else { bytes.arbitrary()? })
}

fn source(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let known = ["10.0.0.1:80", "192.0.2.1:1", "[2001:db8::1]:9", "[::ffff:10.0.0.1]:80", "nowhere"];
    Ok(if bytes.arbitrary()? { bytes.choose(&known)?.as_bytes().to_vec() } else { bytes.arbitrary()? })
}

impl Request for AnyRequest {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    fn source_address(&self) -> Option<&[u8]> {
        self.source.as_deref()
    }

    fn property<'a>(&'a self, property: &Property) -> Option<Cow<'a, [u8]>> {
        property.text(self.property.as_deref()?)
    }
}
