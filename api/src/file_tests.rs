//! Tests of `file.rs`.

use super::*;

#[test]
fn file_beyond_the_limit_is_an_error() {
    assert_eq!(read_at_most(&b"12345"[..], 5).expect("fits"), b"12345");
    for endless in [Box::new(io::repeat(b'x')) as Box<dyn Read>, Box::new(&b"123456"[..])] {
        assert_eq!(read_at_most(endless, 5).expect_err("too large").kind(), io::ErrorKind::FileTooLarge);
    }
    assert_eq!(text_at_most(&b"\xff"[..], 5).expect_err("no text").to_string(), "is not UTF-8");
}

#[test]
fn special_file_is_refused_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    let to_device = directory.path().join("device");
    std::os::unix::fs::symlink("/dev/null", &to_device).expect("a link");
    for path in [&pipe, &to_device, &directory.path().to_owned()] {
        assert_eq!(open(path).expect_err("refused").to_string(), "is not a regular file", "{}", path.display());
    }
    std::fs::write(directory.path().join("file"), "x").expect("written");
    assert!(open(&directory.path().join("file")).is_ok());
}
