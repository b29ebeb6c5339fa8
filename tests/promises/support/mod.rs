//! What several promises need: an engine with a deployment on it, tickets, people who decide them, and the reckoning

mod bench;
mod operator;
mod people;
mod reckoning;
mod tickets;

pub(crate) use bench::Bench;
pub(crate) use operator::{allow_deletion, dead_letters, edit, operator};
pub(crate) use people::{Decision, complete_open_tasks};
pub(crate) use reckoning::{Books, assert_nothing_left, assert_one_instance_each, await_replies};
pub(crate) use tickets::{CONFLUENT_ID, Encoding, Ticket, publish, variables_of};
