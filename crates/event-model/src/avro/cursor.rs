//! Bytes of a datum, read without trust.

use crate::schema::Fault;

/// A datum that has been read up to a position.
pub(super) struct Cursor<'a> {
    datum: &'a [u8],
    position: usize,
    items_left: usize,
}

/// Items without any byte of their own (nulls, empty records) that a datum may hold beside one per byte.
const FREE_ITEMS: usize = 4_096;

impl<'a> Cursor<'a> {
    pub(super) fn new(datum: &'a [u8]) -> Self {
        Self { datum, position: 0, items_left: datum.len().saturating_add(FREE_ITEMS) }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn remaining(&self) -> usize {
        self.datum.len().saturating_sub(self.position)
    }

    /// Counts items of arrays and maps. Every item but the free ones has a byte, so a datum that claims more lies
    /// about a length, and memory stays in proportion to what was really sent.
    pub(super) fn count_item(&mut self) -> Result<(), Fault> {
        self.items_left =
            self.items_left.checked_sub(1).ok_or_else(|| Fault::new("more items than the datum has room for"))?;
        Ok(())
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let rest = self.datum.get(self.position..).unwrap_or_default();
        let taken = rest
            .get(..length)
            .ok_or_else(|| Fault::new(format!("needs {length} bytes, but only {} are left", rest.len())))?;
        self.position += length;
        Ok(taken)
    }

    /// Exactly `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A zigzag variable-length number.
    pub(super) fn long(&mut self) -> Result<i64, Fault> {
        let mut encoded: u64 = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array::<1>()?;
            let bits = u64::from(byte & 0x7F);
            // The tenth byte holds the one bit that is left.
            if shift == 63 && bits > 1 {
                break;
            }
            encoded |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((encoded >> 1).cast_signed() ^ -(encoded & 1).cast_signed());
            }
        }
        Err(Fault::new("a number is longer than 64 bits"))
    }

    pub(super) fn int(&mut self) -> Result<i32, Fault> {
        i32::try_from(self.long()?).map_err(|_| Fault::new("an int is longer than 32 bits"))
    }

    /// Bytes behind their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(self.long()?).map_err(|_| Fault::new("a length is negative or too large"))?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Fault::new("a string is not UTF-8"))
    }

    /// The number of items in the next block of an array or map; 0 ends it.
    pub(super) fn block(&mut self) -> Result<usize, Fault> {
        let count = self.long()?;
        if count < 0 {
            // A negative count is followed by the block's size, which only helps those who skip it.
            self.long()?;
        }
        usize::try_from(count.unsigned_abs()).map_err(|_| Fault::new("a block's item count is too large"))
    }
}
