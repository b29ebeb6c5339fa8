//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::letters::Choice;

/// Joins business systems to a workflow service (OpenText Workflow Service, Flowable) through Apache Kafka.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    /// How log lines are written. RUST_LOG chooses which (default: info).
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "XCONNECTOR_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line, for machines.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every flow until SIGTERM or SIGINT.
    Run {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
    },
    /// Check the settings file and every flow; nothing is contacted.
    Check {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
    },
    /// Show what each flow reads, does and writes.
    Flows {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Begin something new.
    #[command(subcommand)]
    New(NewCommand),
    /// The schemas of events, replies, commands and answers.
    #[command(subcommand)]
    Schemas(SchemasCommand),
    /// The Kafka topics of the flows.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// The offsets that the flows have committed.
    #[command(subcommand)]
    Offsets(OffsetsCommand),
    /// The process models of the flows.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// The dead letters of a flow.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Hold a flow or a key of it back, and let it go on.
    #[command(subcommand)]
    Control(ControlCommand),
    /// Look through the engine for second instances of one event. Exit code 0: none, 3: some, 1: it could not be seen.
    Audit {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        /// Only this flow.
        #[arg(long)]
        flow: Option<String>,
        /// How far back, by the start of an instance, such as 90m or 7d
        #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
        since: Duration,
        /// End what is surplus, where the flow's compensate = "delete" allows it
        #[arg(long)]
        compensate: bool,
        /// Tell it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Watch seven flows on their way through an embedded broker, an emulated engine and ten emulated systems; nothing has to be installed.
    #[cfg(feature = "demo")]
    Demo(crate::demo::Options),
}

/// What to begin.
#[derive(Debug, Subcommand)]
pub(crate) enum NewCommand {
    /// Write the folder of a flow that works at once: model, schema, examples, to be changed into what is wanted.
    Flow {
        /// Its name: lower-case letters, digits and -
        name: String,
        /// The folder of the flows
        #[arg(long, default_value = "flows")]
        flows: PathBuf,
        /// The folder of the schemas
        #[arg(long, default_value = "schemas")]
        schemas: PathBuf,
    },
}

/// What to do with schemas.
#[derive(Debug, Subcommand)]
pub(crate) enum SchemasCommand {
    /// Check that each version goes with the one before it, in the direction that its kind needs, and that the examples obey.
    Check {
        /// The folder of the schemas
        #[arg(long, default_value = "schemas")]
        schemas: PathBuf,
        /// The same folder as it was released: what is in it may be neither missing nor changed
        #[arg(long)]
        released: Option<PathBuf>,
    },
}

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Make what is missing, with the right settings; what exists is left as it is.
    Create {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        /// Partitions of topics that have no source topic to follow.
        #[arg(long, default_value_t = 8)]
        partitions: i32,
        /// Also make missing source and reply topics, which belong to other systems: for trying things out.
        #[arg(long)]
        all: bool,
    },
    /// Bring ours to the partition count of a source topic that grew; the flow, which halts meanwhile, goes on by itself.
    Grow {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        /// Only this flow.
        #[arg(long)]
        flow: Option<String>,
    },
}

/// What to do with offsets.
#[derive(Debug, Subcommand)]
pub(crate) enum OffsetsCommand {
    /// Let a partition go on whose unread records retention removed. Holds for this loss only.
    AcceptLoss {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        /// The flow.
        #[arg(long)]
        flow: String,
        /// The partition.
        #[arg(long)]
        partition: i32,
    },
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Draw the BPMN files of the flows as SVG, each beside its model.
    Draw {
        /// The folder of the flows.
        #[arg(default_value = "flows")]
        flows: PathBuf,
        /// Draw nothing; say which pictures are missing or older than their models. Exit code 78 when there are any.
        #[arg(long)]
        check: bool,
    },
    /// Deploy the BPMN files of the flows to the engine.
    Deploy {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        /// Only this flow.
        #[arg(long)]
        flow: Option<String>,
    },
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// Show them: where, when, why, which event; never a payload.
    List {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        #[command(flatten)]
        choice: Choice,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Tell it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Put them back in, through the replay topic. What has its effect already is recognised and not done again.
    Replay {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        #[command(flatten)]
        choice: Choice,
        /// Also those that were replayed before
        #[arg(long)]
        again: bool,
        /// Only say how many
        #[arg(long)]
        dry_run: bool,
    },
    /// Put them aside for good: none of it is done, and what waits behind them in quarantine waits no longer.
    Discard {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        #[command(flatten)]
        choice: Choice,
        /// Only say how many
        #[arg(long)]
        dry_run: bool,
    },
}

/// What to hold back, and what to let go.
#[derive(Debug, Subcommand)]
pub(crate) enum ControlCommand {
    /// Send nothing new for a flow, or for one of its keys, until it is resumed: in every process, also in those that start later.
    Pause {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        #[command(flatten)]
        target: Target,
        /// Why, for whoever looks
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let it go on.
    Resume {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Let a flow go on that the storm guard stopped.
    ResetGuard {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
        /// The flow
        #[arg(long)]
        flow: String,
    },
    /// Show what is held back, since when and why.
    Show {
        /// The settings file.
        #[arg(long, default_value = "xconnector.toml", env = "XCONNECTOR_CONFIG")]
        config: PathBuf,
    },
}

/// A flow, or one of its keys.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The flow
    #[arg(long)]
    pub flow: String,
    /// Only the records with this ordering key: what `key` of the flow's source makes of them, else the record key
    #[arg(long)]
    pub key: Option<String>,
}
