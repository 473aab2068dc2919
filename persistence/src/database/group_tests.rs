//! Tests of `group.rs`: what writes learn if the writer panics.

use super::*;

/// A write that records how its transaction ended.
#[derive(Default)]
struct Seen(Mutex<Option<&'static str>>);

impl Joins for Seen {
    fn run(&self, _: &mut PooledConn) -> bool {
        true
    }

    fn end(&self, end: &End) {
        let seen = match end {
            End::Committed => "committed",
            End::RolledBack(..) => "rolled back",
            End::Unknown(_) => "unknown",
            End::Lost => "lost",
        };
        *self.0.lock().expect("sound") = Some(seen);
    }
}

/// Returns what a joined write learns when `writer` has the group.
fn learned(writer: impl FnOnce(Joined)) -> Option<&'static str> {
    let write = Arc::new(Seen::default());
    writer(Joined { writes: vec![write.clone()], is_committing: false });
    *write.0.lock().expect("sound")
}

#[test]
fn write_runs_again_only_if_its_writer_panics_before_the_commit() {
    assert_eq!(learned(drop), Some("lost"));
    let panics_in_the_commit = |mut joined: Joined| {
        joined.begin_commit();
        drop(joined);
    };
    assert_eq!(learned(panics_in_the_commit), Some("unknown"));
    let commits = |mut joined: Joined| {
        joined.begin_commit();
        joined.end(&End::Committed);
    };
    assert_eq!(learned(commits), Some("committed"));
}
