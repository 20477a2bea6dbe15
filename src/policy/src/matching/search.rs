//! Searches values for a string, in linear time whatever they contain.

use crate::limits::PATTERN_BYTES;

/// A search for one pattern. Its table is made when a value needs it, and is kept for the next one.
#[derive(Default)]
pub(super) struct Search(Option<Box<Table>>);

enum Table {
    /// For each byte of a value the places of a short pattern at which it may stand, as bits.
    Places([u64; 256]),
    /// For each start of a long pattern the length of the longest shorter start that it ends with.
    Borders([u16; PATTERN_BYTES]),
}

/// How many places of a value are compared before a table is made.
const TRIES: usize = 8;

/// The longest pattern that has a bit for each of its bytes.
const SHORT: usize = 64;

impl Search {
    pub(super) fn is_short(pattern: &[u8]) -> bool {
        pattern.len() <= SHORT
    }

    /// Whether `value` contains `pattern`, which is not empty, and whose bytes `is_equal` compares.
    /// Reads each byte of the value a few times, and needs no copy of it.
    pub(super) fn contains(&mut self, value: &[u8], pattern: &[u8], is_equal: impl Fn(&u8, &u8) -> bool) -> bool {
        let (Some(first), Some(last_start)) = (pattern.first(), value.len().checked_sub(pattern.len())) else {
            return pattern.is_empty();
        };
        let mut start = 0;
        for _ in 0..TRIES {
            let mut starts = value.get(start..=last_start).unwrap_or_default().iter();
            let Some(next) = starts.position(|byte| is_equal(byte, first)) else { return false };
            let rest = value.get(start + next..).unwrap_or_default();
            if rest.iter().zip(pattern).all(|(byte, expected)| is_equal(byte, expected)) {
                return true;
            }
            start += next + 1;
        }
        let value = value.get(start..).unwrap_or_default();
        match &**self.0.get_or_insert_with(|| Box::new(Table::new(pattern, &is_equal))) {
            Table::Places(places) => is_in(value, pattern, places),
            Table::Borders(borders) => {
                let mut matched = 0;
                value.iter().any(|byte| {
                    matched = extend(matched, byte, pattern, borders, &is_equal);
                    matched == pattern.len()
                })
            }
        }
    }
}

impl Table {
    fn new(pattern: &[u8], is_equal: &impl Fn(&u8, &u8) -> bool) -> Self {
        if Search::is_short(pattern) {
            let mut places = [0; 256];
            for (n, byte) in pattern.iter().enumerate() {
                // Besides itself, a byte may equal its other case.
                for same in [*byte, byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] {
                    if let (true, Some(places)) = (is_equal(&same, byte), places.get_mut(usize::from(same))) {
                        *places |= 1_u64 << n;
                    }
                }
            }
            return Self::Places(places);
        }
        let mut borders = [0; PATTERN_BYTES];
        let mut border = 0;
        for (n, byte) in pattern.iter().enumerate().skip(1) {
            border = extend(border, byte, pattern, &borders, is_equal);
            if let (Some(slot), Ok(border)) = (borders.get_mut(n), u16::try_from(border)) {
                *slot = border;
            }
        }
        Self::Borders(borders)
    }
}

/// The algorithm of Baeza-Yates and Gonnet: a bit for each start of the pattern that ends here.
fn is_in(value: &[u8], pattern: &[u8], places: &[u64; 256]) -> bool {
    let Some(last) = pattern.len().checked_sub(1) else { return true };
    let found = 1_u64 << last;
    let mut starts = 0_u64;
    value.iter().any(|byte| {
        starts = (starts << 1 | 1) & places.get(usize::from(*byte)).copied().unwrap_or_default();
        starts & found != 0
    })
}

/// The algorithm of Knuth, Morris and Pratt: the length of the longest start of the pattern that
/// ends with `byte`, after one of `matched` bytes.
fn extend(
    mut matched: usize,
    byte: &u8,
    pattern: &[u8],
    borders: &[u16; PATTERN_BYTES],
    is_equal: &impl Fn(&u8, &u8) -> bool,
) -> usize {
    loop {
        if pattern.get(matched).is_some_and(|next| is_equal(byte, next)) {
            return matched + 1;
        }
        match matched.checked_sub(1).and_then(|last| borders.get(last)) {
            Some(border) => matched = usize::from(*border),
            None => return 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All strings of up to `length` of two letters.
    fn strings(length: usize) -> Vec<Vec<u8>> {
        (0..=length)
            .flat_map(|n| (0..1 << n).map(move |bits| (0..n).map(|at| b"ab"[bits >> at & 1]).collect()))
            .collect()
    }

    #[test]
    fn a_search_finds_what_comparing_at_each_place_finds() {
        // Once short, and once so long that the other algorithm searches.
        for pad in [0, SHORT] {
            for pattern in strings(4).into_iter().filter(|pattern| !pattern.is_empty()) {
                let pattern = [vec![b'a'; pad], pattern].concat();
                let mut searches = [Search::default(), Search::default()];
                for value in strings(10) {
                    let value = [vec![b'a'; pad], value].concat();
                    let expected = value.windows(pattern.len()).any(|part| part == pattern);
                    let upper = value.to_ascii_uppercase();
                    let [minding, ignoring] = &mut searches;
                    assert_eq!(minding.contains(&value, &pattern, u8::eq), expected, "{pattern:?} in {value:?}");
                    let found = ignoring.contains(&upper, &pattern, u8::eq_ignore_ascii_case);
                    assert_eq!(found, expected, "{pattern:?} in {upper:?}");
                    assert!(!minding.contains(&upper, &pattern, u8::eq), "{pattern:?} in {upper:?}");
                }
            }
        }
    }
}
