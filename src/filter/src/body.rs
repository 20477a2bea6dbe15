//! A request body that is gathered for copies.

use crate::memory::{Held, Memory, is_available};

/// A client may send single bytes. Chunks below this size are joined, since each allocation has a
/// cost.
const SMALL: usize = 1 << 14;

/// A request body, in the chunks in which it came.
#[derive(Debug)]
pub struct Body {
    chunks: Vec<Vec<u8>>,
    held: Held,
}

impl Body {
    /// An empty body, whose bytes will count in `memory`.
    pub fn new(memory: &Memory) -> Self {
        Self { chunks: Vec::new(), held: memory.hold_none() }
    }

    /// The size of the body with `more` bytes.
    pub fn size_with(&self, more: usize) -> usize {
        self.held.bytes().saturating_add(more)
    }

    /// Makes room for a chunk of `size` bytes, which [`Body::push`] adds; `false` if the worker
    /// must not or cannot hold them.
    pub fn hold(&mut self, size: usize) -> bool {
        is_available(size.max(2 * SMALL)) && self.held.grow(size)
    }

    /// Adds a chunk for which there is room.
    pub fn push(&mut self, mut chunk: Vec<u8>) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < SMALL && chunk.len() < SMALL => last.append(&mut chunk),
            _ => self.chunks.push(chunk),
        }
    }

    /// Puts the bytes into one piece, and returns how many were moved; `None` if there is no memory
    /// for it.
    pub fn join(&mut self) -> Option<usize> {
        if self.chunks.len() <= 1 {
            return Some(0);
        }
        let mut joined = Vec::new();
        joined.try_reserve_exact(self.chunks.iter().map(Vec::len).sum()).ok()?;
        for chunk in &self.chunks {
            joined.extend_from_slice(chunk);
        }
        let moved = joined.len();
        self.chunks = vec![joined];
        Some(moved)
    }

    /// The bytes, once they are in one piece.
    pub fn bytes(&self) -> &[u8] {
        self.chunks.first().map_or(&[], Vec::as_slice)
    }

    /// The room that the bytes take.
    pub fn held(&mut self) -> &mut Held {
        &mut self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MAX_HELD_BYTES;

    /// A body of chunks of these sizes, each of which has its own digit.
    fn body(sizes: &[usize]) -> (Body, Vec<u8>) {
        let mut body = Body::new(&Memory::default());
        let mut all = Vec::new();
        for (size, digit) in sizes.iter().zip((b'0'..=b'9').cycle()) {
            let chunk = vec![digit; *size];
            all.extend_from_slice(&chunk);
            assert!(body.hold(*size));
            body.push(chunk);
        }
        (body, all)
    }

    #[test]
    fn a_body_is_its_chunks_in_order() {
        for sizes in [&[][..], &[5], &[1, 2, 3], &[20_000, 1, 20_000, 16_384, 1], &[1, 16_384]] {
            let (mut body, all) = body(sizes);
            body.join().unwrap();
            assert_eq!((body.held().bytes(), body.bytes()), (all.len(), &*all), "{sizes:?}");
            assert_eq!(body.join(), Some(0));
        }
    }

    #[test]
    fn small_chunks_are_joined() {
        assert_eq!(body(&[1; 1_000]).0.chunks.len(), 1);
        assert_eq!(body(&[20_000, 1, 1, 20_000]).0.chunks.len(), 3);
    }

    #[test]
    fn joining_reports_how_many_bytes_it_moved() {
        assert_eq!(body(&[20_000, 20_000]).0.join(), Some(40_000));
        assert_eq!(body(&[20_000]).0.join(), Some(0));
        assert_eq!(body(&[]).0.join(), Some(0));
    }

    #[test]
    fn a_body_has_no_room_past_the_limit_of_the_worker() {
        let memory = Memory::default();
        let (mut one, mut other) = (Body::new(&memory), Body::new(&memory));
        assert!(one.hold(MAX_HELD_BYTES));
        assert_eq!((one.size_with(1), other.size_with(1)), (MAX_HELD_BYTES + 1, 1));
        assert!(!other.hold(1));
        drop(one);
        assert!(other.hold(1));
    }
}
