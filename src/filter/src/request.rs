//! Answers the questions of a policy about a request, and reads each value from Envoy once.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::slice;

use policy::{Property, Request};

use crate::memo::Memo;

/// Reads from a request. Each call costs a host call.
pub trait Reader {
    /// The first value of a header.
    fn header(&self, name: &str) -> Option<Vec<u8>>;

    /// All headers, in order.
    fn headers(&self) -> Vec<(String, Vec<u8>)>;

    /// The value of a property of Envoy.
    fn property(&self, path: Vec<&str>) -> Option<Vec<u8>>;
}

/// A request whose values are read once, when a policy first asks for them.
///
/// To read one header costs about half as much as to read all of them; a missing one costs a tenth.
/// So headers are read one by one unless the policy may ask for several.
pub struct ReadOnce<R> {
    reader: R,
    reads_all: bool,
    all: OnceCell<Vec<(String, Vec<u8>)>>,
    /// The first values of single headers.
    single: Memo<Option<Vec<u8>>>,
    properties: Memo<Option<Vec<u8>>>,
}

impl<R: Reader> ReadOnce<R> {
    /// A request of which a policy may ask for `headers_asked` different headers.
    pub fn new(reader: R, headers_asked: usize) -> Self {
        const SEVERAL: usize = 3;
        let (single, properties) = (Memo::default(), Memo::default());
        Self { reader, reads_all: headers_asked >= SEVERAL, all: OnceCell::new(), single, properties }
    }

    fn all(&self) -> &[(String, Vec<u8>)] {
        self.all.get_or_init(|| self.reader.headers())
    }
}

impl<R: Reader> Request for ReadOnce<R> {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        if self.reads_all || self.all.get().is_some() {
            return Values { request: self, name, first: None, rest: Some(self.all().iter()) };
        }
        let first = self.single.get_or_read(name, || self.reader.header(name)).as_deref();
        Values { request: self, name, first, rest: first.is_none().then(Default::default) }
    }

    fn source_address(&self) -> Option<&[u8]> {
        let read = || self.reader.property(vec!["source", "address"]);
        self.properties.get_or_read("source\0address", read).as_deref()
    }

    fn property<'a>(&'a self, property: &Property) -> Option<Cow<'a, [u8]>> {
        let read = || self.reader.property(property.path().iter().map(String::as_str).collect());
        // No segment contains the separator, so that each path has a name of its own.
        let bytes = self.properties.get_or_read(&property.path().join("\0"), read);
        property.text(bytes.as_deref()?)
    }
}

/// The values of a header.
struct Values<'a, R> {
    request: &'a ReadOnce<R>,
    name: &'a str,
    /// The first value, if it was read on its own.
    first: Option<&'a [u8]>,
    /// The headers that have not been searched yet; `None` until they are needed. A single read
    /// gives the first value only, so that all headers are read if someone asks for the second.
    rest: Option<slice::Iter<'a, (String, Vec<u8>)>>,
}

impl<'a, R: Reader> Iterator for Values<'a, R> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let is_wanted = |header: &&(String, Vec<u8>)| header.0 == self.name;
        let rest = self.rest.get_or_insert_with(|| {
            let mut all = self.request.all().iter();
            all.find(is_wanted);
            all
        });
        rest.find(is_wanted).map(|(_, value)| value.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use policy::As;

    use super::*;

    /// A request that records what is read from it.
    #[derive(Default)]
    struct Table {
        headers: Vec<(&'static str, &'static [u8])>,
        reads: RefCell<Vec<String>>,
    }

    impl Reader for &Table {
        fn header(&self, name: &str) -> Option<Vec<u8>> {
            self.reads.borrow_mut().push(name.to_owned());
            self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_vec())
        }

        fn headers(&self) -> Vec<(String, Vec<u8>)> {
            self.reads.borrow_mut().push("all".into());
            self.headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
        }

        fn property(&self, path: Vec<&str>) -> Option<Vec<u8>> {
            let path = path.join("/");
            self.reads.borrow_mut().push(path.clone());
            (path != "missing").then(|| path.into_bytes())
        }
    }

    fn table() -> Table {
        Table { headers: vec![("a", b"1"), ("b", b"2"), ("a", b"3")], ..Table::default() }
    }

    fn values<'a>(request: &'a impl Request, name: &'a str) -> Vec<&'a [u8]> {
        request.header(name).collect()
    }

    #[test]
    fn all_values_of_a_header_are_given_in_order_however_they_are_read() {
        for headers_asked in [1, 2, 3, 100] {
            let table = table();
            let request = ReadOnce::new(&table, headers_asked);
            for _ in 0..2 {
                assert_eq!(values(&request, "a"), [b"1", b"3"], "{headers_asked}");
                assert_eq!(values(&request, "b"), [b"2"], "{headers_asked}");
                assert_eq!(values(&request, "c"), [b""; 0], "{headers_asked}");
            }
        }
    }

    #[test]
    fn a_header_is_read_alone_and_once_if_the_policy_asks_for_few() {
        let table = table();
        let request = ReadOnce::new(&table, 2);
        for _ in 0..2 {
            assert_eq!(request.header("b").next(), Some(b"2".as_slice()));
            assert_eq!(request.header("c").next(), None);
        }
        assert_eq!(*table.reads.borrow(), ["b", "c"]);
    }

    #[test]
    fn all_headers_are_read_once_when_a_second_value_is_asked_for() {
        let table = table();
        let request = ReadOnce::new(&table, 1);
        assert_eq!(request.header("a").next(), Some(b"1".as_slice()));
        assert_eq!(values(&request, "a"), [b"1", b"3"]);
        assert_eq!(values(&request, "b"), [b"2"]);
        assert_eq!(*table.reads.borrow(), ["a", "all"]);
    }

    #[test]
    fn all_headers_are_read_at_once_if_the_policy_asks_for_several() {
        let table = table();
        let request = ReadOnce::new(&table, 3);
        assert_eq!(request.header("b").next(), Some(b"2".as_slice()));
        assert_eq!(request.header("a").next(), Some(b"1".as_slice()));
        assert_eq!(*table.reads.borrow(), ["all"]);
    }

    #[test]
    fn a_property_is_read_once_even_if_it_is_missing() {
        let table = table();
        let request = ReadOnce::new(&table, 1);
        let text = |parts: &[&str]| {
            let path = parts.iter().map(|part| (*part).to_owned()).collect();
            let text = request.property(&Property::new(path, As::String)).map(Cow::into_owned);
            text.map(|text| String::from_utf8(text).unwrap())
        };
        for _ in 0..2 {
            assert_eq!(request.source_address(), Some(b"source/address".as_slice()));
            assert_eq!(text(&["source", "address"]).as_deref(), Some("source/address"));
            assert_eq!(text(&["a", "b"]).as_deref(), Some("a/b"));
            assert_eq!(text(&["a.b"]).as_deref(), Some("a.b"));
            assert_eq!(text(&["missing"]), None);
        }
        assert_eq!(*table.reads.borrow(), ["source/address", "a/b", "a.b", "missing"]);
    }

    #[test]
    fn a_property_that_is_named_like_the_source_address_is_another_one() {
        let table = table();
        let request = ReadOnce::new(&table, 1);
        assert_eq!(request.source_address(), Some(b"source/address".as_slice()));
        let named_alike = Property::new(vec!["source.address".to_owned()], As::String);
        assert_eq!(request.property(&named_alike).as_deref(), Some(b"source.address".as_slice()));
    }
}
