//! `xconnector`: joins business systems to a workflow service through Kafka.

mod audit;
mod cli;
mod control;
#[cfg(feature = "demo")]
mod demo;
mod doors;
mod handler;
mod letters;
mod listing;
mod logging;
mod models;
mod monitoring;
mod offsets;
mod process;
mod run;
mod scaffold;
mod schemas;
mod setup;
mod topics;

use std::process::ExitCode;

use clap::Parser;

use cli::{
    Cli, Command, ControlCommand, DlqCommand, ModelsCommand, NewCommand, OffsetsCommand, SchemasCommand, TopicsCommand,
};

/// Records are born on one thread and die on another, thousands a second, which glibc's allocator answers with a quarter of the
/// time and three times the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit codes: 0 done, 1 failed while running, 2 the arguments are wrong (clap), 3 an audit found doubles.
const DOUBLES: u8 = 3;
/// The configuration is wrong (`EX_CONFIG` of sysexits.h).
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
        Ok(Verdict::Well) => ExitCode::SUCCESS,
        Ok(Verdict::Doubles) => ExitCode::from(DOUBLES),
        Err(error) => failed(&error),
    }
}

/// What a command that did its work has to say.
enum Verdict {
    Well,
    Doubles,
}

async fn execute(command: Command) -> anyhow::Result<Verdict> {
    let done = match command {
        Command::Audit { config, flow, since, compensate, json } => {
            let question = audit::Question { flow: flow.as_deref(), since, compensate, json };
            let well = audit::audit_flows(setup::load(&config)?, question).await?;
            return Ok(if well { Verdict::Well } else { Verdict::Doubles });
        }
        Command::Run { config } => run::run(setup::load(&config)?).await,
        Command::Check { config } => setup::check(&config),
        Command::Flows { config, json } => listing::show(&setup::load(&config)?, json),
        Command::New(NewCommand::Flow { name, flows, schemas }) => scaffold::flow(&name, &flows, &schemas),
        Command::Schemas(SchemasCommand::Check { schemas, released }) => schemas::check(&schemas, released.as_deref()),
        Command::Topics(TopicsCommand::Create { config, partitions, all }) => {
            topics::create(setup::load(&config)?, partitions, all).await
        }
        Command::Topics(TopicsCommand::Grow { config, flow }) => {
            topics::grow(setup::load(&config)?, flow.as_deref()).await
        }
        Command::Offsets(OffsetsCommand::AcceptLoss { config, flow, partition }) => {
            offsets::accept_loss(setup::load(&config)?, &flow, partition).await
        }
        Command::Dlq(DlqCommand::List { config, choice, limit, json }) => {
            letters::list(setup::load(&config)?, choice, limit, json).await
        }
        Command::Dlq(DlqCommand::Replay { config, choice, again, dry_run }) => {
            letters::replay(setup::load(&config)?, choice, again, dry_run).await
        }
        Command::Dlq(DlqCommand::Discard { config, choice, dry_run }) => {
            letters::discard(setup::load(&config)?, choice, dry_run).await
        }
        Command::Control(ControlCommand::Pause { config, target, reason }) => {
            control::pause(setup::load(&config)?, target, reason).await
        }
        Command::Control(ControlCommand::Resume { config, target }) => {
            control::resume(setup::load(&config)?, target).await
        }
        Command::Control(ControlCommand::ResetGuard { config, flow }) => {
            control::reset_guard(setup::load(&config)?, &flow).await
        }
        Command::Control(ControlCommand::Show { config }) => control::show(setup::load(&config)?).await,
        Command::Models(ModelsCommand::Draw { flows, check }) => models::draw(&flows, check),
        Command::Models(ModelsCommand::Deploy { config, flow }) => {
            models::deploy(setup::load(&config)?, flow.as_deref()).await
        }
        #[cfg(feature = "demo")]
        Command::Demo(options) => demo::run(options).await,
    };
    done.map(|()| Verdict::Well)
}

#[allow(clippy::print_stderr, reason = "the last word of a command goes to its terminal, not to the log")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("xconnector: {error:#}");
    if error.is::<setup::BadConfiguration>() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::FAILURE }
}
