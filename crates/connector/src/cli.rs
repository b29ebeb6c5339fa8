//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

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
    /// The Kafka topics of the flows.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// The process models of the flows.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Watch tickets on their way through an embedded broker and an emulated engine; nothing has to be installed.
    #[cfg(feature = "demo")]
    Demo(crate::demo::Options),
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
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
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
