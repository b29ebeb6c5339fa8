//! ISO 8601 durations as BPMN and the jobs API write them.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Reads `PT8H`, `P1DT30M`; only the ISO form, and only forward in time.
pub(crate) fn parse(text: &str) -> Result<Span, String> {
    let text = text.trim();
    let span: Span = text
        .strip_prefix('P')
        .ok_or_else(|| format!("'{text}' is not an ISO 8601 duration such as PT8H"))
        .and_then(|_| text.parse().map_err(|e| format!("'{text}' is not an ISO 8601 duration such as PT8H: {e}")))?;
    if span.is_negative() {
        return Err(format!("'{text}' lies in the past"));
    }
    Ok(span)
}

/// The moment `span` after `from`; days and months are those of the UTC calendar.
pub(crate) fn after(from: Timestamp, span: &Span) -> Timestamp {
    from.to_zoned(TimeZone::UTC).checked_add(*span).map_or(Timestamp::MAX, |at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_iso_durations_are_read() {
        let from: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
        assert_eq!(after(from, &parse("PT8H").unwrap()).to_string(), "2026-01-31T08:00:00Z");
        assert_eq!(after(from, &parse("P1DT1S").unwrap()).to_string(), "2026-02-01T00:00:01Z");
        assert_eq!(after(from, &parse("PT0.5S").unwrap()).to_string(), "2026-01-31T00:00:00.5Z");
        for wrong in ["5s", "8h", "-PT5S", "", "PT"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
