//! Tests of the check of the temporary directory.

use super::*;

#[test]
fn shared_memory_is_in_memory_and_proc_is_not() {
    assert!(is_in_memory(Path::new("/dev/shm")).unwrap());
    assert!(!is_in_memory(Path::new("/proc")).unwrap());
}
