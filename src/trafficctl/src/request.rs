//! A request that the command line describes.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use policy::{Property, Request};

use crate::error::Error;

/// The options that describe a request.
#[derive(clap::Args)]
#[group(skip)]
pub struct Arguments {
    /// The path, with its query string.
    #[arg(long, default_value = "/")]
    path: String,
    /// The method.
    #[arg(long, short = 'X', default_value = "GET")]
    method: String,
    /// The host.
    #[arg(long, default_value = "localhost")]
    host: String,
    /// A header, as `name: value`; may be repeated. Cookies are a header, too.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The client's IP address.
    #[arg(long, value_name = "ADDRESS")]
    source_ip: Option<IpAddr>,
    /// An Envoy attribute, as segment/segment/…=value; may be repeated. The value is a string, number
    /// or bool, as the policy reads it.
    #[arg(long = "property", value_name = "PATH=VALUE")]
    properties: Vec<String>,
}

/// The request that the options describe.
pub struct Described {
    headers: Vec<(String, String)>,
    source: Option<String>,
    properties: Vec<(Vec<String>, String)>,
}

impl Arguments {
    /// The request.
    ///
    /// # Errors
    /// [`Error::Usage`] if an option is malformed.
    pub fn request(&self) -> Result<Described, Error> {
        if !self.path.starts_with('/') && self.path != "*" {
            return Err(Error::Usage(format!("--path {:?} does not start with /", self.path)));
        }
        let pseudo = [(":method", &self.method), (":path", &self.path), (":authority", &self.host)];
        let mut headers: Vec<_> = pseudo.map(|(name, value)| (name.to_owned(), value.clone())).into();
        for header in &self.headers {
            let (name, value) = parse_header(header)?;
            if name == "host" {
                headers.retain(|(known, _)| known != ":authority");
                headers.push((":authority".to_owned(), value));
            } else {
                headers.push((name, value));
            }
        }
        let properties: Result<_, _> = self.properties.iter().map(|text| parse_property(text)).collect();
        let source = self.source_ip.map(|ip| SocketAddr::new(ip, 0).to_string());
        Ok(Described { headers, source, properties: properties? })
    }

    /// The method and the path.
    pub fn in_words(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

fn parse_header(text: &str) -> Result<(String, String), Error> {
    let Some((name, value)) = text.split_once(':') else {
        return Err(Error::Usage(format!("-H {text:?} is not \"name: value\"")));
    };
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() {
        let message = format!("-H {text:?} has no name: the path, the method and the host have their own options");
        return Err(Error::Usage(message));
    }
    Ok((name, value.trim().to_owned()))
}

fn parse_property(text: &str) -> Result<(Vec<String>, String), Error> {
    let Some((path, value)) = text.split_once('=') else {
        return Err(Error::Usage(format!("--property {text:?} is not path=value")));
    };
    Ok((path.split('/').map(str::to_owned).collect(), value.to_owned()))
}

impl Request for Described {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_bytes())
    }

    fn source_address(&self) -> Option<&[u8]> {
        self.source.as_deref().map(str::as_bytes)
    }

    /// A value has the type as which the policy reads it, if it can have it.
    fn property<'a>(&'a self, property: &Property) -> Option<Cow<'a, [u8]>> {
        let (_, value) = self.properties.iter().find(|(known, _)| known == property.path())?;
        let text = property.text(&property.bytes(value)?)?.into_owned();
        Some(Cow::Owned(text))
    }
}
