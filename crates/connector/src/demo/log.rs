//! The connector's log goes to a file; warnings are told to the terminal as well.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt as format};

/// The warning that the tickets themselves show.
const DEAD_LETTER: &str = "dead letter";

/// Starts logging into `file`; the receiver gets every warning that the tickets do not show themselves, as one sentence.
///
/// # Errors
/// The file cannot be made.
pub(super) fn start(file: &Path) -> anyhow::Result<mpsc::UnboundedReceiver<String>> {
    let log = File::create(file).with_context(|| format!("{} cannot be written", file.display()))?;
    let (told, warnings) = mpsc::unbounded_channel();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let to_file = format::layer().with_ansi(false).with_writer(Mutex::new(log));
    tracing_subscriber::registry().with(filter).with(to_file).with(Teller(told)).try_init()?;
    Ok(warnings)
}

struct Teller(mpsc::UnboundedSender<String>);

impl<S: Subscriber> Layer<S> for Teller {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= Level::WARN {
            let mut sentence = Sentence::default();
            event.record(&mut sentence);
            if sentence.message != DEAD_LETTER {
                // Nobody listens any more at the very end; the file has it.
                let _ = self.0.send(format!("{}{}", sentence.message, sentence.fields));
            }
        }
    }
}

#[derive(Default)]
struct Sentence {
    message: String,
    fields: String,
}

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name if name.starts_with("log.") => {}
            name => self.fields.push_str(&format!(" {name}={value:?}")),
        }
    }
}
