//! How long a profile may be cached. Pure.

use std::time::Duration;

/// The shortest time for which a profile is cached. The protocol sets this minimum ("Profile Requirements").
const MIN_AGE: Duration = Duration::from_secs(60);
/// The longest time for which a profile is cached. So the shop notices a new webhook address within a day, even if the
/// platform allowed a longer time.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the `max-age` of `Cache-Control` (RFC 9111, section 5.2.2), limited to [`MIN_AGE`] and [`MAX_AGE`]. Without
/// a valid `max-age`, or if caching is forbidden, returns [`MIN_AGE`].
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
