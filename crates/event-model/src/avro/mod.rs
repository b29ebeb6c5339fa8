//! Avro's binary encoding, straight from and to the normal form of data.
//!
//! `apache-avro` parses our schemas and computes their fingerprints, and the tests hold this codec against it. The
//! datum itself is read here for three reasons: its reader takes a datum that ends early for one with nulls in it, it
//! reserves whatever a length claims before any byte is seen, and it resolves names anew for every datum.

mod cursor;
mod read;
mod resolve;
mod write;

pub(crate) use read::{ReadError, read};
pub(crate) use write::write;

/// The first bytes of Avro's single-object encoding; eight bytes of fingerprint follow.
pub(crate) const SINGLE_OBJECT_MARKER: [u8; 2] = [0xC3, 0x01];

#[cfg(test)]
mod tests;
