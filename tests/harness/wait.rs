//! Waiting on conditions, with a deadline

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a test waits for something that should come within seconds: generous, because builds and other tests share the machine
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Asks `condition` again and again until it gives a value.
///
/// # Errors
/// What `condition` failed with, at once; or, after `deadline`, a text that names `what` was waited for.
pub async fn until<T, F>(what: &str, deadline: Duration, mut condition: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        if started.elapsed() > deadline {
            bail!("waited {deadline:?} in vain for {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
