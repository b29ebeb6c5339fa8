//! Dates and durations as the engines and gateways write them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// No server is believed that asks for a longer pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// An engine's date: `2020-05-04T16:35:10.474Z`, `…+0000`, `…+05:30`. A date without an offset is taken as UTC.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp);
    }
    if let Ok(timestamp) = strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).and_then(|time| time.to_timestamp()) {
        return Some(timestamp);
    }
    text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// ISO-8601, the only form that Flowable takes for a lock or retry duration (`5s` is answered 400).
pub(crate) fn iso_duration(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("PT{}S", duration.as_secs()),
        millis => format!("PT{}.{millis:03}S", duration.as_secs()),
    }
}

/// `Retry-After` as seconds or HTTP date. A date is compared with the server's own `Date` where it gives one, so
/// that a wrong clock on either side does not stretch the pause.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST_PAUSE));
    }
    let until = http_date(text)?;
    let sent = headers.get(DATE).and_then(|date| date.to_str().ok()).and_then(http_date);
    let pause = until.duration_since(sent.unwrap_or_else(Timestamp::now));
    Some(Duration::try_from(pause).unwrap_or(Duration::ZERO).min(LONGEST_PAUSE))
}

/// The three forms of RFC 9110, section 5.6.7.
fn http_date(text: &str) -> Option<Timestamp> {
    if let Ok(zoned) = rfc2822::parse(text) {
        return Some(zoned.timestamp());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].iter().find_map(|form| {
        let time = strtime::parse(form, text).ok()?.to_datetime().ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn every_date_form_of_the_engines_is_read() {
        let forms = [
            ("2020-05-04T16:35:10.474Z", "2020-05-04T16:35:10.474Z"),
            ("2018-04-17T10:17:43.902+0000", "2018-04-17T10:17:43.902Z"),
            ("2020-04-02T17:20:18.722+05:30", "2020-04-02T11:50:18.722Z"),
            ("2020-04-02T17:20:18.722+0530", "2020-04-02T11:50:18.722Z"),
            ("2020-04-02T17:20:18Z", "2020-04-02T17:20:18Z"),
            ("2020-04-02T17:20:18.5", "2020-04-02T17:20:18.5Z"),
        ];
        for (text, expected) in forms {
            assert_eq!(parse(text).map(|time| time.to_string()).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn durations_are_iso() {
        assert_eq!(iso_duration(Duration::from_secs(600)), "PT600S");
        assert_eq!(iso_duration(Duration::from_millis(1_050)), "PT1.050S");
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_date() {
        let pause = |value: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            retry_after(&headers)
        };
        let sent = Some("Sun, 06 Nov 1994 08:49:07 GMT");
        assert_eq!(pause("7", None), Some(Duration::from_secs(7)));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT", sent), Some(Duration::from_secs(30)));
        assert_eq!(pause("Sunday, 06-Nov-94 08:49:37 GMT", sent), Some(Duration::from_secs(30)));
        assert_eq!(pause("Sun Nov  6 08:49:37 1994", sent), Some(Duration::from_secs(30)));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:00 GMT", sent), Some(Duration::ZERO), "a moment that has passed");
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT", None), Some(Duration::ZERO), "our clock, without a Date");
        assert_eq!(pause("99999999999", None), Some(LONGEST_PAUSE));
        assert_eq!(pause("soon", None), None);
    }
}
