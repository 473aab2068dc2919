//! Tests of `provision.rs`.

use super::*;

#[test]
fn system_other_than_linux_is_refused_by_name() {
    must_be_linux("linux").expect("accepted");
    for system in ["macos", "freebsd"] {
        let refused = must_be_linux(system).expect_err("refused").to_string();
        assert!(refused.contains("need Linux") && refused.contains(system), "{refused}");
    }
}

#[test]
fn what_is_missing_or_left_out_has_a_reason_and_a_failed_installation_is_a_failure() {
    let reason = |is_left_out, found: Option<()>| provide(is_left_out, "why", || Ok(found)).expect("no failure");
    assert_eq!(reason(false, Some(())), Ok(()));
    assert_eq!(reason(true, Some(())), Err("why".to_owned()));
    assert_eq!(reason(false, None), Err("why".to_owned()));
    assert!(NOT_INSTALLED.contains("cargo xtask test --install"));
    provide::<()>(false, "why", || bail!("apt-get failed")).expect_err("a failure");
}
