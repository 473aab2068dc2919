//! How long a profile may be cached. Pure.

use std::time::Duration;

/// The minimum of the protocol ("Profile Requirements"): a profile is not fetched more often.
const MIN_AGE: Duration = Duration::from_secs(60);
/// The shop notices a new address within a day, whatever the platform once allowed.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The `max-age` of `Cache-Control` (RFC 9111, section 5.2.2), within the bounds. The minimum without one.
pub(super) fn cache_time<'a>(cache_control: impl Iterator<Item = &'a str>) -> Duration {
    let directives = cache_control.flat_map(|value| value.split(','));
    let directives: Vec<_> = directives.map(|directive| directive.trim().to_ascii_lowercase()).collect();
    if directives.iter().any(|directive| directive == "no-store" || directive.starts_with("no-cache")) {
        return MIN_AGE;
    }
    let max_age = directives.iter().find_map(|directive| directive.strip_prefix("max-age="));
    let max_age = max_age.and_then(|value| value.trim_matches('"').parse().ok()).map(Duration::from_secs);
    max_age.unwrap_or(MIN_AGE).clamp(MIN_AGE, MAX_AGE)
}

#[cfg(test)]
#[path = "freshness_tests.rs"]
mod tests;
