//! Time as an argument.

use std::ops::Add;
use std::time::Duration;

/// A point on the driver's monotonic clock: the time since an origin that the driver chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The origin of the driver's clock.
    pub const ORIGIN: Moment = Moment(Duration::ZERO);

    /// The moment that lies `elapsed` after the origin.
    pub fn after_origin(elapsed: Duration) -> Moment {
        Moment(elapsed)
    }

    /// The time that passed since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(duration))
    }
}
