//! The connector as its users run it: the built binary, as a process

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::parts::repository;
use crate::process::{Process, Signal};
use crate::wait::{DEADLINE, until};

/// A running `xconnector run`
#[derive(Debug)]
pub struct Connector {
    process: Process,
    // holds the log; gone with the handle
    _folder: TempDir,
}

impl Connector {
    /// Starts `xconnector run --config <config>`, with `args` behind it. Wait for its log or metrics before relying on it.
    ///
    /// # Errors
    /// The binary cannot be built or started.
    pub async fn run<A: AsRef<OsStr>>(config: &Path, args: &[A]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xconnector-run-").tempdir()?;
        let mut command = Command::new(connector_binary().await?);
        command.arg("run").arg("--config").arg(config).args(args).current_dir(repository());
        let process = Process::start("xconnector", folder.path(), &command)?;
        Ok(Self { process, _folder: folder })
    }

    /// Everything that it has logged so far
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Tells the process: terminate, kill as a crash would, freeze, go on.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until the log holds `text`.
    ///
    /// # Errors
    /// The process ended first, or the deadline is over: the text ends with the last lines of the log.
    pub async fn logged(&mut self, text: &str) -> Result<()> {
        let what = format!("\"{text}\" in the connector's log");
        let process = &mut self.process;
        let seen = until(&what, DEADLINE, || {
            // look first: a line may be the last word of a process
            let seen = if process.log().contains(text) { Ok(Some(())) } else { process.must_run().map(|()| None) };
            async move { seen }
        })
        .await;
        seen.with_context(|| format!("the log so far:\n{}", self.log()))
    }

    /// Waits until the sum over all series of `metric` whose labels contain every one of `labels` (`name="value"`) is as
    /// `wanted` says, and gives it.
    ///
    /// # Errors
    /// The process ended first, or the deadline is over.
    pub async fn measured(
        &mut self,
        metrics: SocketAddr,
        metric: &str,
        labels: &[&str],
        wanted: impl Fn(f64) -> bool,
    ) -> Result<f64> {
        let what = format!("{metric}{labels:?} to be as wanted at {metrics}");
        let process = &mut self.process;
        let wanted = &wanted;
        until(&what, DEADLINE, || {
            let running = process.must_run();
            async move {
                running?;
                let Ok(text) = self::metrics(metrics).await else { return Ok(None) };
                Ok(sum(&text, metric, labels).filter(|value| wanted(*value)))
            }
        })
        .await
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn has_ended(&mut self) -> Result<bool> {
        self.process.ended().map(|status| status.is_some())
    }

    /// Waits for its end after [`Connector::signal`].
    ///
    /// # Errors
    /// It still runs after `deadline`.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.process.wait(deadline).await
    }
}

/// Runs a command of the binary that ends by itself, such as `topics create`, and gives what it wrote to stdout.
///
/// # Errors
/// It did not end well; the text has what it wrote to stderr.
pub async fn xconnector<A: AsRef<OsStr>>(args: &[A]) -> Result<String> {
    let mut command = tokio::process::Command::new(connector_binary().await?);
    let output = command.args(args).current_dir(repository()).kill_on_drop(true).output().await?;
    let shown: Vec<String> = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect();
    ensure!(
        output.status.success(),
        "xconnector {} ended with {}:\n{}",
        shown.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The binary of the profile that this test was built with, brought up to date by cargo once per test process
///
/// # Errors
/// It does not build; the text has what the compiler said.
pub async fn connector_binary() -> Result<PathBuf> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT.get_or_try_init(build).await.cloned()
}

async fn build() -> Result<PathBuf> {
    // a test is at <target>/<profile>/deps/<name>, a binary such as the storm at <target>/<profile>/<name>
    let executable = std::env::current_exe()?;
    let mut folders = executable.ancestors().skip(1).skip_while(|folder| folder.ends_with("deps"));
    let profile_folder = folders.next().context("a test runs from its target folder")?;
    let profile = match profile_folder.file_name().and_then(OsStr::to_str) {
        Some("debug") => "dev",
        Some(profile) => profile,
        None => anyhow::bail!("{} is no target folder of cargo", profile_folder.display()),
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = tokio::process::Command::new(cargo)
        .args(["build", "--quiet", "-p", "connector", "--bin", "xconnector", "--profile", profile])
        .current_dir(repository())
        .output()
        .await?;
    ensure!(output.status.success(), "xconnector does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(profile_folder.join("xconnector"))
}

/// The page of metrics that a connector serves at `at`.
///
/// # Errors
/// Nobody answers there within a second: the connector starts, is frozen, or has ended.
pub async fn metrics(at: SocketAddr) -> Result<String> {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);
    let request = CLIENT.get(format!("http://{at}/metrics")).timeout(Duration::from_secs(1));
    Ok(request.send().await?.error_for_status()?.text().await?)
}

/// Sums the series of a Prometheus text; `None` when there is none.
pub fn sum(text: &str, metric: &str, labels: &[&str]) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, set) = series.split_once('{').unwrap_or((series, ""));
        (name == metric && labels.iter().all(|label| set.contains(label))).then_some(value.parse::<f64>().ok()?)
    });
    values.reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn a_metric_is_summed_over_the_series_that_carry_the_labels() {
        let text = "# TYPE lag gauge\nlag{flow=\"a\",partition=\"0\"} 2\nlag{flow=\"a\",partition=\"1\"} 3.5\n\
                    lag{flow=\"b\",partition=\"0\"} 7\nlag_seconds{flow=\"a\"} 100\nup 1\n";
        assert_eq!(sum(text, "lag", &["flow=\"a\""]), Some(5.5));
        assert_eq!(sum(text, "lag", &[]), Some(12.5));
        assert_eq!(sum(text, "up", &[]), Some(1.0));
        assert_eq!(sum(text, "lag", &["flow=\"c\""]), None);
    }
}
