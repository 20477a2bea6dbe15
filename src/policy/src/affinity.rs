//! Session affinity: the shard key of a request and its point.

use crate::cookie::KeyCookie;
use crate::matching::Tried;
use crate::names::CookieName;
use crate::placement::Salt;
use crate::request::Request;
use crate::source::Source;
use crate::witness::Witness;

/// Where an endpoint finds the shard key, and the salt that it hashes with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Affinity {
    /// The sources of the key, in the order in which they are asked.
    pub keys: Vec<Source>,
    /// The salt that is hashed with the key.
    pub salt: Salt,
    /// The cookie in which a client without a key gets one; `None` if it gets none.
    pub cookie: Option<KeyCookie>,
}

impl Affinity {
    pub(crate) fn new(keys: Vec<Source>, salt: &str, cookie: Option<KeyCookie>) -> Self {
        Self { keys, salt: Salt::new(salt), cookie }
    }

    /// The salt that is hashed with the key.
    pub fn salt(&self) -> Salt {
        self.salt
    }

    /// The name of the cookie in which a client without a key gets one.
    pub fn generated_cookie(&self) -> Option<&CookieName> {
        self.cookie.as_ref().map(KeyCookie::name)
    }

    /// The sources of the key, in the order in which they are asked, in words.
    pub fn sources(&self) -> impl Iterator<Item = String> {
        self.keys.iter().map(ToString::to_string)
    }

    /// The point of the request's shard key, the first value that is not empty; `None` without a
    /// key.
    pub(crate) fn point(&self, request: &Tried<'_, impl Request>, witness: &mut impl Witness) -> Option<u64> {
        self.keys.iter().find_map(|source| {
            let mut point = None;
            request.any(source, |value| {
                if !value.is_empty() {
                    witness.source(source, Some(value));
                    point = Some(self.salt.point(value));
                }
                point.is_some()
            });
            if point.is_none() {
                witness.source(source, None);
            }
            point
        })
    }

    /// Whether `request`, which has no key, gets one in a cookie. It does not if the cookie could not
    /// come back.
    pub(crate) fn generates(&self, request: &Tried<'_, impl Request>) -> bool {
        self.cookie.as_ref().is_some_and(|cookie| cookie.comes_back(request))
    }

    /// For a request without a key that gets one: the point of the key `id`, and the `Set-Cookie`
    /// with it.
    pub(crate) fn generate(
        &self,
        request: &Tried<'_, impl Request>,
        id: impl FnOnce() -> u128,
    ) -> Option<(u64, String)> {
        let cookie = self.cookie.as_ref().filter(|_| self.generates(request))?;
        let id = format!("{:032x}", id());
        Some((self.salt.point(id.as_bytes()), cookie.with_key(&id)))
    }

    /// The headers in which keys are found.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(Source::header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::{As, Property};

    #[test]
    fn the_sources_of_the_key_are_described_in_their_order() {
        let path = ["request", "id"].map(str::to_owned).to_vec();
        let keys = vec![
            Source::Query("uid".into()),
            Source::Header("x-user".parse().unwrap()),
            Source::Cookie("session".parse().unwrap()),
            Source::Property(Property::new(path, As::String)),
            Source::ClientIp,
        ];
        assert_eq!(
            Affinity::new(keys, "salt", None).sources().collect::<Vec<_>>(),
            ["query parameter uid", "header x-user", "cookie session", "property request/id", "client's address"]
        );
    }
}
