//! Tests of `permits.rs`.

use super::*;

fn taken(permits: &Permits, most: usize) -> Vec<EndpointHealth> {
    let taken: Vec<_> = (0..most).map(|_| permits.take()).collect();
    taken.iter().map(Permit::reach).collect()
}

fn count(reaches: &[EndpointHealth], health: EndpointHealth) -> usize {
    reaches.iter().filter(|reach| **reach == health).count()
}

#[test]
fn half_of_the_passes_is_kept_for_proven_endpoints_and_a_quarter_for_failing_ones() {
    for (passes, failing, new) in [(1, 1, 0), (2, 1, 0), (4, 1, 1), (8, 2, 2), (64, 16, 16)] {
        let permits = Permits::of(passes);
        let reaches = taken(&permits, passes as usize);
        assert_eq!(count(&reaches, EndpointHealth::Failing), failing, "{passes}");
        assert_eq!(count(&reaches, EndpointHealth::New), new, "{passes}");
        // All permits were released.
        assert_eq!(taken(&permits, passes as usize), reaches, "{passes}");
    }
}

#[test]
fn share_that_a_more_trusted_endpoint_does_not_need_is_released() {
    let permits = Permits::of(8);
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut permit = permits.take();
        assert_eq!(permit.reach(), EndpointHealth::Failing);
        permit.change_to(EndpointHealth::Proven);
        held.push(permit);
    }
    for (expected, health) in [
        (EndpointHealth::Failing, EndpointHealth::New),
        (EndpointHealth::Failing, EndpointHealth::New),
        (EndpointHealth::Failing, EndpointHealth::Failing),
        (EndpointHealth::Failing, EndpointHealth::New),
        (EndpointHealth::Proven, EndpointHealth::Proven),
    ] {
        let mut permit = permits.take();
        assert_eq!(permit.reach(), expected);
        permit.change_to(health);
        held.push(permit);
    }
}
