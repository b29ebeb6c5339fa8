//! A child process that takes signals, keeps a log and never outlives the test process

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait::until;

/// What a process can be told
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// End in good order
    Terminate,
    /// End at once, as in a crash
    Kill,
    /// Freeze: keeps its connections, does nothing
    Stop,
    /// Go on after [`Signal::Stop`]
    Continue,
}

/// A running command. Dropping it kills the command and removes the folder it was given.
#[derive(Debug)]
pub struct Process {
    name: String,
    supervisor: Child,
    signals: ChildStdin,
    log: PathBuf,
}

impl Process {
    /// Starts `command` under a small shell that watches over it; stdout and stderr go to `<folder>/<name>.log`, after
    /// what an earlier run left there. `folder` belongs to the process: it is removed when the handle is dropped before the
    /// process has ended.
    ///
    /// # Errors
    /// The log cannot be opened, or there is no `sh`.
    pub fn start(name: &str, folder: &Path, command: &Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut shell = Command::new("sh");
        shell.args(["-c", include_str!("supervise.sh"), "supervise"]).arg(folder);
        shell.arg(command.get_program()).args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(variable, value),
                None => shell.env_remove(variable),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        let mut supervisor = shell
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start sh to supervise {name}"))?;
        let signals = supervisor.stdin.take().context("the supervisor was started with a pipe")?;
        Ok(Self { name: name.to_owned(), supervisor, signals, log })
    }

    /// Sends a signal. A process that has ended already takes it without complaint.
    pub fn signal(&mut self, signal: Signal) {
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        // a broken pipe says that the process is gone: wait() tells how it ended
        let _ = writeln!(self.signals, "{name}");
    }

    /// How it ended, or `None` while it runs. Ended by signal n reads as exit code 128 + n.
    ///
    /// # Errors
    /// The operating system cannot say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.supervisor.try_wait()?)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It still runs after `deadline`; the text ends with its last lines.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let supervisor = &mut self.supervisor;
        let ended = until(&what, deadline, || {
            let status = supervisor.try_wait();
            async move { Ok(status?) }
        })
        .await;
        ended.with_context(|| format!("{} still runs; its last lines:\n{}", self.name, self.last_lines()))
    }

    /// Fails when the process has ended: for use while waiting for something that only a running process can do.
    ///
    /// # Errors
    /// It has ended; the text ends with its last lines.
    pub fn must_run(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}); its last lines:\n{}", self.name, self.last_lines()),
        }
    }

    /// Everything it has written so far
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEADLINE;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_terminated_process_may_end_in_good_order() {
        let folder = tempfile::tempdir().unwrap();
        let script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
        let mut process = Process::start("polite", folder.path(), &shell(script)).unwrap();
        until("its first line", DEADLINE, async || Ok(process.log().contains("ready").then_some(()))).await.unwrap();

        process.signal(Signal::Terminate);

        assert_eq!(process.wait(DEADLINE).await.unwrap().code(), Some(3));
        assert_eq!(process.log(), "ready\nbye\n");
        assert!(folder.path().exists(), "a process that ended by itself leaves its folder to its owner");
    }

    async fn dropped(folder: tempfile::TempDir, drop_in_order: impl FnOnce(Process, tempfile::TempDir)) {
        let path = folder.path().to_owned();
        let script = "trap '' TERM; echo $$; exec sleep 3600";
        let process = Process::start("stubborn", &path, &shell(script)).unwrap();
        let written = async || Ok(process.log().ends_with('\n').then_some(()));
        until("its pid", DEADLINE, written).await.unwrap();
        let entry = Path::new("/proc").join(process.log().trim());

        drop_in_order(process, folder);

        let gone = async || Ok((!entry.exists() && !path.exists()).then_some(()));
        until("process and folder to go", DEADLINE, gone).await.unwrap();
    }

    #[tokio::test]
    async fn dropping_the_handle_kills_the_process_and_removes_its_folder() {
        dropped(tempfile::tempdir().unwrap(), |process, folder| {
            let _ = folder.keep();
            drop(process);
        })
        .await;
        dropped(tempfile::tempdir().unwrap(), |process, folder| {
            folder.close().unwrap();
            drop(process);
        })
        .await;
    }

    #[tokio::test]
    async fn a_process_that_ended_too_early_says_so_with_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start("broken", folder.path(), &shell("echo port in use >&2; exit 1")).unwrap();
        process.wait(DEADLINE).await.unwrap();
        let error = process.must_run().unwrap_err().to_string();
        assert!(error.contains("broken ended") && error.contains("port in use"), "{error}");
    }
}
