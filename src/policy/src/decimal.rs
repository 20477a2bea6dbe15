//! Numbers for people.

/// A number in decimal: exact to nine places; one that is too large or too small for that, by its
/// magnitude.
///
/// The standard library's way to write a double has four times the code of this crate's arithmetic.
#[expect(clippy::cast_possible_truncation, reason = "both casts are of numbers below 2^63")]
pub(crate) fn decimal(number: f64) -> String {
    let sign = if number < 0.0 { "-" } else { "" };
    let size = number.abs();
    if size != 0.0 && !(1e-9..1e9).contains(&size) {
        return format!("about {sign}1e{}", libm::log10(size).round() as i64);
    }
    let billionths = (size * 1e9).round() as i64;
    let (whole, fraction) = (billionths / 1_000_000_000, format!("{:09}", billionths % 1_000_000_000));
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for (number, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-5.0, "-5"),
            (0.95, "0.95"),
            (1.00002, "1.00002"),
            (0.1 + 0.2, "0.3"),
            (3_600_001.0, "3600001"),
            (-0.000_000_001, "-0.000000001"),
            (1e300, "about 1e300"),
            (-1e-12, "about -1e-12"),
        ] {
            assert_eq!(decimal(number), expected);
        }
    }
}
