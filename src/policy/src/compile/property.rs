//! Envoy attributes in conditions and keys, checked and made ready.

use super::comparison;
use crate::attribute::{Attribute, attribute};
use crate::config::{AsConfig, PropertyFields};
use crate::finding::{Errors, Fault, Kind};
use crate::matching::Rule;
use crate::place::At;
use crate::property::{As, Property};
use crate::source::Source;

/// Adds the rules that these attributes compare as the fields say. The list must not be empty.
pub(super) fn add_rules(at: &At<'_>, list: &[PropertyFields], rules: &mut Vec<Rule>, errors: &mut Errors) {
    if list.is_empty() {
        errors.refuse(at, "the list is empty", "name a condition, or remove the field");
    }
    for (n, fields) in list.iter().enumerate() {
        let at = at.element(n);
        let source = property(&at, "path", &fields.path, fields.read_as, errors).map(Source::Property);
        if let Some(exact) = &fields.exact {
            errors.accept(&at.member("exact"), check_exact(exact, fields.read_as));
        }
        rules.extend(comparison::rule(&at, source, &fields.text(), errors));
    }
}

/// The attribute whose path is in the member `field` of the object at this place.
pub(super) fn property(
    at: &At<'_>,
    field: &str,
    path: &[String],
    read_as: AsConfig,
    errors: &mut Errors,
) -> Option<Property> {
    errors.accept(&at.member(field), check_path(path))?;
    let read_as = match read_as {
        AsConfig::String => As::String,
        AsConfig::Number => As::Number,
        AsConfig::Bool => As::Bool,
    };
    let (is, remedy) = match (attribute(path), read_as) {
        (Some(Attribute::Text), As::Number | As::Bool) => ("a string", "write \"as\": \"string\", or remove it"),
        (Some(Attribute::Number), As::String | As::Bool) => ("a number", "write \"as\": \"number\""),
        (Some(Attribute::Bool), As::String | As::Number) => ("a bool", "write \"as\": \"bool\""),
        (Some(Attribute::Structure), _) => ("a group of values", "name one of them: a group has no text"),
        _ => return Some(Property::new(path.to_vec(), read_as)),
    };
    let fault = Fault::new(format!("{path:?} is {is} in Envoy"), remedy);
    errors.add(&at.member(field), fault.of(Kind::Conflict));
    None
}

fn check_path(path: &[String]) -> Result<(), Fault> {
    if path.is_empty() || path.iter().any(|segment| segment.is_empty() || segment.contains('\0')) {
        let remedy =
            "list its segments, as in [\"metadata\", \"filter_metadata\", \"envoy.filters.http.jwt_authn\", …]";
        return Err(Fault::new(format!("{path:?} is not the path of a property"), remedy));
    }
    if let [dotted] = path {
        let segments: Vec<String> = dotted.split('.').map(str::to_owned).collect();
        if segments.len() > 1 && attribute(&segments).is_some() {
            return Err(Fault::new(format!("{path:?} is one segment"), format!("write {segments:?}")));
        }
    }
    Ok(())
}

/// Refuses a string that no number or bool has as its text.
fn check_exact(exact: &str, read_as: AsConfig) -> Result<(), Fault> {
    let (is_possible, what, remedy) = match read_as {
        AsConfig::String => return Ok(()),
        AsConfig::Number => (is_number(exact), "a number", "write it without needless zeros, as in \"7\" or \"0.5\""),
        AsConfig::Bool => (matches!(exact, "true" | "false"), "a bool", "write \"true\" or \"false\""),
    };
    if is_possible { Ok(()) } else { Err(Fault::new(format!("{exact:?} is not the text of {what}"), remedy)) }
}

/// Whether this may be the shortest text of a number.
fn is_number(text: &str) -> bool {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(digits)
        && (digits == "0" || !digits.starts_with('0'))
        && fraction.is_none_or(|fraction| are_digits(fraction) && !fraction.ends_with('0'))
        && text != "-0"
}
