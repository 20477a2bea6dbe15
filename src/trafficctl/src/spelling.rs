//! Names that are probably a misspelling of another one.

use strsim::damerau_levenshtein;

/// The fewest letters of a part in which a slip is seen. Shorter ones differ on purpose, as in
/// `model-cpu` and `model-gpu`.
const SHORTEST: usize = 4;

/// A name, split into the parts that its separators make.
#[derive(Debug)]
pub struct Spelling<'a> {
    /// The name.
    pub name: &'a str,
    /// In lower case, without separators.
    letters: String,
    parts: Vec<Part>,
}

/// A part of a name, in lower case, without digits: they number versions.
#[derive(Debug)]
struct Part {
    letters: String,
    length: usize,
    /// A bit for each letter that occurs, a to z; the other characters share some.
    set: u32,
}

impl<'a> Spelling<'a> {
    /// The spelling of `name`.
    pub fn of(name: &'a str) -> Self {
        let lower = name.to_lowercase();
        let parts = lower.split(|c: char| !c.is_alphanumeric());
        let parts = parts.map(Part::of).collect();
        Self { name, letters: lower.chars().filter(|c| c.is_alphanumeric()).collect(), parts }
    }

    /// The most similar of the names of which this one is probably a misspelling.
    pub fn nearest<'k, 's>(&self, known: impl IntoIterator<Item = &'s Spelling<'k>>) -> Option<&'k str>
    where
        'k: 's,
    {
        let near = known.into_iter().filter(|known| self.is_near(known)).map(|known| known.name);
        near.min_by_key(|known| damerau_levenshtein(self.name, known))
    }

    /// Whether one name is probably a misspelling of the other: each part that differs has a slip
    /// for each five letters at most, or only the separators differ.
    ///
    /// Names that differ in nothing but digits are two versions.
    fn is_near(&self, other: &Self) -> bool {
        if self.name == other.name {
            return false;
        }
        if self.letters == other.letters {
            return true;
        }
        let mut slips =
            self.parts.iter().zip(&other.parts).filter(|(part, other)| part.letters != other.letters).peekable();
        self.parts.len() == other.parts.len()
            && slips.peek().is_some()
            && slips.all(|(part, other)| part.is_slip(other))
    }
}

/// The most similar of the names of which `name` is probably a misspelling.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<_> = known.into_iter().map(Spelling::of).collect();
    Spelling::of(name).nearest(&known)
}

impl Part {
    fn of(part: &str) -> Self {
        let letters: String = part.chars().filter(|c| !c.is_ascii_digit()).collect();
        let set = letters.chars().fold(0, |set, c| set | 1 << (u32::from(c) % 32));
        Self { length: letters.chars().count(), set, letters }
    }

    fn is_slip(&self, other: &Self) -> bool {
        let (shorter, longer) = (self.length.min(other.length), self.length.max(other.length));
        let allowed = (longer + 2) / 5;
        // A letter in place of another changes two bits at most: most names differ in more.
        let differ_little = (self.set ^ other.set).count_ones() as usize <= 2 * allowed;
        shorter + 1 >= SHORTEST
            && longer >= SHORTEST
            && longer - shorter <= allowed
            && differ_little
            && damerau_levenshtein(&self.letters, &other.letters) <= allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_version_is_not() {
        for (name, other, expected) in [
            ("rnker-v2", "ranker-v1", true),
            ("ranker-v2", "ranker-v1", false),
            ("ranker-v12", "ranker-v1", false),
            ("canary-2", "canary", false),
            ("canary2", "canary-2", true),
            ("model_v2", "model-v2", true),
            ("Model-v2", "model-v2", true),
            ("modle", "model", true),
            ("stabel", "stable", true),
            ("model-cpu", "model-gpu", false),
            ("model-eu", "model-us", false),
            ("model-v1-eu", "model-v1", false),
            ("prd", "prod", true),
            ("v1", "v2", false),
            ("a", "b", false),
            ("blue", "green", false),
            ("outbound|8080|v1|model.prod.svc", "outbound|8080|v2|model.prod.svc", false),
            ("outbound|8080|v1|modle.prod.svc", "outbound|8080|v2|model.prod.svc", true),
            ("same", "same", false),
        ] {
            let [name_spelling, other_spelling] = [name, other].map(Spelling::of);
            assert_eq!(name_spelling.is_near(&other_spelling), expected, "{name} {other}");
            assert_eq!(other_spelling.is_near(&name_spelling), expected, "{other} {name}");
        }
    }

    #[test]
    fn the_nearest_name_is_the_most_similar_one() {
        assert_eq!(nearest("rnker-v2", ["ranker-v1", "ranker-v2", "other"]), Some("ranker-v2"));
        assert_eq!(nearest("new", ["old", "older"]), None);
    }
}
