//! Remembers values by name.

use std::cell::OnceCell;

/// Values by name, each of which is read once. It only grows, so that it can hand out references.
///
/// It is a list, since a request needs few values.
pub struct Memo<V>(OnceCell<Box<Entry<V>>>);

struct Entry<V> {
    name: String,
    value: V,
    next: Memo<V>,
}

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}

impl<V> Drop for Memo<V> {
    /// Drops the entries one after the other. Each would drop the next one inside its own drop, and
    /// some thousands of them overflow the stack.
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut entry) = next {
            next = entry.next.0.take();
        }
    }
}

impl<V> Memo<V> {
    /// The value of this name, which `read` returns if it was never asked for.
    pub fn get_or_read(&self, name: &str, read: impl FnOnce() -> V) -> &V {
        let mut memo = self;
        while let Some(entry) = memo.0.get() {
            if entry.name == name {
                return &entry.value;
            }
            memo = &entry.next;
        }
        let new = || Box::new(Entry { name: name.to_owned(), value: read(), next: Self::default() });
        &memo.0.get_or_init(new).value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_values_are_dropped_without_recursion() {
        let memo = Memo::default();
        let mut last = &memo;
        for n in 0..1_000_000 {
            let new = || Box::new(Entry { name: String::new(), value: n, next: Memo::default() });
            last = &last.0.get_or_init(new).next;
        }
        drop(memo);
    }

    #[test]
    fn each_value_is_read_once_and_stays_where_it_is() {
        let memo = Memo::default();
        let first = memo.get_or_read("a", || 1);
        for (name, value) in [("b", 2), ("c", 3)] {
            assert_eq!(*memo.get_or_read(name, || value), value);
        }
        assert!(std::ptr::eq(first, memo.get_or_read("a", || panic!("it was read"))));
        assert_eq!(*memo.get_or_read("c", || panic!("it was read")), 3);
    }
}
