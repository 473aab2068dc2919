//! File permissions: other users of the machine can read no data of the shop and change no file that it trusts.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::kit::Place;
use crate::kit::command::tuckshop_at;
use crate::kit::process::Process;

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
fn world_writable_secret_file_is_refused() {
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
fn setting_file_that_is_not_a_regular_file_is_refused_at_once() {
    let place = Place::sqlite();
    let pipe = place.directory().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o644), 0).expect("a pipe");
    let folder = place.directory().display().to_string();
    let pipe = pipe.display().to_string();
    for variable in ["TUCKSHOP_WEBHOOK_KEYS_PATH", "TUCKSHOP_MAIL_CA_PATH", "TUCKSHOP_SIMULATION_LEDGER_PATH"] {
        for path in [pipe.as_str(), "/dev/null", folder.as_str()] {
            let command = if variable.contains("LEDGER") { "serve" } else { "config" };
            let finished = tuckshop_at(&place, &[command], &[(variable, path)]);
            assert_ne!(finished.code, 0, "{variable} {path}");
            let is_named = finished.err.contains(variable) && !finished.err.contains("panicked");
            assert!(is_named, "{variable} {path}: {}", finished.err);
            let times_named = finished.err.matches(path).count();
            assert_eq!(times_named, usize::from(command == "serve"), "{variable} {path}: {}", finished.err);
        }
    }
    for path in [pipe.as_str(), "/dev/null", folder.as_str()] {
        let command = ["platforms", "add", "https://platform.example/profile", "--profile", path];
        let finished = tuckshop_at(&place, &command, &[]);
        assert!(finished.code == 1 && finished.err.contains("is not a regular file"), "{path}: {}", finished.err);
    }
}

/// The files are sparse: they use no blocks on the disk.
#[test]
fn setting_file_that_is_too_large_is_refused() {
    let place = Place::sqlite();
    let path = place.directory().join("large");
    File::create(&path).and_then(|file| file.set_len(1 << 32)).expect("a file");
    let path = path.display().to_string();
    let bounded = ["prlimit", "--as=4000000000"];
    for (variable, command) in [
        ("TUCKSHOP_WEBHOOK_KEYS_PATH", &["config"][..]),
        ("TUCKSHOP_MAIL_CA_PATH", &["config"]),
        ("TUCKSHOP_SIMULATION_LEDGER_PATH", &["serve"]),
        ("", &["platforms", "add", "https://platform.example/profile", "--profile", path.as_str()]),
    ] {
        let mut settings = place.settings();
        settings.extend((!variable.is_empty()).then(|| (variable.to_owned(), path.clone())));
        let mut process = Process::tuckshop_under(&bounded, command, &settings);
        let status = process.wait(Duration::from_secs(60));
        assert!(matches!(status.code(), Some(1 | 2)), "{variable}: {status}");
        let output = process.err.all().join("\n");
        assert!(output.contains("is larger than"), "{variable}: {output}");
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
