//! Permits: how the concurrent passes of one process are shared among endpoints by their health.
//!
//! A limit per endpoint is no protection: an attacker can register many endpoints that hang, and all passes would wait
//! for them. So a pass needs a permit, and the permits are shared by the health of the endpoints. Failing endpoints may
//! use a quarter of the passes, failing and new endpoints together a half, and proven endpoints all of them:
//!
//! ```text
//!   passes   |- failing -|-- new ---|-------- proven --------|
//!   failing  |<-  1/4  ->|
//!   new      |<-        1/2       ->|
//!   proven   |<-                 all                       ->|
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::model::EndpointHealth;

/// The permits of one dispatcher.
pub(super) struct Permits {
    /// The highest number of permits for failing endpoints.
    failing: u32,
    /// The highest number of permits for failing and new endpoints together.
    unproven: u32,
    taken: Mutex<Taken>,
}

/// The numbers of permits in use.
#[derive(Default)]
struct Taken {
    failing: u32,
    new: u32,
}

impl Permits {
    /// Creates the permits for this many concurrent passes. Each of the two limits is at least one, so that endpoints
    /// of any health can get a permit.
    pub(super) fn of(passes: u32) -> Self {
        let (failing, unproven) = ((passes / 4).max(1), (passes / 2).max(1));
        Self { failing, unproven, taken: Mutex::default() }
    }

    /// Takes a permit for the least trusted health that has a permit left. The claim then chooses an endpoint of this
    /// health or of a more trusted one, and [`Permit::change_to`] corrects the permit.
    pub(super) fn take(&self) -> Permit<'_> {
        let mut taken = self.taken();
        let health = if taken.failing + taken.new >= self.unproven {
            EndpointHealth::Proven
        } else if taken.failing >= self.failing {
            EndpointHealth::New
        } else {
            EndpointHealth::Failing
        };
        taken.change(health, |count| count + 1);
        Permit { permits: self, health }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Changes the number of permits of one health. Permits of proven endpoints are not counted.
    fn change(&mut self, health: EndpointHealth, to: fn(u32) -> u32) {
        match health {
            EndpointHealth::Proven => {}
            EndpointHealth::New => self.new = to(self.new),
            EndpointHealth::Failing => self.failing = to(self.failing),
        }
    }
}

/// A permit for endpoints of one health. It is released when it is dropped.
pub(super) struct Permit<'a> {
    permits: &'a Permits,
    health: EndpointHealth,
}

impl Permit<'_> {
    /// The least trusted health that this permit is valid for.
    pub(super) fn reach(&self) -> EndpointHealth {
        self.health
    }

    /// Changes the permit to `health`, the health of the claimed endpoint. The permit of the previous health is
    /// released.
    pub(super) fn change_to(&mut self, health: EndpointHealth) {
        let mut taken = self.permits.taken();
        taken.change(self.health, |count| count - 1);
        taken.change(health, |count| count + 1);
        self.health = health;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.permits.taken().change(self.health, |count| count - 1);
    }
}

#[cfg(test)]
#[path = "permits_tests.rs"]
mod tests;
