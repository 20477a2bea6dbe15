//! A request that answers from a table.

use std::collections::BTreeMap;

use policy::Request;

/// A request with these headers (pseudo-headers among them), address and properties.
#[derive(Default)]
pub struct TableRequest {
    pub headers: Vec<(String, Vec<u8>)>,
    pub source: Option<String>,
    pub properties: BTreeMap<Vec<String>, String>,
}

impl TableRequest {
    /// A request without properties.
    #[allow(dead_code, reason = "not every test makes one from text")]
    pub fn new(headers: &[(&str, &str)], source: Option<&str>) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Self { headers, source: source.map(str::to_owned), properties: BTreeMap::new() }
    }
}

impl Request for TableRequest {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    fn source_address(&self) -> Option<&[u8]> {
        self.source.as_deref().map(str::as_bytes)
    }

    fn property(&self, path: &[String]) -> Option<&[u8]> {
        self.properties.get(path).map(String::as_bytes)
    }
}
