//! A request whose answers are in a table.

use std::borrow::Cow;
use std::collections::BTreeMap;

use policy::{Property, Request};

/// A request with these headers, address and properties.
#[derive(Clone, Debug, Default)]
pub struct TableRequest {
    /// In order, names in lower case, pseudo-headers among them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The client's address with its port.
    pub source: Option<String>,
    /// The bytes that Envoy hands over for each property, by its path.
    pub properties: BTreeMap<Vec<String>, Vec<u8>>,
}

impl TableRequest {
    /// A request as HTTP carries it, without address and properties. `headers` may have names in
    /// any case; `host` becomes `:authority`.
    pub fn of_http(method: &str, path: Option<Vec<u8>>, headers: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let lower_case = |(name, value): (String, Vec<u8>)| {
            let name = name.to_ascii_lowercase();
            (if name == "host" { ":authority".to_owned() } else { name }, value)
        };
        let mut headers: Vec<_> = headers.into_iter().map(lower_case).collect();
        headers.push((":method".to_owned(), method.as_bytes().to_vec()));
        headers.extend(path.map(|path| (":path".to_owned(), path)));
        Self { headers, ..Self::default() }
    }
}

impl Request for TableRequest {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    fn source_address(&self) -> Option<&[u8]> {
        self.source.as_deref().map(str::as_bytes)
    }

    fn property<'a>(&'a self, property: &Property) -> Option<Cow<'a, [u8]>> {
        property.text(self.properties.get(property.path())?)
    }
}
