//! The promises, one module each, in one test program: a broker and an engine are started once for all of them
#![allow(missing_docs, reason = "tests are named by what they promise")]

mod real_parts;
