//! A request as it is told on the command line.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use policy::Request;

/// What is told of a request.
#[derive(clap::Args)]
#[group(skip)]
pub struct Arguments {
    /// The target, with its query string.
    #[arg(long, default_value = "/")]
    path: String,
    /// The method.
    #[arg(long, short = 'X', default_value = "GET")]
    method: String,
    /// The authority.
    #[arg(long, default_value = "localhost")]
    host: String,
    /// A header, as `name: value`; repeat it for several. Cookies are a header, too.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS")]
    source_ip: Option<IpAddr>,
    /// An Envoy attribute, as segment/segment/…=value; repeat it for several.
    #[arg(long = "property", value_name = "PATH=VALUE")]
    properties: Vec<String>,
}

/// A request that answers from what was told.
pub struct Told {
    headers: Vec<(String, String)>,
    source: Option<String>,
    properties: Vec<(Vec<String>, String)>,
}

impl Arguments {
    /// The request.
    pub fn request(&self) -> anyhow::Result<Told> {
        ensure!(self.path.starts_with('/') || self.path == "*", "--path {:?} does not start with /", self.path);
        let pseudo = [(":method", &self.method), (":path", &self.path), (":authority", &self.host)];
        let mut headers: Vec<_> = pseudo.map(|(name, value)| (name.to_owned(), value.clone())).into();
        for header in &self.headers {
            let (name, value) =
                header.split_once(':').with_context(|| format!("-H {header:?} is not \"name: value\""))?;
            let name = name.trim().to_ascii_lowercase();
            ensure!(
                !name.is_empty(),
                "-H {header:?} has no name: for the path, the method and the host there are options"
            );
            if name == "host" {
                headers.retain(|(known, _)| known != ":authority");
                headers.push((":authority".to_owned(), value.trim().to_owned()));
            } else {
                headers.push((name, value.trim().to_owned()));
            }
        }
        let property = |text: &String| {
            let (path, value) =
                text.split_once('=').with_context(|| format!("--property {text:?} is not path=value"))?;
            Ok((path.split('/').map(str::to_owned).collect(), value.to_owned()))
        };
        let properties = self.properties.iter().map(property).collect::<anyhow::Result<_>>()?;
        Ok(Told { headers, source: self.source_ip.map(|ip| SocketAddr::new(ip, 0).to_string()), properties })
    }

    /// Method and path, for people.
    pub fn in_words(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl Request for Told {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_bytes())
    }

    fn source_address(&self) -> Option<&[u8]> {
        self.source.as_deref().map(str::as_bytes)
    }

    fn property(&self, path: &[String]) -> Option<&[u8]> {
        self.properties.iter().find(|(known, _)| known == path).map(|(_, value)| value.as_bytes())
    }
}
