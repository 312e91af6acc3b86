//! Durations as people write them, in options, variables, and files.

use std::time::Duration;

/// `500ms`, `30s`, `5m`, `2h`, `1d`; a bare number is seconds.
///
/// # Errors
/// Anything else.
pub fn parse(text: &str) -> Result<Duration, String> {
    let refusal = || format!("{text:?} is not a duration: write it as 500ms, 30s, 5m, 2h, or 1d");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(refusal()),
    };
    let number: f64 = number.parse().map_err(|_| refusal())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| refusal())
}

/// A duration as [`parse`] reads it, in its largest unit that loses nothing down to milliseconds.
pub fn text(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(size, _)| ms > 0 && ms.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", ms / size),
        None if ms == 0 && !duration.is_zero() => format!("{duration:?}"),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for written in ["0ms", "250ms", "1s", "90s", "10m", "36h", "1d"] {
            assert_eq!(text(parse(written).unwrap()), written);
        }
    }
}
