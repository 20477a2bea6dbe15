//! The options of a shadow whose copies the filter sends, checked and made ready.

use std::time::Duration;

use crate::config::{HeadersConfig, ShadowFields, Whole};
use crate::decimal::decimal;
use crate::finding::{Errors, Fault, Kind};
use crate::limits::{COPY_HEADERS, MAX_BODY_BYTES, MAX_IN_FLIGHT, Range, TIMEOUT_MS};
use crate::names::HeaderName;
use crate::place::At;
use crate::shadow::{Callout, MARKER};

/// How copies are sent, and what is changed in them.
pub(super) fn callout(at: &At<'_>, fields: &ShadowFields, errors: &mut Errors) -> Option<Callout> {
    let timeout_ms = whole(&at.member("timeout_ms"), fields.timeout_ms, TIMEOUT_MS, errors);
    let max_body_bytes = whole(&at.member("max_body_bytes"), fields.max_body_bytes, MAX_BODY_BYTES, errors);
    let max_in_flight = whole(&at.member("max_in_flight"), fields.max_in_flight, MAX_IN_FLIGHT, errors);
    let max_per_second = fields.max_per_second.map(|rate| rate.0);
    if let Some(rate) = max_per_second.filter(|rate| *rate <= 0.0) {
        let problem = format!("a rate of {} is not above 0", decimal(rate));
        errors.refuse(&at.member("max_per_second"), problem, "to stop a shadow, give it a fraction of 0");
    }
    if let Some(host) = &fields.host
        && (host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte)))
    {
        let remedy = "write a name, with a port if one is needed: \"shadow.example:8080\"";
        errors.refuse(&at.member("host"), format!("{host:?} is not a host"), remedy);
    }
    if fields.mirror_header.is_some() {
        let problem = "only a shadow via \"mirror\" has this header";
        let fault = Fault::new(problem, "add \"via\": \"mirror\", or remove the field");
        errors.add(&at.member("mirror_header"), fault.of(Kind::Conflict));
    }
    let headers = fields.headers.as_ref().map(|fields| headers(&at.member("headers"), fields, errors));
    let (set_headers, remove_headers) = headers.unwrap_or_default();
    Some(Callout {
        timeout: Duration::from_millis(timeout_ms),
        max_body_bytes: usize::try_from(max_body_bytes).ok()?,
        max_in_flight: usize::try_from(max_in_flight).ok()?,
        max_per_second,
        host: fields.host.clone(),
        remove_headers,
        set_headers,
    })
}

fn whole(at: &At<'_>, value: Option<Whole>, range: Range, errors: &mut Errors) -> u64 {
    let value = value.map_or(range.default.unwrap_or_default(), |Whole(value)| value);
    if !(range.min..=range.max).contains(&value) {
        errors.refuse(at, format!("{value} is out of range"), format!("use {} to {}", range.min, range.max));
    }
    value
}

type Headers = (Vec<(HeaderName, String)>, Vec<HeaderName>);

/// The headers that are set, and those that are removed.
fn headers(at: &At<'_>, config: &HeadersConfig, errors: &mut Errors) -> Headers {
    for (field, count) in [("set", config.set.iter().count()), ("remove", config.remove.len())] {
        if count > COPY_HEADERS {
            let remedy = format!("name at most {COPY_HEADERS}");
            errors.refuse(&at.member(field), format!("there are {count} headers"), remedy);
            return Headers::default();
        }
    }
    let mut set: Vec<(HeaderName, String)> = Vec::new();
    let field = at.member("set");
    for (name, value) in config.set.iter() {
        let at = field.member(name);
        let name = errors.accept(&at, header_of_copy(name));
        if value.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) || value.trim() != value {
            let remedy = "remove control characters, and spaces at either end";
            errors.refuse(&at, format!("{value:?} is not a header value"), remedy);
        }
        let Some(name) = name else { continue };
        if set.iter().any(|(other, _)| *other == name) {
            let fault = Fault::new(format!("{name:?} is set before, in another case"), "set each header once");
            errors.add(&at, fault.of(Kind::Duplicate));
        }
        set.push((name, value.clone()));
    }
    let mut remove = Vec::new();
    let field = at.member("remove");
    for (n, name) in config.remove.iter().enumerate() {
        let at = field.element(n);
        let Some(name) = errors.accept(&at, header_of_copy(name)) else { continue };
        if set.iter().any(|(other, _)| *other == name) {
            let fault = Fault::new(format!("{name:?} is set, too"), "set a header or remove it");
            errors.add(&at, fault.of(Kind::Conflict));
        }
        remove.push(name);
    }
    (set, remove)
}

/// The name of a header of the copy.
fn header_of_copy(name: &str) -> Result<HeaderName, Fault> {
    const FRAMING: [&str; 6] = ["connection", "content-length", "te", "trailer", "transfer-encoding", "upgrade"];
    let Ok(header) = name.parse::<HeaderName>() else {
        let remedy = "use letters, digits and -; for the authority, use `host`";
        return Err(Fault::new(format!("{name:?} is not a header name"), remedy));
    };
    if header == "host" {
        return Err(Fault::new("the authority of a copy has an option of its own", "use `host`"));
    }
    if header == MARKER || FRAMING.contains(&&*header) || header.starts_with("x-envoy-") {
        let problem = format!("{name:?} on a copy is reserved for the filter or Envoy");
        return Err(Fault::new(problem, "remove it"));
    }
    Ok(header)
}
