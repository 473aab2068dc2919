//! How long a profile may be believed. Pure.

use std::time::Duration;

/// The protocol's floor ("Profile Requirements"): no profile is asked for more often.
const LEAST: Duration = Duration::from_secs(60);
/// A platform that changes its address is heard within a day, whatever it once said.
const MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// From the values of Cache-Control (RFC 9111, section 5.2.2): its `max-age`, within bounds. Without one, the floor.
pub(super) fn lasts<'a>(cache_control: impl Iterator<Item = &'a str>) -> Duration {
    let directives = cache_control.flat_map(|value| value.split(','));
    let directives: Vec<_> = directives.map(|directive| directive.trim().to_ascii_lowercase()).collect();
    if directives.iter().any(|directive| directive == "no-store" || directive.starts_with("no-cache")) {
        return LEAST;
    }
    let max_age = directives.iter().find_map(|directive| directive.strip_prefix("max-age="));
    let max_age = max_age.and_then(|value| value.trim_matches('"').parse().ok()).map(Duration::from_secs);
    max_age.unwrap_or(LEAST).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_believed_for_a_minute_at_least_and_a_day_at_most() {
        for (values, seconds) in [
            (&[][..], 60),
            (&["public, max-age=3600"], 3600),
            (&["public", "Max-Age=3600"], 3600),
            (&["max-age=\"120\""], 120),
            (&["max-age=1"], 60),
            (&["max-age=0, must-revalidate"], 60),
            (&["max-age=999999999"], 86_400),
            (&["max-age=-1"], 60),
            (&["max-age=soon"], 60),
            (&["max-age=99999999999999999999999"], 60),
            (&["no-store, max-age=3600"], 60),
            (&["no-cache"], 60),
            (&["s-maxage=600"], 60),
            (&[",,;="], 60),
        ] {
            assert_eq!(lasts(values.iter().copied()).as_secs(), seconds, "{values:?}");
        }
    }
}
