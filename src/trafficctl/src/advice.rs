//! A finding with a guess at what was meant.

use policy::{Finding, Kind};

/// A finding, and a guess at what was meant.
pub struct Advice {
    /// The finding.
    pub finding: Finding,
    /// The guess, as a question.
    pub help: Option<String>,
}

impl From<Finding> for Advice {
    /// A finding about an unknown name gets the most similar known name as help.
    fn from(finding: Finding) -> Self {
        let help = match &finding.kind {
            Kind::Unknown { name, known } => did_you_mean(name, known.iter().map(String::as_str)),
            _ => None,
        };
        Self { finding, help }
    }
}

/// Asks whether the most similar of the known names was meant; `None` if none of them is similar.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let distance = |known: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    let (nearest, distance) = known
        .filter(|known| *known != name)
        .map(|known| (known, distance(known)))
        .min_by_key(|(_, distance)| *distance)?;
    // One wrong letter for each five, rounded; a name of three letters may have one.
    let is_near = distance <= (name.chars().count() + 2) / 5;
    (is_near && distance < nearest.chars().count()).then(|| format!("did you mean {nearest:?}?"))
}

/// The message about a name that is none of `known`, with the most similar of them.
pub fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let there_is = if known.is_empty() { "there is none".to_owned() } else { format!("there is {}", known.join(", ")) };
    format!("unknown {kind} {name:?}: {}", did_you_mean(name, known.iter().copied()).unwrap_or(there_is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_similar_name_is_offered() {
        let known = ["traffic", "shadow", "cohorts", "name"];
        for (name, expected) in [
            ("trafic", Some("did you mean \"traffic\"?")),
            ("shadows", Some("did you mean \"shadow\"?")),
            ("Traffic", Some("did you mean \"traffic\"?")),
            ("cohrots", Some("did you mean \"cohorts\"?")),
            ("weight", None),
            ("x", None),
        ] {
            assert_eq!(did_you_mean(name, known.into_iter()).as_deref(), expected, "{name}");
        }
    }
}
