//! Instants and dates that JSON may write as text.

use jiff::Timestamp;
use jiff::civil::Date;

/// The unit in which an instant is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// RFC 3339 text as a count since 1970-01-01 UTC. Finer fractions than the unit are cut off; `None` is text of
/// another form, or an instant that the count cannot hold.
pub(super) fn instant(text: &str, unit: Unit) -> Option<i64> {
    let instant: Timestamp = text.parse().ok()?;
    match unit {
        Unit::Milliseconds => Some(instant.as_millisecond()),
        Unit::Microseconds => Some(instant.as_microsecond()),
        Unit::Nanoseconds => i64::try_from(instant.as_nanosecond()).ok(),
    }
}

/// `2026-11-24` as days since 1970-01-01.
pub(super) fn days(text: &str) -> Option<i64> {
    // The form is checked first, because the parser would also take a date with a time behind it.
    if text.len() != 10 {
        return None;
    }
    let date: Date = text.parse().ok()?;
    let since = date.since((jiff::Unit::Day, Date::constant(1970, 1, 1))).ok()?;
    Some(i64::from(since.get_days()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_counted_in_their_unit() {
        let text = "2026-11-24T10:00:00.123456789+01:00";
        assert_eq!(instant(text, Unit::Milliseconds), Some(1_795_510_800_123));
        assert_eq!(instant(text, Unit::Microseconds), Some(1_795_510_800_123_456));
        assert_eq!(instant(text, Unit::Nanoseconds), Some(1_795_510_800_123_456_789));
        assert_eq!(instant("yesterday", Unit::Milliseconds), None);
        assert_eq!(instant("9999-01-01T00:00:00Z", Unit::Nanoseconds), None);
    }

    #[test]
    fn dates_are_counted_in_days() {
        assert_eq!(days("1970-01-02"), Some(1));
        assert_eq!(days("1969-12-31"), Some(-1));
        assert_eq!(days("2026-11-24"), Some(20_781));
        assert_eq!(days("2026-11-24T00:00"), None);
        assert_eq!(days("24.11.2026"), None);
    }
}
