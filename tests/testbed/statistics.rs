//! Whether counts and times differ by more than chance.

use statrs::distribution::{Binomial, ChiSquared, ContinuousCDF, DiscreteCDF};

/// The chance that a check of live, randomly seeded traffic fails although all is well.
///
/// A run makes about a hundred such checks, so there is less than one false alarm in a million
/// runs.
pub const FALSE_ALARM: f64 = 1e-9;

/// The chi-squared test: the chance of counts at least this far from `shares`, which add up to 1.
///
/// If a share of 0 has a count above 0, the result is 0.
pub fn chi_squared_p(counts: &[u64], shares: &[f64]) -> f64 {
    assert_eq!(counts.len(), shares.len());
    if counts.iter().zip(shares).any(|(count, share)| *share == 0.0 && *count > 0) {
        return 0.0;
    }
    let total = counts.iter().sum::<u64>() as f64;
    let used = || counts.iter().zip(shares).filter(|(_, share)| **share > 0.0);
    let statistic: f64 = used()
        .map(|(count, share)| {
            let expected = share * total;
            (*count as f64 - expected).powi(2) / expected
        })
        .sum();
    let freedom = used().count() as f64 - 1.0;
    ChiSquared::new(freedom).map_or(1.0, |distribution| distribution.sf(statistic))
}

/// The lowest and highest count of hits in `n` independent draws with chance `p`. The count lies
/// outside with the chance `false_alarm`.
pub fn binomial_bounds(n: u64, p: f64, false_alarm: f64) -> (u64, u64) {
    if p <= 0.0 {
        return (0, 0);
    }
    if p >= 1.0 {
        return (n, n);
    }
    match Binomial::new(p, n) {
        Ok(distribution) => {
            (distribution.inverse_cdf(false_alarm / 2.0), distribution.inverse_cdf(1.0 - false_alarm / 2.0))
        }
        Err(_) => (0, n),
    }
}

/// Checks that `count` of `of` independent draws with the chance `share` is what chance would give.
///
/// # Panics
/// When it is not; `what` describes the draws.
pub fn assert_share(count: u64, of: u64, share: f64, what: &str) {
    let (low, high) = binomial_bounds(of, share, FALSE_ALARM);
    assert!((low..=high).contains(&count), "{what}: {count} of {of}; {low} to {high} expected");
}

/// The chi-squared test for independence of a table of counts: the chance of a dependence at least
/// this strong.
pub fn independence_p(table: &[Vec<u64>]) -> f64 {
    let columns = table.first().map_or(0, Vec::len);
    let column_sums: Vec<u64> =
        (0..columns).map(|column| table.iter().filter_map(|row| row.get(column)).sum()).collect();
    let total = column_sums.iter().sum::<u64>() as f64;
    let mut statistic = 0.0;
    for row in table {
        let row_sum = row.iter().sum::<u64>() as f64;
        for (count, column_sum) in row.iter().zip(&column_sums) {
            let expected = row_sum * *column_sum as f64 / total;
            statistic += (*count as f64 - expected).powi(2) / expected;
        }
    }
    let freedom = (table.len() as f64 - 1.0) * (columns as f64 - 1.0);
    ChiSquared::new(freedom).map_or(1.0, |distribution| distribution.sf(statistic))
}

/// The quantile of `values`: the part `part` of them, from 0 to 1, is below it.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a length is not negative, and a fraction is to be cut off"
    )]
    let n = (part * sorted.len() as f64) as usize;
    sorted.get(n.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// How far a quantile of `b` lies above that of `a`, and how far noise alone could raise it.
///
/// The values are pairs, measured one right after the other. The noise is twice the largest
/// difference among 2,000 random exchanges of values within pairs. That is about seven standard
/// deviations, enough to rule out false alarms.
pub fn paired_difference(a: &[f64], b: &[f64], part: f64) -> (f64, f64) {
    let observed = quantile(b, part) - quantile(a, part);
    let mut noise: f64 = 0.0;
    let mut state: u64 = 1;
    for _ in 0..2000 {
        let exchanged: (Vec<f64>, Vec<f64>) = a
            .iter()
            .zip(b)
            .map(|(a, b)| {
                // Knuth's MMIX generator; the top bit decides.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if state >> 63 == 0 { (*a, *b) } else { (*b, *a) }
            })
            .unzip();
        noise = noise.max((quantile(&exchanged.1, part) - quantile(&exchanged.0, part)).abs());
    }
    (observed, noise * 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chi_squared_test_agrees_with_the_textbook() {
        // 3.841 is the 5 % point with one degree of freedom.
        let p = chi_squared_p(&[5980, 4020], &[0.5, 0.5]);
        assert!(p < 1e-80, "{p}");
        let p = chi_squared_p(&[5098, 4902], &[0.5, 0.5]);
        assert!((p - 0.05).abs() < 0.001, "{p}");
        assert_eq!(chi_squared_p(&[9999, 1], &[1.0, 0.0]), 0.0);
    }

    #[test]
    fn binomial_bounds_agree_with_the_textbook() {
        // 1.96 standard deviations: 5000 ± 98.
        assert_eq!(binomial_bounds(10_000, 0.5, 0.05), (4902, 5098));
        assert_eq!(binomial_bounds(10, 0.0, 0.05), (0, 0));
        assert_eq!(binomial_bounds(10, 1.0, 0.05), (10, 10));
    }

    #[test]
    fn a_paired_difference_differs_from_noise() {
        let wave: Vec<f64> = (0..1000).map(|n| f64::from(n % 97)).collect();
        let other: Vec<f64> = (0..1000).map(|n| f64::from((n + 31) % 97)).collect();
        let (difference, noise) = paired_difference(&wave, &other, 0.5);
        assert!(difference.abs() <= noise, "{difference} {noise}");
        let slower: Vec<f64> = other.iter().map(|value| value + 20.0).collect();
        let (difference, noise) = paired_difference(&wave, &slower, 0.5);
        assert!(difference > noise, "{difference} {noise}");
    }

    #[test]
    fn independence_differs_from_dependence() {
        assert!(independence_p(&[vec![100, 200], vec![200, 400]]) > 0.99);
        assert!(independence_p(&[vec![300, 0], vec![0, 600]]) < 1e-100);
    }
}
