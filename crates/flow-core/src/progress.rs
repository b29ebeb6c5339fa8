//! The progress map: how far a topic partition is finished, and how far it may have been begun, as the text that rides in
//! the committed offset's metadata.
//!
//! The broker takes UTF-8 text of up to 4,096 characters there (binary is damaged silently), so the map is base64. A map that
//! does not fit goes to the state topic, in the same transaction, and the metadata says so.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use event_model::NextOffset;

/// The broker's default limit for offset metadata, in characters (`offset.metadata.max.bytes`).
pub const METADATA_LIMIT: usize = 4096;

/// Ours, then the version: what starts otherwise was written by somebody else, or by a newer version of us.
const MAGIC: &str = "xc1:";

/// Between the map and who wrote it; not of base64's alphabet. Texts without it are of an older version.
const WRITER: char = '@';

/// What the metadata of a committed offset says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The next offset to finish: the committed offset, repeated so that a mismatch shows.
    pub frontier: NextOffset,
    /// Below it anything may have been dispatched.
    pub horizon: NextOffset,
    /// How long after its sending a request of the writer may take effect.
    pub settle: Duration,
    /// Finished runs beyond the frontier, as start and end (exclusive), ascending and apart.
    pub runs: Vec<(i64, i64)>,
}

/// What could be made of a metadata text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// There is none.
    Missing,
    /// Ours, and whole.
    Known(Progress),
    /// Ours, but the runs are in the state topic: the progress without them.
    Spilled(Progress),
    /// Somebody else's, damaged, newer, or of another offset: nothing is known, and nothing may be taken for done.
    Unknown,
}

impl Progress {
    /// The text for the metadata, and the bytes for the state topic when the runs do not fit into it. `writer` is the
    /// `transactional.id` that commits it; empty where there are no transactions.
    pub fn encode(&self, writer: &str) -> (String, Option<Vec<u8>>) {
        let whole = text(&self.bytes(true), writer);
        if whole.len() <= METADATA_LIMIT {
            return (whole, None);
        }
        (text(&self.bytes(false), writer), Some(self.bytes(true)))
    }

    /// Reads the metadata that was committed together with `committed`. Any text is safe to give.
    pub fn decode(metadata: &str, committed: NextOffset) -> Reading {
        if metadata.is_empty() {
            return Reading::Missing;
        }
        let body = metadata.strip_prefix(MAGIC).map(|body| body.split_once(WRITER).map_or(body, |(map, _)| map));
        let bytes = body.and_then(|body| STANDARD_NO_PAD.decode(body).ok());
        match bytes.and_then(|bytes| read(&bytes)) {
            Some((progress, spilled)) if progress.frontier == committed => {
                if spilled {
                    Reading::Spilled(progress)
                } else {
                    Reading::Known(progress)
                }
            }
            Some(_) | None => Reading::Unknown,
        }
    }

    /// Reads what the state topic holds for `frontier`; `None` when it is of another commit or damaged.
    pub fn decode_spilled(bytes: &[u8], frontier: NextOffset) -> Option<Progress> {
        read(bytes)
            .filter(|(progress, spilled)| !spilled && progress.frontier == frontier)
            .map(|(progress, _)| progress)
    }

    /// The `transactional.id` that committed a metadata text of ours: whoever takes over may fence it.
    pub fn writer(metadata: &str) -> Option<&str> {
        let (_, writer) = metadata.strip_prefix(MAGIC)?.split_once(WRITER)?;
        (!writer.is_empty()).then_some(writer)
    }

    fn bytes(&self, with_runs: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.runs.len() * 3);
        put(&mut out, unsigned(self.frontier.get()));
        put(&mut out, unsigned(self.horizon.get() - self.frontier.get()));
        put(&mut out, u64::try_from(self.settle.as_millis()).unwrap_or(u64::MAX));
        out.push(u8::from(!with_runs));
        if with_runs {
            let mut at = self.frontier.get();
            for (start, end) in &self.runs {
                put(&mut out, unsigned(start - at));
                put(&mut out, unsigned(end - start));
                at = *end;
            }
        }
        let sum = checksum(&out);
        out.extend_from_slice(&sum.to_be_bytes());
        out
    }
}

fn text(bytes: &[u8], writer: &str) -> String {
    let mut text = MAGIC.to_owned();
    STANDARD_NO_PAD.encode_string(bytes, &mut text);
    if !writer.is_empty() {
        text.push(WRITER);
        text.push_str(writer);
    }
    text
}

