//! How many requests a door takes in a second.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::answer::Refusal;

pub(super) struct Admission(Option<DefaultDirectRateLimiter>);

impl Admission {
    pub(super) fn of(max_per_second: Option<NonZeroU32>) -> Admission {
        Admission(max_per_second.map(|most| RateLimiter::direct(Quota::per_second(most))))
    }

    pub(super) fn pass(&self) -> Result<(), Refusal> {
        let too_many = |limiter: &DefaultDirectRateLimiter| limiter.check().is_err();
        if self.0.as_ref().is_some_and(too_many) { Err(Refusal::TooMany) } else { Ok(()) }
    }
}
