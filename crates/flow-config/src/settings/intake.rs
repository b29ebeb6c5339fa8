//! `[intake]`: where events come in by HTTP, for which flows, and who may send them.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use secrecy::SecretString;

use super::value::Sources;
use crate::document::Section;

/// The HTTP intake. Its `Debug` form holds no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IntakeSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// One for each flow that takes events by HTTP.
    pub doors: Vec<DoorSettings>,
}

/// One way in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DoorSettings {
    /// The flow.
    pub flow: String,
    /// The source topic that its events go to; `None`: the flow's first.
    pub topic: Option<String>,
    /// Who may come in.
    pub lock: DoorLock,
    /// Requests per second; `None`: as many as come.
    pub max_per_second: Option<NonZeroU32>,
    /// Line of the door in the settings file, from 1.
    pub line: usize,
}

/// Who may come in.
#[derive(Debug, Clone)]
pub enum DoorLock {
    /// Everybody who reaches the port.
    Open,
    /// Whoever knows the token.
    Bearer(SecretString),
    /// Whoever signs as Standard Webhooks says.
    Signature(SecretString),
}

const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9465);

pub(super) fn read(section: &Section<'_>, sources: &Sources<'_>) -> IntakeSettings {
    let listen = super::address(section);
    let doors: Vec<DoorSettings> = section.tables("door").iter().filter_map(|section| door(section, sources)).collect();
    for (index, door) in doors.iter().enumerate() {
        if doors.iter().take(index).any(|other| other.flow == door.flow) {
            let message = format!("`{}` has two doors", door.flow);
            section.report(section.at(), "door.flow", message, "remove one of them");
        }
    }
    section.finish();
    IntakeSettings { listen: listen.unwrap_or(DEFAULT_LISTEN.into()), doors }
}

fn door(section: &Section<'_>, sources: &Sources<'_>) -> Option<DoorSettings> {
    let flow = section.required_string("flow", "for instance flow = \"tickets\", which opens POST /intake/tickets");
    let topic = section.string("topic").map(|topic| topic.get_ref().clone());
    let (bearer, signature) = (sources.secret(section, "bearer"), sources.secret(section, "signature"));
    let open = section.one_of("auth", &[("none", ())]).is_some();
    let max_per_second = section.integer("max_per_second", 1..=1_000_000);
    let given = ["bearer", "signature", "auth"].into_iter().filter(|name| section.has(name)).count();
    if given != 1 {
        let help = "give exactly one: bearer = { env = \"…\" }, signature = { env = \"…\" } (Standard Webhooks), or auth = \"none\" where the network lets nobody else in";
        section.report(section.at(), "", "does not say who may come in", help);
    }
    section.finish();
    let lock = match (bearer, signature, open) {
        (Some(token), None, false) => DoorLock::Bearer(token),
        (None, Some(secret), false) => DoorLock::Signature(secret),
        (None, None, true) => DoorLock::Open,
        // Reported: a secret that is missing, or more than one way.
        (Some(_), Some(_), _) | (Some(_), None, true) | (None, Some(_), true) | (None, None, false) => return None,
    };
    Some(DoorSettings {
        flow: flow?.get_ref().clone(),
        topic,
        lock,
        max_per_second: max_per_second.and_then(|most| NonZeroU32::new(u32::try_from(most).ok()?)),
        line: section.document.position(section.at()).0,
    })
}
