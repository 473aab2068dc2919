//! Other users of the machine read nothing of the shop and change nothing that it trusts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::kit::Place;
use crate::kit::command::tuckshop_at;

/// RFC 9421, appendix B.1.3.
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\n\
    MHcCAQEEIFKbhfNZfpDsW43+0+JjUr9K+bTeuxopu653+hBaXGA7oAoGCCqGSM49\n\
    AwEHoUQDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM\n\
    4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n\
    -----END EC PRIVATE KEY-----\n";

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
}

#[test]
fn a_file_of_secrets_that_anyone_can_write_is_refused() {
    let place = Place::sqlite();
    for (variable, name) in [("TUCKSHOP_WEBHOOK_KEYS_PATH", "keys.pem"), ("TUCKSHOP_MAIL_CA_PATH", "roots.pem")] {
        let path = place.directory().join(name);
        std::fs::write(&path, KEY).expect("written");
        set_mode(&path, 0o666);
        let shown = path.display().to_string();
        let finished = tuckshop_at(&place, &["config"], &[(variable, shown.as_str())]);
        assert_eq!(finished.code, 2, "{}", finished.err);
        assert!(finished.err.contains(variable) && finished.err.contains("can write the file"), "{}", finished.err);
    }
}

#[test]
fn new_files_and_directories_are_private() {
    let place = Place::sqlite();
    let directory = place.directory().join("data");
    let url = format!("sqlite://{}", directory.join("shop.db").display());
    let ledger = directory.join("ledger").join("payments.ledger");
    let settings = [
        ("TUCKSHOP_DATABASE_URL", url.as_str()),
        ("TUCKSHOP_SIMULATION_LEDGER_PATH", ledger.to_str().expect("text")),
        ("TUCKSHOP_HTTP_ADDRESS", "127.0.0.1:0"),
    ];
    let server = crate::kit::server::Server::launch(&place, &settings);
    for directory in [&directory, &directory.join("ledger")] {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
    for file in ["shop.db", "shop.db-wal", "shop.db-shm", "shop.db.lock", "ledger/payments.ledger"] {
        assert_eq!(mode(&directory.join(file)), 0o600, "{file}");
    }
    drop(server);
}
