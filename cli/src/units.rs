//! Times and durations, as people write and read them.

use chrono::{DateTime, Local, TimeDelta, Utc};
pub use pgtasker_core::duration::parse as parse_duration;

/// A moment: RFC 3339, or a duration from now.
///
/// # Errors
/// Anything else.
pub fn parse_moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.to_utc());
    }
    parse_duration(text.trim_start_matches('+'))
        .ok()
        .and_then(|delay| Utc::now().checked_add_signed(TimeDelta::from_std(delay).ok()?))
        .ok_or_else(|| {
            format!(
                "{text:?} is neither a time such as 2026-01-31T09:00:00Z nor a delay such as 10m"
            )
        })
}

/// A moment that has passed: RFC 3339, or how long ago.
///
/// # Errors
/// Anything else.
pub fn parse_past(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.to_utc());
    }
    parse_duration(text)
        .ok()
        .and_then(|age| Utc::now().checked_sub_signed(TimeDelta::from_std(age).ok()?))
        .ok_or_else(|| {
            format!("{text:?} is neither a time such as 2026-01-31T09:00:00Z nor an age such as 2h")
        })
}

/// Milliseconds in the largest units that tell enough: `<1 ms`, `12 ms`, `1.24 s`, `3 min 5 s`, `2
/// d 4 h`.
pub fn milliseconds(ms: f64) -> String {
    let seconds = (ms / 1000.0).round() as i64;
    match ms {
        ms if ms < 0.5 => "<1 ms".to_owned(),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 59_995.0 => format!("{:.2} s", ms / 1000.0),
        _ if seconds < 3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A number of things: `1 task`, `1,200 tasks`.
pub fn counted(number: i64, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {thing}{ending}", grouped(number))
}

/// How long ago, or until when, in one unit: `12 s ago`, `in 5 min`.
pub fn relative(moment: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - moment).num_seconds();
    let size = seconds.abs();
    let text = match size {
        0..60 => format!("{size} s"),
        60..3_600 => format!("{} min", size / 60),
        3_600..86_400 => format!("{} h", size / 3_600),
        _ => format!("{} d", size / 86_400),
    };
    if seconds < 0 { format!("in {text}") } else { format!("{text} ago") }
}

/// A number in groups of three: `1,234,567`.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Date and time of day in the zone of this machine.
pub fn local(moment: DateTime<Utc>) -> String {
    moment.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The time of day with milliseconds, in the zone of this machine.
pub fn clock(moment: DateTime<Utc>) -> String {
    moment.with_timezone(&Local).format("%H:%M:%S%.3f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        for bad in ["", "s", "5y", "-1s", "1..2s", "99999999999999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_absolute_or_from_now() {
        let fixed = parse_moment("2026-01-31T09:00:00+01:00").unwrap();
        assert_eq!(fixed.to_rfc3339(), "2026-01-31T08:00:00+00:00");
        let soon = parse_moment("+10m").unwrap() - Utc::now();
        assert!((595..=600).contains(&soon.num_seconds()));
        assert!(parse_moment("tomorrow").is_err());
        let past = parse_past("2h").unwrap();
        assert!((7_200..7_260).contains(&(Utc::now() - past).num_seconds()));
        assert!(parse_past("yesterday").is_err());
    }

    #[test]
    fn large_numbers_are_grouped() {
        let texts = [0, 999, 1_000, 99_999, 1_234_567, -1_000].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "99,999", "1,234,567", "-1,000"]);
    }

    #[test]
    fn lengths_are_short() {
        let texts =
            [0.42, 9.96, 340.2, 999.6, 1_240.0, 59_999.0, 185_000.0, 7_500_000.0, 187_200_000.0]
                .map(milliseconds);
        assert_eq!(
            texts,
            [
                "<1 ms",
                "10 ms",
                "340 ms",
                "1.00 s",
                "1.24 s",
                "1 min 0 s",
                "3 min 5 s",
                "2 h 5 min",
                "2 d 4 h"
            ]
        );
        let now = Utc::now();
        assert_eq!(relative(now - TimeDelta::seconds(61), now), "1 min ago");
        assert_eq!(relative(now + TimeDelta::hours(3), now), "in 3 h");
    }
}
