//! The emulated business systems that every deployment of the tickets flow has in its settings

use std::sync::LazyLock;

use anyhow::{Context, Result};
use emulator::{System, Systems};
use tokio::runtime::Builder;

/// They serve on a thread of their own, whatever runtime a test has, and live as long as the process.
static SHARED: LazyLock<Option<Systems>> = LazyLock::new(|| {
    let (started, systems) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let Ok(systems) = Systems::start(&[]).await else { return };
            let _ = started.send(systems);
            std::future::pending::<()>().await;
        });
    });
    systems.recv().ok()
});

/// The systems of this process. Their CRM knows no case until a test puts one there.
///
/// # Errors
/// They do not start.
pub fn systems() -> Result<&'static Systems> {
    SHARED.as_ref().context("the emulated systems do not start")
}

/// A `[[system]]` of the settings, without credentials, whose requests are given up after five seconds.
pub fn system_table(system: System, systems: &Systems) -> String {
    let name = system.name();
    format!("[[system]]\nname = {name:?}\nurl = {:?}\nauth = \"none\"\nrequest_timeout = \"5s\"\n", systems.url(system))
}
