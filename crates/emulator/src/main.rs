//! The emulated workflow service as a program: prints its addresses as one JSON line and runs until it is stopped.

use std::process::ExitCode;

use emulator::{Emulator, Options, Switches, System, Systems};
use serde_json::json;

const USAGE: &str = "usage: emulator [--port N] [--control-port N] [--tenant NAME] [--client-id ID] \
[--client-secret SECRET] [--switches JSON] [--model FILE.bpmn]... [--systems]";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let mut options = Options::default();
    let (mut models, mut with_systems) = (Vec::new(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--port" => options.port = port(&value()?)?,
            "--control-port" => options.control_port = port(&value()?)?,
            "--tenant" => options.tenant = value()?,
            "--client-id" => options.client_id = value()?,
            "--client-secret" => options.client_secret = value()?,
            "--switches" => options.switches = switches(&value()?)?,
            "--model" => models.push(value()?),
            "--systems" => with_systems = true,
            other => return Err(format!("unknown argument '{other}'\n{USAGE}")),
        }
    }
    let emulator = Emulator::start(options).await.map_err(|e| e.to_string())?;
    for file in models {
        let source = std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
        emulator.deploy(&source).map_err(|e| format!("{file}: {e}"))?;
    }
    // They run as long as this is held.
    let systems = if with_systems { Some(Systems::start(&[]).await.map_err(|e| e.to_string())?) } else { None };
    announce(&emulator, systems.as_ref());
    tokio::signal::ctrl_c().await.map_err(|e| format!("cannot wait for the stop signal: {e}"))?;
    emulator.stop().await;
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the addresses are this program's output")]
fn announce(emulator: &Emulator, systems: Option<&Systems>) {
    let mut addresses = json!({
        "baseUrl": emulator.base_url(),
        "runtimeUrl": emulator.runtime_url(),
        "historyUrl": emulator.history_url(),
        "jobsUrl": emulator.jobs_url(),
        "tokenUrl": emulator.token_url(),
        "controlUrl": emulator.control_url(),
        "clientId": emulator.client_id(),
    });
    if let Some(systems) = systems {
        let url = |system: &System| {
            let name = serde_json::to_value(system).unwrap_or_default();
            (name.as_str().unwrap_or_default().to_owned(), json!(systems.url(*system)))
        };
        addresses["systems"] = System::ALL.iter().map(url).collect::<serde_json::Map<_, _>>().into();
    }
    println!("{addresses}");
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("'{text}' is not a port\n{USAGE}"))
}

fn switches(text: &str) -> Result<Switches, String> {
    serde_json::from_str(text).map_err(|e| format!("--switches: {e}"))
}
