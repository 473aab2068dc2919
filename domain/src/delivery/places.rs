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

use super::model::Standing;

#[derive(Clone)]
pub(super) struct Places(Arc<Shared>);

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

impl Places {
    /// Of so many passes at once. Each standing has one at least.
    pub(super) fn of(passes: u32) -> Self {
        let (failing, unproven) = ((passes / 4).max(1), (passes / 2).max(1));
        Self(Arc::new(Shared { failing, unproven, taken: Mutex::default() }))
    }

    /// Takes the place of the least trusted standing that has one left. It is known only after the claim which standing
    /// the place is needed for: see [`Place::is_for`].
    pub(super) fn take(&self) -> Place {
        let mut taken = self.0.taken();
        let standing = if taken.failing + taken.new >= self.0.unproven {
            Standing::Proven
        } else if taken.failing >= self.0.failing {
            Standing::New
        } else {
            Standing::Failing
        };
        taken.change(standing, |count| count + 1);
        Place { places: Arc::clone(&self.0), standing }
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn change(&mut self, standing: Standing, to: fn(u32) -> u32) {
        match standing {
            Standing::Proven => {}
            Standing::New => self.new = to(self.new),
            Standing::Failing => self.failing = to(self.failing),
        }
    }
}

/// A place of one standing, given back when dropped.
pub(super) struct Place {
    places: Arc<Shared>,
    standing: Standing,
}

impl Place {
    pub(super) fn reach(&self) -> Standing {
        self.standing
    }

    /// Keeps the place for this standing, which is within reach, and gives back what is not needed.
    pub(super) fn is_for(&mut self, standing: Standing) {
        let mut taken = self.places.taken();
        taken.change(self.standing, |count| count - 1);
        taken.change(standing, |count| count + 1);
        self.standing = standing;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().change(self.standing, |count| count - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(places: &Places, most: usize) -> Vec<Standing> {
        let taken: Vec<_> = (0..most).map(|_| places.take()).collect();
        taken.iter().map(Place::reach).collect()
    }

    fn count(reaches: &[Standing], standing: Standing) -> usize {
        reaches.iter().filter(|reach| **reach == standing).count()
    }

    #[test]
    fn half_of_the_passes_is_kept_for_proven_destinations_and_a_quarter_from_failing_ones() {
        for (passes, failing, new) in [(1, 1, 0), (2, 1, 0), (4, 1, 1), (8, 2, 2), (64, 16, 16)] {
            let places = Places::of(passes);
            let reaches = taken(&places, passes as usize);
            assert_eq!(count(&reaches, Standing::Failing), failing, "{passes}");
            assert_eq!(count(&reaches, Standing::New), new, "{passes}");
            // All of them were given back.
            assert_eq!(taken(&places, passes as usize), reaches, "{passes}");
        }
    }

    #[test]
    fn a_place_that_a_more_trusted_destination_needs_less_of_is_given_back() {
        let places = Places::of(8);
        let mut held = Vec::new();
        for _ in 0..100 {
            let mut place = places.take();
            assert_eq!(place.reach(), Standing::Failing);
            place.is_for(Standing::Proven);
            held.push(place);
        }
        for (expected, standing) in [
            (Standing::Failing, Standing::New),
            (Standing::Failing, Standing::New),
            (Standing::Failing, Standing::Failing),
            (Standing::Failing, Standing::New),
            (Standing::Proven, Standing::Proven),
        ] {
            let mut place = places.take();
            assert_eq!(place.reach(), expected);
            place.is_for(standing);
            held.push(place);
        }
    }
}
