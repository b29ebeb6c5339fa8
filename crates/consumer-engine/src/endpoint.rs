//! An endpoint that several flows of the process share: one state machine behind one lock, one clock for all of them, and a bell
//! for each flow that waits.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use flow_core::{EndpointPolicy, EndpointView, Moment, Seat};
use tokio::sync::Notify;

/// What every flow that calls the same URLs with the same credentials is given.
///
/// The lock is held for the moment of a step, never across an await.
pub struct Endpoint {
    name: Arc<str>,
    /// Where the clock of all flows begins.
    origin: Instant,
    state: Mutex<State>,
}

struct State {
    core: flow_core::Endpoint,
    bells: HashMap<Seat, Arc<Notify>>,
}

impl Endpoint {
    /// An endpoint that nobody uses yet; `name` is its label in metrics and log lines.
    pub fn new(name: &str, policy: EndpointPolicy) -> Arc<Endpoint> {
        let state = State { core: flow_core::Endpoint::new(policy), bells: HashMap::new() };
        Arc::new(Endpoint { name: name.into(), origin: Instant::now(), state: Mutex::new(state) })
    }

    /// Its label in metrics and log lines.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn view(&self) -> EndpointView {
        self.lock().core.view()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A flow's place at its endpoint; given up when dropped, with whatever permits it still has.
pub(crate) struct Place {
    endpoint: Arc<Endpoint>,
    seat: Seat,
    bell: Arc<Notify>,
}

impl Place {
    pub(crate) fn take(endpoint: &Arc<Endpoint>, weight: u32) -> Place {
        let bell = Arc::new(Notify::new());
        let mut state = endpoint.lock();
        let seat = state.core.join(weight);
        state.bells.insert(seat, bell.clone());
        drop(state);
        Place { endpoint: endpoint.clone(), seat, bell }
    }

    pub(crate) fn seat(&self) -> Seat {
        self.seat
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Where the clock begins.
    pub(crate) fn origin(&self) -> Instant {
        self.endpoint.origin
    }

    /// One step of the flow. The time is taken under the lock: for the endpoint it never goes back.
    pub(crate) fn step<R>(&self, step: impl FnOnce(Moment, &mut flow_core::Endpoint) -> R) -> R {
        let mut state = self.endpoint.lock();
        let now = Moment::after_origin(self.endpoint.origin.elapsed());
        let result = step(now, &mut state.core);
        self.ring(&state);
        result
    }

    pub(crate) fn read<R>(&self, read: impl FnOnce(&flow_core::Endpoint) -> R) -> R {
        read(&self.endpoint.lock().core)
    }

    /// Another flow's step made room for this one, or moved the gate.
    pub(crate) async fn woken(&self) {
        self.bell.notified().await;
    }

    /// The flow makes no call any more; others need not wait for it.
    pub(crate) fn rest(&self) {
        let mut state = self.endpoint.lock();
        state.core.rest(self.seat);
        self.ring(&state);
    }

    fn ring(&self, state: &State) {
        for seat in state.core.wakes(self.seat) {
            if let Some(bell) = state.bells.get(&seat) {
                bell.notify_one();
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.endpoint.lock();
        state.core.leave(self.seat);
        state.bells.remove(&self.seat);
        self.ring(&state);
    }
}
