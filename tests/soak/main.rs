//! Long loads that look at one promise each, on real Kafka and the emulated engine.
//!
//! `./dev soak held` lets one record hang while its partition goes on, then kills the process. `./dev soak reset` sets the offsets
//! of processed events back to the beginning. Both end with what was counted; the exit code is 0 only when nothing was repeated.

#![allow(clippy::print_stdout, reason = "a command for a terminal")]

mod held;
mod replies;
mod reset;
mod stage;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Loads on real Kafka and the emulated engine, each with an account at its end.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    soak: Soak,
}

#[derive(Debug, Subcommand)]
enum Soak {
    /// One record hangs while others of its partition come; then kill -9, and another process takes over
    Held {
        /// How long it hangs
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=14))]
        minutes: u64,
        /// Tickets that are published in a second, over all partitions
        #[arg(long, default_value_t = 1_000)]
        rate: u32,
    },
    /// The offsets of processed events are set back to the beginning
    Reset {
        /// How many were processed
        #[arg(long, default_value_t = 100_000)]
        tickets: usize,
    },
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let soaked: Result<Vec<String>> = match Args::parse().soak {
        Soak::Held { minutes, rate } => held::soak(minutes, rate).await,
        Soak::Reset { tickets } => reset::soak(tickets).await,
    };
    match soaked {
        Ok(violations) if violations.is_empty() => ExitCode::SUCCESS,
        Ok(violations) => {
            violations.iter().for_each(|violation| println!("VIOLATION {violation}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("the soak could not be held: {error:#}");
            ExitCode::from(2)
        }
    }
}
