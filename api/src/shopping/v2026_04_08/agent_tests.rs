//! Tests of `agent.rs`.

use super::*;

const DEVELOPMENT: AgentPolicy = AgentPolicy { trust_loopback: true };
const PRODUCTION: AgentPolicy = AgentPolicy { trust_loopback: false };

fn code(header: &str, policy: AgentPolicy) -> Option<&'static str> {
    parse(header.as_bytes(), policy).err().map(|problem| problem.code())
}

#[test]
fn platform_is_identified_by_its_profile() {
    let platform = parse(br#"profile="https://Platform.example/p.json#x""#, PRODUCTION).expect("valid");
    assert_eq!(platform.id.0, "https://platform.example/p.json");
    assert!(!platform.registered);
}

#[test]
fn plain_http_is_accepted_from_this_machine_in_development_only() {
    for (header, policy, expected) in [
        (r#"profile="http://localhost:9000/p.json""#, DEVELOPMENT, None),
        (r#"profile="http://127.0.0.1:9000/p.json""#, DEVELOPMENT, None),
        (r#"profile="http://[::1]/p.json""#, DEVELOPMENT, None),
        (r#"profile="http://localhost:9000/p.json""#, PRODUCTION, Some("invalid_profile_url")),
        (r#"profile="http://platform.example/p.json""#, DEVELOPMENT, Some("invalid_profile_url")),
        (r#"profile="https://user@platform.example/p.json""#, DEVELOPMENT, Some("invalid_profile_url")),
        (r#"profile="https://:word@platform.example/p.json""#, DEVELOPMENT, Some("invalid_profile_url")),
        (r#"profile="ftp://platform.example/p.json""#, DEVELOPMENT, Some("invalid_profile_url")),
        (r#"profile="data:text/plain,x""#, DEVELOPMENT, Some("invalid_profile_url")),
        (r#"profile="https://user@platform.example/p""#, PRODUCTION, Some("invalid_profile_url")),
        (r#"profile="https://user:word@platform.example/p""#, PRODUCTION, Some("invalid_profile_url")),
        (r#"profile="not a url""#, DEVELOPMENT, Some("invalid_profile_url")),
        ("profile=https://platform.example", DEVELOPMENT, Some("invalid_profile_url")),
        (r#"name="https://platform.example""#, DEVELOPMENT, Some("invalid_profile_url")),
        ("", DEVELOPMENT, Some("invalid_profile_url")),
    ] {
        assert_eq!(code(header, policy), expected, "{header}");
    }
    assert!(parse(br#"profile="http://localhost:9000/p.json""#, DEVELOPMENT).expect("valid").registered);
}

#[test]
fn version_is_optional_and_must_be_supported() {
    for (header, expected) in [
        (r#"profile="https://p.example/"; version="2026-04-08""#, None),
        (r#"profile="https://p.example/"; version="2099-01-01""#, Some("version_unsupported")),
        (r#"profile="https://p.example/", version="2026-04-08""#, None),
        (r#"profile="https://p.example/", version="2099-01-01""#, Some("version_unsupported")),
        (r#"profile="https://p.example/", version=("2026-04-08")"#, Some("version_unsupported")),
        (r#"profile="https://p.example/", version"#, Some("version_unsupported")),
        (r#"profile="https://p.example/"; version="2026-04-08", version="2099-01-01""#, Some("version_unsupported")),
        (r#"profile="https://p.example/"; version="2099-01-01", version="2026-04-08""#, Some("version_unsupported")),
    ] {
        assert_eq!(code(header, DEVELOPMENT), expected, "{header}");
    }
}

#[test]
fn repeated_profile_or_version_is_refused() {
    for (header, expected) in [
        (r#"profile="https://p.example/", profile="https://q.example/""#, Some("invalid_profile_url")),
        (r#"profile="https://p.example/", profile="https://p.example/""#, Some("invalid_profile_url")),
        (r#"profile=("https://p.example/"), profile="https://p.example/""#, Some("invalid_profile_url")),
        (r#"profile="https://p.example/", version="2099-01-01", version="2026-04-08""#, Some("invalid_profile_url")),
        (r#"profile="https://p.example/", x=1, x=2"#, None),
    ] {
        assert_eq!(code(header, DEVELOPMENT), expected, "{header}");
    }
}
