//! The demonstration holds the flows and schemas of this repository: a file that is new there makes a new binary.

fn main() {
    println!("cargo::rerun-if-changed=../../flows");
    println!("cargo::rerun-if-changed=../../schemas");
}
