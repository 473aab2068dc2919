//! How the passes of one process are shared among destinations of different standing.
//!
//! Names of destinations cost nothing: an attacker that wants all passes to wait for servers that hang only needs enough
//! names. So a pass is lent by what a destination did before, and not by its name. Destinations that fail have a quarter of the
//! passes, together with new ones half, and the rest is kept for those that proved themselves:
//!
//! ```text
//!   passes   |- failing -|-- new ---|-------- proven --------|
//!   failing  |<-  1/4  ->|
//!   new      |<-        1/2       ->|
//!   proven   |<-                 all                       ->|
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::model::EndpointHealth;

#[derive(Clone)]
pub(super) struct Permits(Arc<Shared>);

struct Shared {
    /// For failing ones; for failing and new ones together.
    failing: u32,
    unproven: u32,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    failing: u32,
    new: u32,
}

impl Permits {
    /// Of so many passes at once. Each standing has one at least.
    pub(super) fn of(passes: u32) -> Self {
        let (failing, unproven) = ((passes / 4).max(1), (passes / 2).max(1));
        Self(Arc::new(Shared { failing, unproven, taken: Mutex::default() }))
    }

    /// Takes the permit of the least trusted standing that has one left. It is known only after the claim which standing
    /// the permit is needed for: see [`Permit::is_for`].
    pub(super) fn take(&self) -> Permit {
        let mut taken = self.0.taken();
        let standing = if taken.failing + taken.new >= self.0.unproven {
            EndpointHealth::Proven
        } else if taken.failing >= self.0.failing {
            EndpointHealth::New
        } else {
            EndpointHealth::Failing
        };
        taken.change(standing, |count| count + 1);
        Permit { permits: Arc::clone(&self.0), standing }
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn change(&mut self, standing: EndpointHealth, to: fn(u32) -> u32) {
        match standing {
            EndpointHealth::Proven => {}
            EndpointHealth::New => self.new = to(self.new),
            EndpointHealth::Failing => self.failing = to(self.failing),
        }
    }
}

/// A permit of one standing, given back when dropped.
pub(super) struct Permit {
    permits: Arc<Shared>,
    standing: EndpointHealth,
}

impl Permit {
    pub(super) fn reach(&self) -> EndpointHealth {
        self.standing
    }

    /// Keeps the permit for this standing, which is within reach, and gives back what is not needed.
    pub(super) fn is_for(&mut self, standing: EndpointHealth) {
        let mut taken = self.permits.taken();
        taken.change(self.standing, |count| count - 1);
        taken.change(standing, |count| count + 1);
        self.standing = standing;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.taken().change(self.standing, |count| count - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(permits: &Permits, most: usize) -> Vec<EndpointHealth> {
        let taken: Vec<_> = (0..most).map(|_| permits.take()).collect();
        taken.iter().map(Permit::reach).collect()
    }

    fn count(reaches: &[EndpointHealth], standing: EndpointHealth) -> usize {
        reaches.iter().filter(|reach| **reach == standing).count()
    }

    #[test]
    fn half_of_the_passes_is_kept_for_proven_destinations_and_a_quarter_from_failing_ones() {
        for (passes, failing, new) in [(1, 1, 0), (2, 1, 0), (4, 1, 1), (8, 2, 2), (64, 16, 16)] {
            let permits = Permits::of(passes);
            let reaches = taken(&permits, passes as usize);
            assert_eq!(count(&reaches, EndpointHealth::Failing), failing, "{passes}");
            assert_eq!(count(&reaches, EndpointHealth::New), new, "{passes}");
            // All of them were given back.
            assert_eq!(taken(&permits, passes as usize), reaches, "{passes}");
        }
    }

    #[test]
    fn a_place_that_a_more_trusted_destination_needs_less_of_is_given_back() {
        let permits = Permits::of(8);
        let mut held = Vec::new();
        for _ in 0..100 {
            let mut permit = permits.take();
            assert_eq!(permit.reach(), EndpointHealth::Failing);
            permit.is_for(EndpointHealth::Proven);
            held.push(permit);
        }
        for (expected, standing) in [
            (EndpointHealth::Failing, EndpointHealth::New),
            (EndpointHealth::Failing, EndpointHealth::New),
            (EndpointHealth::Failing, EndpointHealth::Failing),
            (EndpointHealth::Failing, EndpointHealth::New),
            (EndpointHealth::Proven, EndpointHealth::Proven),
        ] {
            let mut permit = permits.take();
            assert_eq!(permit.reach(), expected);
            permit.is_for(standing);
            held.push(permit);
        }
    }
}
