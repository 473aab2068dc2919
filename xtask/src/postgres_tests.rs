//! Tests of `postgres.rs`.

use super::*;

#[test]
fn temporary_server_answers_has_the_durability_and_leaves_no_process() {
    let Some(programs) = Programs::provide(None).expect("usable") else {
        return provided::not_checked("temporary servers (this machine has no Postgres)");
    };
    for (settings, expected) in [(FAST, "off"), (DURABLE, "on")] {
        let server = start(&programs, settings).expect("starts");
        let (address, directory) = (server.address(), server.execute("show data_directory"));
        for setting in ["fsync", "synchronous_commit"] {
            assert_eq!(server.execute(&format!("show {setting}")), expected);
        }
        drop(server);
        assert!(std::net::TcpStream::connect(address).is_err(), "still answers after it was dropped");
        assert!(!Path::new(&directory).exists(), "{directory} exists after the server was dropped");
    }
}
