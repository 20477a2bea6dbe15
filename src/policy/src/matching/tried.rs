//! A request while a policy is tried on it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;

use super::answers::{Answers, Conditions, Number};
use super::host::without_port;
use super::text::Text;
use crate::property::Property;
use crate::request::Request;
use crate::source::{Source, source_ip};

/// A request of which each part is read and taken apart once, however many endpoints look at it.
pub(crate) struct Tried<'request, R> {
    request: &'request R,
    path_only: OnceCell<Option<&'request [u8]>>,
    host: OnceCell<Option<&'request [u8]>>,
    source_ip: OnceCell<Option<IpAddr>>,
    answers: Option<Answers<'request>>,
}

impl<'request, R: Request> Tried<'request, R> {
    /// A request on which a policy is tried that has these conditions, if it has many.
    pub(crate) fn new(request: &'request R, conditions: Option<&'request Conditions>) -> Self {
        let (path_only, host, source_ip) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { request, path_only, host, source_ip, answers: conditions.map(Answers::new) }
    }

    /// The host without its port.
    pub(crate) fn host(&self) -> Option<&[u8]> {
        *self.host.get_or_init(|| self.request.header(":authority").next().map(without_port))
    }

    /// The client's address.
    pub(crate) fn source_ip(&self) -> Option<IpAddr> {
        *self.source_ip.get_or_init(|| source_ip(self.request))
    }

    /// Whether a value of `source` is as `text`. `number` is that of the condition, if the policy's
    /// are numbered. Kept out of line, as [`Text::matches`] is.
    #[inline(never)]
    pub(crate) fn holds(&self, source: &Source, text: &Text, number: Number) -> bool {
        match &self.answers {
            Some(answers) => answers.holds(number, text, self.request),
            None => {
                let mut comparison = text.comparison();
                source.any(self.request, |value| comparison.matches(value))
            }
        }
    }

    /// Whether `test` holds for one of the values of `source`, asked in order.
    pub(crate) fn any(&self, source: &Source, test: impl FnMut(&[u8]) -> bool) -> bool {
        match self.answers.as_ref().and_then(|answers| Some((answers, answers.searched(source)?))) {
            Some((answers, number)) => answers.any_of(number, self.request, test),
            None => source.any(self.request, test),
        }
    }
}

impl<R: Request> Request for Tried<'_, R> {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.request.header(name)
    }

    fn source_address(&self) -> Option<&[u8]> {
        self.request.source_address()
    }

    fn property<'a>(&'a self, property: &Property) -> Option<Cow<'a, [u8]>> {
        self.request.property(property)
    }

    fn path(&self) -> Option<&[u8]> {
        self.request.path()
    }

    fn path_only(&self) -> Option<&[u8]> {
        *self.path_only.get_or_init(|| self.request.path_only())
    }

    fn method(&self) -> Option<&[u8]> {
        self.request.method()
    }
}
