//! Endpoints that several flows of the process share: one state machine each behind a lock, one clock for all of them, and a bell
//! for each flow that waits.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use flow_core::{EndpointPolicy, EndpointView, Moment, Seat};
use tokio::sync::Notify;

/// Where the clock of all flows and endpoints begins.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What every flow that calls the same URLs with the same credentials is given.
///
/// The lock is held for the moment of a step, never across an await.
pub struct Endpoint {
    name: Arc<str>,
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
        Arc::new(Endpoint { name: name.into(), state: Mutex::new(state) })
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

/// A flow's places at its endpoints; given up when dropped, with whatever permits it still has.
pub(crate) struct Places {
    places: Vec<(Arc<Endpoint>, Seat)>,
    bell: Arc<Notify>,
}

impl Places {
    /// `endpoints`: the engine, then the systems in an order that is the same for all flows, because they are locked in it.
    pub(crate) fn take(endpoints: &[Arc<Endpoint>], weight: u32) -> Places {
        let bell = Arc::new(Notify::new());
        let take = |endpoint: &Arc<Endpoint>| {
            let mut state = endpoint.lock();
            let seat = state.core.join(weight);
            state.bells.insert(seat, bell.clone());
            (endpoint.clone(), seat)
        };
        Places { places: endpoints.iter().map(take).collect(), bell: bell.clone() }
    }

    pub(crate) fn seats(&self) -> impl Iterator<Item = Seat> {
        self.places.iter().map(|(_, seat)| *seat)
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.places.iter().map(|(endpoint, _)| endpoint)
    }

    /// Where the clock begins.
    pub(crate) fn origin() -> Instant {
        *ORIGIN
    }

    /// One step of the flow. The time is taken under the locks: for an endpoint it never goes back.
    pub(crate) fn step<R>(&self, step: impl FnOnce(Moment, &mut [&mut flow_core::Endpoint]) -> R) -> R {
        let mut states = self.lock();
        let now = Moment::after_origin(ORIGIN.elapsed());
        let mut cores: Vec<&mut flow_core::Endpoint> = states.iter_mut().map(|state| &mut state.core).collect();
        let result = step(now, &mut cores);
        for (state, (_, seat)) in states.iter().zip(&self.places) {
            ring(state, *seat);
        }
        result
    }

    pub(crate) fn deadline<W: Clone, O>(&self, flow: &flow_core::Flow<W, O>) -> Option<Moment> {
        let states = self.lock();
        flow.deadline(states.iter().map(|state| &state.core))
    }

    /// Another flow's step made room for this one, or moved a gate.
    pub(crate) async fn woken(&self) {
        self.bell.notified().await;
    }

    /// The flow makes no call any more; others need not wait for it.
    pub(crate) fn rest(&self) {
        for (endpoint, seat) in &self.places {
            let mut state = endpoint.lock();
            state.core.rest(*seat);
            ring(&state, *seat);
        }
    }

    fn lock(&self) -> Vec<MutexGuard<'_, State>> {
        self.places.iter().map(|(endpoint, _)| endpoint.lock()).collect()
    }
}

fn ring(state: &State, but: Seat) {
    for seat in state.core.wakes(but) {
        if let Some(bell) = state.bells.get(&seat) {
            bell.notify_one();
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for (endpoint, seat) in &self.places {
            let mut state = endpoint.lock();
            state.core.leave(*seat);
            state.bells.remove(seat);
            ring(&state, *seat);
        }
    }
}
