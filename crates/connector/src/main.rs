//! `xconnector`: joins business systems to a workflow service through Kafka.

mod cli;
#[cfg(feature = "demo")]
mod demo;
mod handler;
mod logging;
mod models;
mod monitoring;
mod run;
mod setup;
mod topics;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, ModelsCommand, TopicsCommand};

/// Records are born on one thread and die on another, thousands a second, which glibc's allocator answers with a quarter of the
/// time and three times the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit codes: 0 done, 1 failed while running, 2 the arguments are wrong (clap), 78 the configuration is wrong
/// (`EX_CONFIG` of sysexits.h).
const BAD_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The demonstration keeps its log in a file: its terminal is for the tickets.
    #[cfg(feature = "demo")]
    let own_log = matches!(cli.command, Command::Demo(_));
    #[cfg(not(feature = "demo"))]
    let own_log = false;
    if !own_log {
        logging::start(cli.log_format);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("the operating system gives no threads")),
    };
    match runtime.block_on(execute(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run { config } => run::run(setup::load(&config)?).await,
        Command::Check { config } => setup::check(&config),
        Command::Topics(TopicsCommand::Create { config, partitions, all }) => {
            topics::create(setup::load(&config)?, partitions, all).await
        }
        Command::Models(ModelsCommand::Deploy { config, flow }) => {
            models::deploy(setup::load(&config)?, flow.as_deref()).await
        }
        #[cfg(feature = "demo")]
        Command::Demo(options) => demo::run(options).await,
    }
}

#[allow(clippy::print_stderr, reason = "the last word of a command goes to its terminal, not to the log")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("xconnector: {error:#}");
    if error.is::<setup::BadConfiguration>() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::FAILURE }
}
