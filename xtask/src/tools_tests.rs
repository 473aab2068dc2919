//! Tests of `tools.rs`.

use super::*;

#[test]
fn missing_tool_is_not_provided_without_permission_to_install() {
    let missing = Tool { what: provided::STRACE, package: "strace", files: &["/nowhere/strace"] };
    assert_eq!(missing.provide(None), None);
    let present = Tool { files: &["/nowhere/sh", "/bin/sh"], ..missing };
    assert_eq!(present.provide(None), Some(PathBuf::from("/bin/sh")));
}
