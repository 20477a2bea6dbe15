//! Literals and common expressions of CEL.

/// A string literal.
pub fn string(text: &str) -> String {
    let mut literal = String::from("'");
    for c in text.chars() {
        match c {
            '\\' => literal.push_str("\\\\"),
            '\'' => literal.push_str("\\'"),
            '\n' => literal.push_str("\\n"),
            c => literal.push(c),
        }
    }
    literal.push('\'');
    literal
}

/// A list of string literals.
pub fn strings<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    let texts: Vec<_> = texts.into_iter().map(|text| string(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// Whether the string `value` is one of `texts`.
pub fn is_one_of<S: AsRef<str>>(value: &str, texts: &[S]) -> String {
    match texts {
        [only] => format!("{value} == {}", string(only.as_ref())),
        _ => format!("{value} in {}", strings(texts)),
    }
}

/// A member of an object.
pub fn member(object: &str, name: &str) -> String {
    format!("{object}[{}]", string(name))
}

/// Whether an object has a member.
pub fn has(object: &str, name: &str) -> String {
    format!("{} in {object}", string(name))
}

/// A number. JSON's `1` and `1.0` have different types in CEL, so that all are compared as doubles.
pub fn double(number: f64) -> String {
    format!("{number:?}")
}

/// `body`, in which `name` stands for the value of `expression`.
pub fn bind(name: &str, expression: &str, body: &str) -> String {
    format!("[{expression}].map({name}, {body})[0]")
}

/// The place of the member whose name is the value of `key`.
pub fn place_of_member(key: &str) -> String {
    format!("({key}.matches('^[A-Za-z0-9_-]+$') ? '.' + {key} : '[' + strings.quote({key}) + ']')")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_stands_for_its_string() {
        assert_eq!(string(r"^\d'$"), r"'^\\d\'$'");
        assert_eq!(strings(["a", "b"]), "['a', 'b']");
    }
}
