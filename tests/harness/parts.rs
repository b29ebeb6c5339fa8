//! Where the real parts are: this repository, the jars that `./dev` fetched, free ports

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The root of this repository
pub fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// The class path of `deploy/<part>/pom.xml`, as fetched by `./dev`
pub(crate) fn class_path(part: &str) -> Result<String> {
    let fetched = cache()?.join(part);
    let wanted = repository().join("deploy").join(part).join("pom.xml");
    let is = std::fs::read(fetched.join("pom.xml")).unwrap_or_default();
    ensure!(
        is == std::fs::read(&wanted)?,
        "the jars of {part} are missing or older than deploy/{part}/pom.xml: run `./dev test` once, which fetches them, \
         or point the tests to a running one (KAFKA_BOOTSTRAP_SERVERS, FLOWABLE_URL)"
    );
    Ok(format!("{}/*", fetched.join("lib").display()))
}

/// The jar of the engine whose name begins so, as fetched by `./dev`
///
/// # Errors
/// It was not fetched.
pub fn flowable_jar(name: &str) -> Result<PathBuf> {
    let folder = cache()?.join("flowable/lib");
    let files = std::fs::read_dir(&folder).with_context(|| format!("{}: run `./dev test` once", folder.display()))?;
    let mut jars = files.filter_map(|file| Some(file.ok()?.path()));
    let is = |jar: &PathBuf| jar.file_name().is_some_and(|of| of.to_string_lossy().starts_with(name));
    jars.find(is).with_context(|| format!("{} holds no {name}", folder.display()))
}

/// The same folder as in `dev`
fn cache() -> Result<PathBuf> {
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(cache).join("xconnector"));
    }
    let home =
        std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set: where are the fetched jars?")?;
    Ok(PathBuf::from(home).join(".cache/xconnector"))
}

/// A port of 127.0.0.1 that was free a moment ago
///
/// # Errors
/// No port can be bound.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Starts something on free ports, again when another process was quicker with a port.
pub(crate) async fn with_new_ports<T, F>(start: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for _ in 0..2 {
        match start().await {
            Err(error) if is_port_clash(&error) => {}
            started => return started,
        }
    }
    start().await
}

fn is_port_clash(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    text.contains("Address already in use") || text.contains("already in use")
}
