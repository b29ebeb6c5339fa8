//! The promises, one module each, in one test program: a broker and an engine are started once for all of them
#![allow(missing_docs, reason = "tests are named by what they promise")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "also the helpers of tests fail by panic")]
#![allow(clippy::print_stdout, reason = "the conformance table is printed")]

mod audit;
mod bad_input;
mod bpmn_schema;
#[path = "../conformance/mod.rs"]
mod conformance;
mod control;
mod doubles;
mod engine_outage;
mod flows;
mod growth;
mod http_intake;
mod key_order;
mod main_path;
mod new_flow;
mod null_payload;
mod one_start;
mod positions;
mod quarantine;
mod real_parts;
mod rebalance;
mod replay;
mod shared_engine;
mod support;
mod takeover;
