//! Values by name.

/// Values by name, sorted. For the sizes of a policy it serves like a `BTreeMap`, in a fifth of the
/// code: each type of value has its own copy of that, and every proxy loads the module.
#[derive(Debug)]
pub(crate) struct Named<V>(Vec<(String, V)>);

impl<V> Named<V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        let at = self.position(name).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Puts a value under a name that has none.
    pub(crate) fn insert(&mut self, name: String, value: V) {
        if let Err(at) = self.position(&name) {
            self.0.insert(at, (name, value));
        }
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }
}

impl<V> Default for Named<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