fn read(bytes: &[u8]) -> Option<(Progress, bool)> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if checksum(body).to_be_bytes() != sum {
        return None;
    }
    let mut rest = body;
    let frontier = signed(take(&mut rest)?)?;
    let horizon = frontier.checked_add(signed(take(&mut rest)?)?)?;
    let settle = Duration::from_millis(take(&mut rest)?);
    let (&flag, mut rest) = rest.split_first()?;
    if flag > 1 {
        return None;
    }
    let mut runs = Vec::new();
    let mut at = frontier;
    while !rest.is_empty() {
        let start = at.checked_add(signed(take(&mut rest)?)?)?;
        let end = start.checked_add(signed(take(&mut rest)?)?)?;
        // A run that touches the one before, or is empty, was not written by us.
        if start <= at || end <= start {
            return None;
        }
        runs.push((start, end));
        at = end;
    }
    let progress = Progress { frontier: NextOffset::new(frontier), horizon: NextOffset::new(horizon), settle, runs };
    Some((progress, flag == 1))
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn signed(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

/// LEB128.
fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// FNV-1a, folded: it tells damage, not malice.
fn checksum(bytes: &[u8]) -> u32 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn progress() -> impl Strategy<Value = Progress> {
        let runs = prop::collection::vec((1i64..5000, 1i64..5000), 0..2500);
        (0i64..1 << 50, 0i64..100_000, 0u64..1 << 40, runs).prop_map(|(frontier, ahead, settle, runs)| {
            let mut at = frontier;
            let place = |(gap, length)| {
                let start = at + gap;
                at = start + length;
                (start, at)
            };
            Progress {
                frontier: NextOffset::new(frontier),
                horizon: NextOffset::new(frontier + ahead),
                settle: Duration::from_millis(settle),
                runs: runs.into_iter().map(place).collect(),
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(progress in progress(), writer in "([a-z.0-9@-]{0,80})?") {
            let (metadata, spilled) = progress.encode(&writer);
            prop_assert!(metadata.len() <= METADATA_LIMIT);
            prop_assert_eq!(Progress::writer(&metadata).unwrap_or_default(), writer);
            match (Progress::decode(&metadata, progress.frontier), spilled) {
                (Reading::Known(read), None) => prop_assert_eq!(read, progress),
                (Reading::Spilled(read), Some(bytes)) => {
                    prop_assert_eq!((read.horizon, read.settle), (progress.horizon, progress.settle));
                    prop_assert!(read.runs.is_empty());
                    prop_assert_eq!(Progress::decode_spilled(&bytes, progress.frontier), Some(progress));
                }
                (reading, spilled) => prop_assert!(false, "{:?} with {} bytes aside", reading, spilled.map_or(0, |b| b.len())),
            }
        }

        #[test]
        fn the_map_of_another_offset_is_unknown(progress in progress(), other in 0i64..1 << 50) {
            prop_assume!(other != progress.frontier.get());
            prop_assert_eq!(Progress::decode(&progress.encode("").0, NextOffset::new(other)), Reading::Unknown);
        }

        #[test]
        fn a_damaged_map_is_unknown(progress in progress(), at: prop::sample::Index, to in "[A-Za-z0-9+/]") {
            let (metadata, _) = progress.encode("");
            let at = MAGIC.len() + at.index(metadata.len() - MAGIC.len());
            let damaged = format!("{}{}{}", &metadata[..at], to, &metadata[at + 1..]);
            let reading = Progress::decode(&damaged, progress.frontier);
            // The last character may hold bits that mean nothing.
            prop_assert!(damaged == metadata || reading == Reading::Unknown || at + 1 == metadata.len());
        }

        #[test]
        fn arbitrary_text_never_panics_and_is_never_taken_for_ours(text in ".*", committed in 0i64..100) {
            let reading = Progress::decode(&text, NextOffset::new(committed));
            prop_assert!(matches!(reading, Reading::Missing | Reading::Unknown));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Progress::decode_spilled(&bytes, NextOffset::new(0));
            let _ = read(&bytes);
        }
    }

    #[test]
    fn nothing_is_missing_and_a_strangers_word_is_unknown() {
        let at = NextOffset::new(5);
        assert_eq!(Progress::decode("", at), Reading::Missing);
        assert_eq!(Progress::decode("committed by hand", at), Reading::Unknown);
        assert_eq!(Progress::decode("xc2:AAAA", at), Reading::Unknown);
    }
}
