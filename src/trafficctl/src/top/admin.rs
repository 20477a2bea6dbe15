//! The admin interface of a proxy.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use crate::error::Error;

/// The most bytes that are read of a page.
const PAGE_BYTES: u64 = 256 << 20;

/// The address of an admin interface, as in `http://127.0.0.1:9901`.
#[derive(Clone, Debug)]
pub struct Admin(String);

impl Admin {
    /// Reads the page at `path`, which starts with `/`.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if there is no answer, or one that reports an error.
    pub fn page(&self, path: &str) -> Result<String, Error> {
        let url = format!("{self}{path}");
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().into();
        let no_answer = |error: ureq::Error| {
            Error::Unreadable(format!("no answer from {url}: is it Envoy's admin address? ({error})"))
        };
        let mut answer = agent.get(&url).call().map_err(no_answer)?;
        answer.body_mut().with_config().limit(PAGE_BYTES).read_to_string().map_err(no_answer)
    }
}

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "write HOST:PORT or http://HOST:PORT, as in 127.0.0.1:9901";
        let address = text.trim_end_matches('/');
        if let Some(rest) = address.strip_prefix("http://") {
            return if rest.is_empty() { Err(EXPECTED.to_owned()) } else { Ok(Self(address.to_owned())) };
        }
        let (host, port) = address.rsplit_once(':').ok_or(EXPECTED)?;
        let is_good = !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok();
        if is_good { Ok(Self(format!("http://{address}"))) } else { Err(EXPECTED.to_owned()) }
    }
}

impl Display for Admin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port_and_perhaps_a_scheme() {
        for (text, expected) in [
            ("127.0.0.1:9901", Some("http://127.0.0.1:9901")),
            ("proxy.local:15000/", Some("http://proxy.local:15000")),
            ("[::1]:9901", Some("http://[::1]:9901")),
            ("http://proxy/envoy", Some("http://proxy/envoy")),
            ("https://proxy:9901", None),
            ("proxy", None),
            (":9901", None),
            ("proxy:http", None),
            ("http://", None),
        ] {
            assert_eq!(text.parse::<Admin>().ok().map(|admin| admin.to_string()).as_deref(), expected, "{text}");
        }
    }
}
