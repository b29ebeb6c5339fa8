//! Publishing with kcat: a client that shares no code with the connector

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{Kafka, unique};

/// Key and value of a record
pub type Keyed = (String, Vec<u8>);

/// Publishes `records` in order, all with the same `headers`, in one run of kcat. An empty value stays an empty value.
///
/// # Errors
/// kcat is not installed (`./dev test` installs it), or could not publish: the text has what it said.
pub async fn publish_with_kcat(kafka: &Kafka, topic: &str, headers: &[(&str, &str)], records: &[Keyed]) -> Result<()> {
    // payloads may hold any byte, so what parts them must be something that none of them holds
    let end_of_record = unique("end-of-record");
    let end_of_key = unique("end-of-key");
    let mut command = Command::new("kcat");
    command.args(["-P", "-E", "-b", kafka.bootstrap(), "-t", topic, "-X", "message.max.bytes=16777216"]);
    command.args(["-X", "partitioner=murmur2_random"]); // as Java clients do
    command.args(["-D", &end_of_record, "-K", &end_of_key]);
    for (name, value) in headers {
        command.args(["-H", &format!("{name}={value}")]);
    }
    let mut kcat = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start kcat: ./dev test installs it")?;

    let mut input = Vec::new();
    for (key, value) in records {
        input.extend_from_slice(key.as_bytes());
        input.extend_from_slice(end_of_key.as_bytes());
        input.extend_from_slice(value);
        input.extend_from_slice(end_of_record.as_bytes());
    }
    let mut stdin = kcat.stdin.take().context("kcat was started with a pipe")?;
    let write = async {
        stdin.write_all(&input).await?;
        drop(stdin);
        Ok::<(), std::io::Error>(())
    };
    let (written, output) = tokio::join!(write, kcat.wait_with_output());
    let output = output?;
    ensure!(output.status.success(), "kcat could not publish to {topic}: {}", String::from_utf8_lossy(&output.stderr));
    written.context("kcat closed its input early")
}
