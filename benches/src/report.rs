//! How results are printed: floor, ours, ratio, target.

use std::str::FromStr;

/// A number from the environment, or the default. Sizes for trying out; the default is what counts.
///
/// # Errors
/// If it is set to something else.
pub fn setting<T: FromStr>(name: &str, default: T) -> anyhow::Result<T> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| anyhow::anyhow!("{name} must be a number, not {text:?}")),
        Err(_) => Ok(default),
    }
}

/// The middle one; 0 of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// A ratio against its target, as one line.
pub fn verdict(what: &str, floor: f64, ours: f64, target: f64) -> String {
    let ratio = ours / floor;
    let word = if ratio >= target { "met" } else { "MISSED" };
    format!(
        "{what}: floor {floor:.0}/s, ours {ours:.0}/s, ratio {:.1} %, target {:.0} %: {word}",
        ratio * 100.0,
        target * 100.0
    )
}

/// A figure against a bound that it must stay under, as one line.
pub fn bound(what: &str, value: f64, most: f64, unit: &str) -> String {
    let word = if value < most { "met" } else { "MISSED" };
    format!("{what}: {value:.2} {unit}, target < {most} {unit}: {word}")
}
