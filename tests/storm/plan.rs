//! Which blow falls when: a pure function of the seed.

use std::fmt;
use std::time::Duration;

use emulator::{Fault, Rule};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::EngineKind;

/// While one process is killed and watched, nothing else goes wrong.
const QUIET: Duration = Duration::from_secs(8);

/// The blows of a storm, in order.
pub(crate) struct Plan {
    pub(crate) blows: Vec<(Duration, Blow)>,
}

/// Something that goes wrong on purpose.
#[derive(Clone, Debug)]
pub(crate) enum Blow {
    /// kill -9; another process takes its place after a while.
    Kill { process: usize, back_after: Duration },
    /// SIGSTOP, for longer than the group's session time-out, then SIGCONT.
    Freeze { process: usize, lasts: Duration },
    /// SIGTERM; another process takes its place at once.
    Leave { process: usize },
    /// The broker is stopped and started again.
    Broker,
    /// The engine refuses connections.
    Refuse { lasts: Duration },
    /// The business systems refuse connections, or a share of their answers goes wrong in this way.
    Systems { fault: Option<Fault>, lasts: Duration },
    /// A share of the engine's answers goes wrong.
    Engine { name: &'static str, rules: Vec<Rule>, lasts: Duration },
}

impl Plan {
    /// One blow each `every`, more or less.
    pub(crate) fn of(seed: u64, length: Duration, every: Duration, processes: usize, engine: EngineKind) -> Plan {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut blows = Vec::new();
        let mut at = QUIET;
        while at < length {
            blows.push((at, blow(&mut dice, processes, engine)));
            at += every.mul_f64(dice.random_range(0.4..1.6));
        }
        Plan { blows }
    }
}

fn blow(dice: &mut StdRng, processes: usize, engine: EngineKind) -> Blow {
    let process = dice.random_range(0..processes);
    let seconds = |dice: &mut StdRng, range| Duration::from_secs(dice.random_range(range));
    // The last kind is a state of the engine itself: the proxy before Flowable has none.
    let kinds = if engine == EngineKind::Emulator { 22 } else { 21 };
    let systems = [None, Some(Fault::DropAnswer), Some(Fault::CutAnswer), Some(Fault::DropRequest)];
    match dice.random_range(0..kinds + systems.len() as u32) {
        0..=2 => Blow::Kill { process, back_after: seconds(dice, 1..4) },
        3..=4 => Blow::Freeze { process, lasts: seconds(dice, 8..13) },
        5..=6 => Blow::Leave { process },
        7 => Blow::Broker,
        8 => Blow::Refuse { lasts: seconds(dice, 2..6) },
        kind if kind >= kinds => {
            let fault = systems.into_iter().nth((kind - kinds) as usize).flatten();
            Blow::Systems { fault, lasts: seconds(dice, 3..9) }
        }
        kind => {
            let (name, rules) = engine_fault(kind);
            Blow::Engine { name, rules, lasts: seconds(dice, 3..9) }
        }
    }
}

/// On calls with an effect, and on look-ups: a proof of absence must survive an engine that fails while it is made.
fn engine_fault(kind: u32) -> (&'static str, Vec<Rule>) {
    let acts = |fault: Fault, percent: f64| {
        ["start", "deliver", "complete-job"].map(|call| Rule::on(call, fault.clone()).percent(percent)).to_vec()
    };
    let status = |status, after_effect, retry_after_s| Fault::Status {
        status,
        retry_after_s,
        retry_after_as_date: false,
        after_effect,
    };
    match kind {
        9..=11 => ("answers dropped after the effect", acts(Fault::DropAnswer, 20.0)),
        12..=13 => ("effects later than the client waits", acts(Fault::Delay { ms: 2_200, jitter_ms: 1_500 }, 25.0)),
        14 => ("connections closed, effect later", acts(Fault::Abandon { effect_within_ms: 3_000 }, 20.0)),
        15 => ("503 after the effect", acts(status(503, true, None), 25.0)),
        16 => ("500 before the effect", acts(status(500, false, None), 25.0)),
        17 => ("429 with Retry-After", acts(status(429, false, Some(1)), 10.0)),
        18 => {
            let looks = ["list-history", "list-instances", "acquire"];
            ("look-ups fail", looks.map(|call| Rule::on(call, status(502, false, None)).percent(40.0)).to_vec())
        }
        19 => ("requests dropped before the effect", acts(Fault::DropRequest, 20.0)),
        20 => ("answers cut in their body", acts(Fault::CutAnswer, 20.0)),
        _ => ("optimistic locks", acts(Fault::OptimisticLock, 20.0)),
    }
}

impl Blow {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Blow::Kill { .. } => "kill -9",
            Blow::Freeze { .. } => "freeze",
            Blow::Leave { .. } => "leave and join",
            Blow::Broker => "broker restart",
            Blow::Refuse { .. } => "engine down",
            Blow::Systems { fault: None, .. } => "systems down",
            Blow::Systems { fault: Some(_), .. } => "systems lose requests or answers",
            Blow::Engine { name, .. } => name,
        }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "✗ {}", self.kind())?;
        match self {
            Blow::Kill { process, .. } | Blow::Leave { process } => write!(f, " of process {process}"),
            Blow::Freeze { process, lasts } => write!(f, " of process {process} for {lasts:?}"),
            Blow::Refuse { lasts } | Blow::Systems { lasts, .. } | Blow::Engine { lasts, .. } => {
                write!(f, " for {lasts:?}")
            }
            Blow::Broker => Ok(()),
        }
    }
}
