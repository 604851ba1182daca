//! A series of measurements in few numbers.

/// What a series shows. Without a value all are not-a-number, which is shown as a dash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) min: f64,
    pub(crate) p10: f64,
    pub(crate) median: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// Of any values, in any order.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            count: sorted.len(),
            min: quantile(&sorted, 0.0),
            p10: quantile(&sorted, 0.1),
            median: quantile(&sorted, 0.5),
            p90: quantile(&sorted, 0.9),
            p99: quantile(&sorted, 0.99),
            max: quantile(&sorted, 1.0),
        }
    }
}

/// The median of the ratios of each round's values.
pub(crate) fn ratio(ones: &[f64], others: &[f64]) -> f64 {
    let ratios: Vec<_> = ones.iter().zip(others).map(|(one, other)| one / other).collect();
    Summary::of(&ratios).median
}

/// Of values in order: between two neighbours, by where it lies between them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the place in a series is small and not negative"
)]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len().saturating_sub(1)) as f64;
    let (below, between) = (place.floor() as usize, place.fract());
    match (sorted.get(below), sorted.get(below + 1)) {
        (Some(low), Some(high)) => low + (high - low) * between,
        (Some(last), None) => *last,
        (None, _) => f64::NAN,
    }
}

/// Three digits, as many as a measurement is good for; thousands set apart.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        size if size.is_nan() => "-".to_owned(),
        f64::INFINITY => "∞".to_owned(),
        0.0 => "0".to_owned(),
        size if size < 0.095 => format!("{value:.4}"),
        size if size < 0.95 => format!("{value:.3}"),
        size if size < 9.95 => format!("{value:.2}"),
        size if size < 99.5 => format!("{value:.1}"),
        _ => thousands(&format!("{value:.0}")),
    }
}

fn thousands(whole: &str) -> String {
    let digits = whole.len();
    let mut text = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = digits - place;
        if place > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Nanoseconds as another unit.
#[expect(clippy::cast_precision_loss, reason = "a measurement has no 50 bits that mean anything")]
pub(crate) fn in_units(ns: u64, unit: f64) -> f64 {
    ns as f64 / unit
}

/// Nanoseconds in a microsecond.
pub(crate) const MICRO: f64 = 1e3;
/// Nanoseconds in a millisecond.
pub(crate) const MILLI: f64 = 1e6;

/// A count, to reckon with.
#[expect(clippy::cast_precision_loss, reason = "no count here comes near 50 bits")]
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_series_in_any_order() {
        let summary = Summary::of(&[5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!((summary.min, summary.median, summary.max), (1.0, 3.0, 5.0));
        assert_eq!((summary.p10, summary.p90), (1.4, 4.6));
        assert_eq!(summary.count, 5);
    }

    #[test]
    fn of_nothing_nothing_is_known() {
        assert!(Summary::of(&[]).median.is_nan());
    }

    #[rstest]
    #[case(0.0, "0")]
    #[case(0.01234, "0.0123")]
    #[case(0.1234, "0.123")]
    #[case(1.234, "1.23")]
    #[case(12.34, "12.3")]
    #[case(123.4, "123")]
    #[case(1234.5, "1,234")]
    #[case(1_234_567.0, "1,234,567")]
    #[case(-1234.0, "-1,234")]
    #[case(f64::NAN, "-")]
    fn a_number_has_the_digits_it_deserves(#[case] value: f64, #[case] text: &str) {
        assert_eq!(digits(value), text);
    }
}
