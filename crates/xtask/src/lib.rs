//! Repository checks, run by `cargo test -p xtask`: rules that a reader may rely on, as tests that say what to do instead

pub mod crate_table;
pub mod tidy;

use std::path::Path;

/// The root of this repository
pub fn repository() -> &'static Path {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).unwrap_or(Path::new(env!("CARGO_MANIFEST_DIR")))
}
