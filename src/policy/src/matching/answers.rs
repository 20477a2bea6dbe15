//! The distinct conditions of a policy, and their answers for one request.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use fnv::FnvHashMap;

use super::text::Text;
use crate::limits::PATTERN_BYTES;
use crate::request::Request;
use crate::source::{Source, cookies, parameters};

/// The distinct conditions of a policy that has many, and the sources of their values.
///
/// With it, a request's cookies and its query string are read once for all conditions, a value is
/// looked up among the strings that it is compared with instead of being compared with each, and
/// each condition is answered once, in however many cohorts it stands.
#[derive(Debug, Default, PartialEq)]
pub struct Conditions {
    sources: Vec<Asked>,
    /// The numbers of sources, by the name of the cookie or parameter.
    cookies: FnvHashMap<Vec<u8>, usize>,
    parameters: FnvHashMap<Vec<u8>, usize>,
    count: usize,
}

/// Where a condition stands among those of its policy. This is no part of what the condition says:
/// all numbers are equal, so that equal conditions of two policies are equal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Number {
    pub(crate) source: usize,
    pub(crate) condition: usize,
}

impl PartialEq for Number {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A source, and the strings with which its values are compared as a whole.
#[derive(Debug, PartialEq)]
struct Asked {
    source: Source,
    exact: FnvHashMap<Arc<[u8]>, usize>,
}

impl Conditions {
    /// Adds a source that is new, and returns its number.
    pub(crate) fn add_source(&mut self, source: &Source) -> usize {
        let number = self.sources.len();
        match source {
            Source::Cookie(name) => drop(self.cookies.insert(name.as_bytes().to_vec(), number)),
            Source::Query(name) => drop(self.parameters.insert(name.as_bytes().to_vec(), number)),
            Source::Header(_) | Source::ClientIp | Source::Property(_) => {}
        }
        self.sources.push(Asked { source: source.clone(), exact: FnvHashMap::default() });
        number
    }

    /// Adds a condition that is new, and returns its number.
    pub(crate) fn add(&mut self, source: usize, text: &Text) -> usize {
        let condition = self.count;
        self.count += 1;
        if let (Some(_), Some(asked)) = (text.as_exact(), self.sources.get_mut(source)) {
            asked.exact.insert(Arc::from(Arc::clone(text.pattern())), condition);
        }
        condition
    }
}

/// What is known about one request.
pub(crate) struct Answers<'request> {
    conditions: &'request Conditions,
    values: RefCell<Values<'request>>,
    /// By the number of the condition.
    answers: Vec<Cell<Option<bool>>>,
}

/// The values of each source that has been read.
struct Values<'request> {
    by_source: Vec<Option<Vec<Cow<'request, [u8]>>>>,
    cookies_are_read: bool,
    parameters_are_read: bool,
}

impl<'request> Answers<'request> {
    /// Knows nothing yet.
    pub(crate) fn new(conditions: &'request Conditions) -> Self {
        let by_source = vec![None; conditions.sources.len()];
        let values = Values { by_source, cookies_are_read: false, parameters_are_read: false };
        Self { conditions, values: RefCell::new(values), answers: vec![Cell::new(None); conditions.count] }
    }

    /// Whether the condition of this number, which is that a value is as `text`, holds.
    pub(crate) fn holds(&self, number: Number, text: &Text, request: &'request impl Request) -> bool {
        let Some(answer) = self.answers.get(number.condition) else { return false };
        if let Some(known) = answer.get() {
            return known;
        }
        self.read(number.source, request);
        // Reading has answered the exact comparisons with the values that are there.
        let holds = answer.get().unwrap_or_else(|| {
            let mut comparison = text.comparison();
            text.as_exact().is_none() && self.any(number.source, |value| comparison.matches(value))
        });
        answer.set(Some(holds));
        holds
    }

    /// The number of a cookie or parameter.
    pub(crate) fn searched(&self, source: &Source) -> Option<usize> {
        match source {
            Source::Cookie(name) => self.conditions.cookies.get(name.as_bytes()).copied(),
            Source::Query(name) => self.conditions.parameters.get(name.as_bytes()).copied(),
            Source::Header(_) | Source::ClientIp | Source::Property(_) => None,
        }
    }

    /// Whether `test` holds for one of the values of the source of this number, asked in order.
    pub(crate) fn any_of(
        &self,
        source: usize,
        request: &'request impl Request,
        test: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        self.read(source, request);
        self.any(source, test)
    }

    fn any(&self, source: usize, mut test: impl FnMut(&[u8]) -> bool) -> bool {
        let values = self.values.borrow();
        values.by_source.get(source).into_iter().flatten().flatten().any(|value| test(value))
    }

    /// Reads the values of a source, unless they have been read.
    fn read(&self, number: usize, request: &'request impl Request) {
        let values = &mut *self.values.borrow_mut();
        let conditions = self.conditions;
        match conditions.sources.get(number).map(|asked| &asked.source) {
            None => {}
            Some(Source::Cookie(_)) if values.cookies_are_read => {}
            Some(Source::Cookie(_)) => {
                values.cookies_are_read = true;
                for (name, value) in request.header("cookie").flat_map(cookies) {
                    self.add(values, conditions.cookies.get(name), Cow::Borrowed(value));
                }
            }
            Some(Source::Query(_)) if values.parameters_are_read => {}
            Some(Source::Query(_)) => {
                values.parameters_are_read = true;
                for (name, value) in request.path().into_iter().flat_map(parameters) {
                    self.add(values, conditions.parameters.get(name), Cow::Borrowed(value));
                }
            }
            Some(source) => {
                if let Some(slot @ None) = values.by_source.get_mut(number) {
                    *slot = Some(Vec::new());
                    source.each(request, |value| self.add(values, Some(&number), value));
                }
            }
        }
    }

    fn add(&self, values: &mut Values<'request>, source: Option<&usize>, value: Cow<'request, [u8]>) {
        let Some((asked, slot)) =
            source.and_then(|source| Some((self.conditions.sources.get(*source)?, values.by_source.get_mut(*source)?)))
        else {
            return;
        };
        if value.len() <= PATTERN_BYTES
            && let Some(answer) = asked.exact.get(&*value).and_then(|condition| self.answers.get(*condition))
        {
            answer.set(Some(true));
        }
        slot.get_or_insert_default().push(value);
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;

    #[test]
    fn equal_conditions_of_two_policies_are_equal() {
        let policy = |first: &str| {
            let cohort = |n: usize, name: &str| {
                format!(
                    r#"{{"name": "c{n}", "match": {{"headers": [{{"name": "{name}", "present": true}}]}}, "traffic": {{"a": 1}}}}"#
                )
            };
            let cohorts = [cohort(0, first)].into_iter().chain((1..50).map(|n| cohort(n, &format!("x-{}", n % 40))));
            let cohorts = cohorts.collect::<Vec<_>>().join(",");
            let endpoint = format!(r#"{{"name": "e", "traffic": {{"a": 1}}, "cohorts": [{cohorts}]}}"#);
            Policy::from_json(format!(r#"{{"endpoints": [{endpoint}]}}"#).as_bytes()).unwrap().policy
        };
        let [one, other] = [policy("x-1"), policy("x-new")];
        assert!(one.conditions.is_some() && other.conditions.is_some());
        let [one, other] = [&one, &other].map(|policy| &policy.endpoints[0].cohorts);
        assert_ne!(one[0], other[0]);
        assert!(one[1..].iter().zip(&other[1..]).all(|(one, other)| one.matching == other.matching));
    }
}
