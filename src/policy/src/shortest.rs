//! Doubles as text: the fewest digits that identify them.
//!
//! The standard library's way to write a double would take several times the code, and every proxy
//! loads the module. For the same reason the arithmetic is never inlined.

/// The number in plain decimal notation, with the fewest digits that no other double is nearer to:
/// `7`, `-0.5`, `100000000000000000000`. 0 and -0 are `0`; `None` for infinities and NaN.
#[inline(never)]
pub(crate) fn shortest(number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    if number == 0.0 {
        return Some("0".to_owned());
    }
    let sign = if number < 0.0 { "-" } else { "" };
    // All whole numbers up to here are doubles, so that all of their digits count.
    if number.abs() < TWO_TO_53 && number.trunc() == number {
        #[expect(clippy::cast_possible_truncation, reason = "it is a whole number below 2^53")]
        return Some(format!("{}", number as i64));
    }
    let (digits, point) = digits(number.abs());
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let length = i32::try_from(digits.len()).unwrap_or_default();
    Some(match usize::try_from(point).ok().and_then(|point| digits.split_at_checked(point)) {
        Some(("", fraction)) => format!("{sign}0.{fraction}"),
        Some((whole, "")) => format!("{sign}{whole}"),
        Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
        None if point < 0 => format!("{sign}0.{}{digits}", zeros(-point)),
        None => format!("{sign}{digits}{}", zeros(point - length)),
    })
}

const TWO_TO_53: f64 = 9_007_199_254_740_992.0;

/// The digits of a number above 0, and the place of the point among them: 0 is before the first.
///
/// The algorithm of Steele and White in its form by Burger and Dybvig ("Printing Floating-Point
/// Numbers Quickly and Accurately", 1996): `value / scale` is the number, and every number within
/// `below` and `above` of it is read as the same double.
fn digits(number: f64) -> (String, i32) {
    const FRACTION: u32 = 52;
    let bits = number.to_bits();
    let fraction = bits & ((1 << FRACTION) - 1);
    let exponent = i32::try_from(bits >> FRACTION).unwrap_or_default();
    // The number is mantissa * 2^exponent.
    let (mantissa, exponent) =
        if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << FRACTION, exponent - 1075) };
    let is_even = mantissa % 2 == 0;
    // The next double below a power of two is half as far away.
    let is_lopsided = fraction == 0 && exponent > -1074;
    let shift = 1 + u32::from(is_lopsided);
    let (up, down) = (exponent.max(0).unsigned_abs(), exponent.min(0).unsigned_abs());
    let mut value = Big::from(mantissa).times_two_to(up + shift);
    let mut scale = Big::from(1).times_two_to(down + shift);
    let mut below = Big::from(1).times_two_to(up);
    let mut above = below.times_two_to(shift - 1);
    // Rather too large than too small; the loop corrects it.
    #[expect(clippy::cast_possible_truncation, reason = "it is between -323 and 310")]
    let mut point = libm::ceil(libm::log10(number)) as i32 + 1;
    scale.multiply_by_ten_to(point.max(0));
    for number in [&mut value, &mut below, &mut above] {
        number.multiply_by_ten_to(-point.min(0));
    }
    let is_over = |value: &Big, above: &Big, scale: &Big| {
        let sum = value.plus(above).cmp(scale);
        sum.is_gt() || is_even && sum.is_eq()
    };
    while !is_over(&value.times(10), &above.times(10), &scale) {
        (value, below, above) = (value.times(10), below.times(10), above.times(10));
        point -= 1;
    }
    let mut digits = String::new();
    loop {
        (value, below, above) = (value.times(10), below.times(10), above.times(10));
        let mut digit = b'0';
        while value.cmp(&scale).is_ge() {
            value = value.minus(&scale);
            digit += 1;
        }
        let ends_below = value.cmp(&below).is_lt() || is_even && value.cmp(&below).is_eq();
        let ends_above = is_over(&value, &above, &scale);
        if ends_above && (!ends_below || value.times(2).cmp(&scale).is_ge()) {
            digit += 1;
        }
        digits.push(char::from(digit));
        if ends_below || ends_above {
            return (digits, point);
        }
    }
}

/// A whole number of up to 1184 bits, in words, the lowest first. The largest that is needed has
/// fewer than 1100: the smallest double is 2^-1074, and no step goes far above its scale.
#[derive(Clone, Copy)]
struct Big([u32; 37]);

impl Big {
    fn from(number: u64) -> Self {
        let mut words = [0; 37];
        for (n, word) in words.iter_mut().take(2).enumerate() {
            *word = low_word(number >> (32 * n));
        }
        Self(words)
    }

    #[inline(never)]
    fn times(mut self, factor: u32) -> Self {
        let mut carry = 0;
        for word in &mut self.0 {
            carry += u64::from(*word) * u64::from(factor);
            *word = low_word(carry);
            carry >>= 32;
        }
        self
    }

    fn times_two_to(mut self, exponent: u32) -> Self {
        for _ in 0..exponent / 31 {
            self = self.times(1 << 31);
        }
        self.times(1 << (exponent % 31))
    }

    #[inline(never)]
    fn multiply_by_ten_to(&mut self, exponent: i32) {
        for _ in 0..exponent / 9 {
            *self = self.times(1_000_000_000);
        }
        for _ in 0..exponent % 9 {
            *self = self.times(10);
        }
    }

    #[inline(never)]
    fn plus(mut self, other: &Self) -> Self {
        let mut carry = 0;
        for (word, other) in self.0.iter_mut().zip(other.0) {
            carry += u64::from(*word) + u64::from(other);
            *word = low_word(carry);
            carry >>= 32;
        }
        self
    }

    /// `other` is not larger.
    #[inline(never)]
    fn minus(mut self, other: &Self) -> Self {
        let mut borrows = false;
        for (word, other) in self.0.iter_mut().zip(other.0) {
            let (less, borrowed) = word.overflowing_sub(other);
            let (less, borrowed_again) = less.overflowing_sub(u32::from(borrows));
            *word = less;
            borrows = borrowed || borrowed_again;
        }
        self
    }

    #[inline(never)]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the higher bits are not wanted")]
fn low_word(number: u64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::mix;

    #[test]
    fn a_number_is_written_as_the_standard_library_writes_it() {
        let powers = (-1074..=1023).flat_map(|n| {
            let power = 2f64.powi(n);
            [power, power.next_up(), power.next_down()]
        });
        let decimals = (-323..=308).map(|n| format!("1e{n}").parse().unwrap());
        let random = (0..20_000).map(|n| f64::from_bits(mix(n)));
        let short = (0..5_000).map(|n| ((mix(n) >> 44) as f64) / 1000.0);
        let ends =
            [f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1), 0.1 + 0.2, 0.5, -0.5, 7.0, 123_456_789_012_345_680.0];
        for number in powers.chain(decimals).chain(random).chain(short).chain(ends).filter(|number| number.is_finite())
        {
            for number in [number, -number] {
                let expected = if number == 0.0 { "0".to_owned() } else { number.to_string() };
                assert_eq!(shortest(number), Some(expected), "{number:e}");
            }
        }
    }

    #[test]
    fn what_is_no_number_has_no_digits() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(shortest(number), None);
        }
        assert_eq!(shortest(-0.0).as_deref(), Some("0"));
    }
}
