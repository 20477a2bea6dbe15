//! Checks: conditions in CEL, each with the words for a value that doesn't meet it.

/// A condition on a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether the value is right: a bool in CEL.
    pub holds: String,
    /// What is wrong: a string in CEL, which starts with the place inside the value. It is empty if
    /// nothing is wrong. Kubernetes takes long to compile an expression that repeats its conditions,
    /// so each stands in it once.
    pub problem: String,
}

impl Check {
    /// The check that `holds`. `words` say what is wrong otherwise: a string in CEL.
    pub fn new(holds: impl Into<String>, words: impl AsRef<str>) -> Self {
        let holds = holds.into();
        let problem = format!("{} ? '' : {}", operand(&holds), words.as_ref());
        Self { holds, problem }
    }

    /// The check that every value passes.
    pub fn nothing() -> Self {
        Self { holds: "true".to_owned(), problem: "''".to_owned() }
    }

    /// Whether every value passes.
    pub fn is_nothing(&self) -> bool {
        self.holds == "true"
    }

    /// The check that this holds, and then `next`, which is judged only if this holds.
    pub fn then(self, next: Self) -> Self {
        if self.is_nothing() || next.is_nothing() {
            return if next.is_nothing() { self } else { next };
        }
        let holds = format!("{} && {}", operand(&self.holds), operand(&next.holds));
        let condition = format!("{} ? '' : ", operand(&self.holds));
        let problem = match self.problem.strip_prefix(&condition) {
            Some(words) => format!("!{} ? {words} : {}", operand(&self.holds), next.problem),
            None => format!("[{}].map(w, w == '' ? {} : w)[0]", self.problem, operand(&next.problem)),
        };
        Self { holds, problem }
    }

    /// The check that all of `checks` hold, each judged only if those before it hold.
    pub fn all(checks: impl IntoIterator<Item = Self, IntoIter: DoubleEndedIterator>) -> Self {
        checks.into_iter().rev().fold(Self::nothing(), |all, check| check.then(all))
    }

    /// The check where `condition` holds, and no check elsewhere.
    pub fn only_if(self, condition: &str) -> Self {
        if self.is_nothing() {
            return self;
        }
        let condition = operand(condition);
        Self {
            holds: format!("!{condition} || {}", operand(&self.holds)),
            problem: format!("!{condition} ? '' : {}", self.problem),
        }
    }
}

/// An expression as an operand of any operator.
pub fn operand(expression: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    if expression.chars().all(is_word) { expression.to_owned() } else { format!("({expression})") }
}
