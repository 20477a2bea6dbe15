//! Counts the bytes that a worker holds for copies.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;

/// The most bytes of request bodies that a worker holds for copies, whatever policies they come
/// from.
///
/// They are the bodies that are coming in, those that wait for the end of their request, and those
/// that Envoy is sending, once for each copy. The bytes that are being passed to Envoy exist twice
/// for a moment, but count once.
pub const MAX_HELD_BYTES: usize = 1 << 26;

/// The sum of the bytes that are held.
#[derive(Debug, Default)]
pub struct Memory(Rc<Cell<usize>>);

/// Bytes that count against [`MAX_HELD_BYTES`] until this is dropped.
#[derive(Debug)]
pub struct Held {
    bytes: usize,
    sum: Rc<Cell<usize>>,
}

impl Memory {
    /// Holds no bytes yet.
    pub fn hold_none(&self) -> Held {
        Held { bytes: 0, sum: Rc::clone(&self.0) }
    }
}

impl Held {
    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds `size` more bytes; `false` if the worker must not, and then nothing changes.
    pub fn grow(&mut self, size: usize) -> bool {
        let sum = self.sum.get().saturating_add(size);
        let is_allowed = sum <= MAX_HELD_BYTES;
        if is_allowed {
            self.sum.set(sum);
            self.bytes += size;
        }
        is_allowed
    }

    /// Holds the same number of bytes again; `None` if the worker must not.
    pub fn again(&self) -> Option<Self> {
        let mut held = Self { bytes: 0, sum: Rc::clone(&self.sum) };
        held.grow(self.bytes).then_some(held)
    }

    /// Hands over all that this holds.
    pub fn take(&mut self) -> Self {
        Self { bytes: std::mem::take(&mut self.bytes), sum: Rc::clone(&self.sum) }
    }
}

/// Whether `bytes` bytes can be allocated in one piece. Where a size comes from outside, ask before
/// the allocation: if that fails, the VM ends.
pub fn is_available(bytes: usize) -> bool {
    let mut probe = Vec::<u8>::new();
    // Otherwise the compiler removes the allocation and assumes that it would have succeeded.
    black_box(&mut probe).try_reserve_exact(bytes).is_ok()
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sum.set(self.sum.get().saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_up_to_the_limit_and_released_by_a_drop() {
        let memory = Memory::default();
        let (mut one, mut other) = (memory.hold_none(), memory.hold_none());
        assert!(one.grow(MAX_HELD_BYTES - 1));
        assert!(!other.grow(2));
        assert!(other.grow(1));
        assert_eq!((one.bytes(), other.bytes(), memory.0.get()), (MAX_HELD_BYTES - 1, 1, MAX_HELD_BYTES));
        assert!(!other.grow(1) && !other.grow(usize::MAX));
        drop(one);
        assert_eq!(memory.0.get(), 1);
        assert!(other.grow(MAX_HELD_BYTES - 1));
        drop(other);
        assert_eq!(memory.0.get(), 0);
    }

    #[test]
    fn no_more_bytes_are_available_than_there_can_be() {
        assert!(is_available(0) && is_available(1 << 20));
        assert!(!is_available(usize::MAX) && !is_available(usize::MAX / 4));
    }

    #[test]
    fn bytes_that_are_handed_over_count_once() {
        let memory = Memory::default();
        let mut body = memory.hold_none();
        assert!(body.grow(5));
        let taken = body.take();
        assert_eq!((body.bytes(), taken.bytes(), memory.0.get()), (0, 5, 5));
        drop(body);
        assert_eq!(memory.0.get(), 5);
        drop(taken);
        assert_eq!(memory.0.get(), 0);
    }

    #[test]
    fn each_copy_holds_its_own_bytes() {
        let memory = Memory::default();
        let mut body = memory.hold_none();
        assert!(body.grow(MAX_HELD_BYTES / 2));
        let copy = body.again().unwrap();
        assert_eq!(memory.0.get(), MAX_HELD_BYTES);
        assert!(body.again().is_none());
        drop(body);
        assert_eq!((copy.bytes(), memory.0.get()), (MAX_HELD_BYTES / 2, MAX_HELD_BYTES / 2));
    }
}
