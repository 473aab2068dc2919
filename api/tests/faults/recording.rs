//! The file changes and the socket writes of a process, in the order in which they happened. They are read from the
//! output of strace.
//!
//! strace stops a thread at the start and at the end of a call and writes a line each time. If a call of one thread
//! depends on a call of another thread, their lines are in that order.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use faultkit::provided::STRACE;

/// Every call that can write to a file, to its name, or to a socket. `-xx` prints strings in hexadecimal digits, so
/// that they contain no comma, quote or bracket. `-y` prints the name of the file behind a descriptor.
const OPTIONS: [&str; 9] = [
    "-f",
    "-y",
    "-xx",
    "-s",
    "1000000",
    "-e",
    "signal=none",
    "-e",
    "trace=openat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,fsync,fdatasync,\
     unlink,unlinkat,rename,renameat,renameat2,link,linkat,sendto,sendmsg",
];

/// The path of strace, if it is installed and permitted. Otherwise the test is reported as skipped.
pub fn strace(what: &str) -> Option<String> {
    let strace = STRACE.get()?;
    let status = Command::new(&strace).args(["-f", "/bin/true"]).stderr(Stdio::null()).status();
    if !status.is_ok_and(|status| status.success()) {
        STRACE.skip(&format!("{what} (tracing is not permitted)"));
        return None;
    }
    STRACE.used();
    Some(strace)
}

/// The command prefix that records the calls of a process in this file.
pub fn recorder<'a>(strace: &'a str, file: &'a str) -> Vec<&'a str> {
    [&[strace, "-o", file], OPTIONS.as_slice()].concat()
}

/// A recorded call. Files are named relative to the directory, whose own name is empty.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// Creates the file if it is missing.
    Open {
        file: String,
    },
    /// Appends if there is no offset.
    Write {
        file: String,
        at: Option<usize>,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        size: usize,
    },
    Sync {
        file: String,
    },
    Remove {
        file: String,
    },
    Send {
        bytes: Vec<u8>,
    },
}

#[derive(Debug)]
pub struct Event {
    /// The line numbers of the start and the end, counted from 1.
    pub began: usize,
    /// `usize::MAX` if the call never ended.
    pub ended: usize,
    pub call: Call,
}

/// The calls in this directory and on all sockets, by their start. Failed calls are left out.
pub fn read(recorded: &Path, directory: &Path) -> Vec<Event> {
    let text = std::fs::read_to_string(recorded).expect("a recording");
    let mut open: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut events = Vec::new();
    let mut keep = |began, ended, call: &str| {
        events.extend(parse(call, directory).map(|call| Event { began, ended, call }));
    };
    for (number, line) in (1..).zip(text.lines()) {
        let (thread, line) = line.split_once(' ').expect("a thread and what it did");
        let line = line.trim_start();
        if let Some(begun) = line.strip_suffix(" <unfinished ...>") {
            open.insert(thread, (number, begun.to_owned()));
        } else if let Some(resumed) = line.strip_prefix("<... ") {
            let (began, begun) = open.remove(thread).expect("the start of the call");
            let rest = resumed.split_once(" resumed>").expect("the rest of the call").1;
            keep(began, number, &(begun + rest));
        } else {
            keep(number, number, line);
        }
    }
    for (began, begun) in open.into_values() {
        keep(began, usize::MAX, &format!("{begun}) = ?"));
    }
    events.sort_by_key(|event| event.began);
    events
}

/// `None` for failed calls and for files elsewhere.
fn parse(line: &str, directory: &Path) -> Option<Call> {
    // `+++ exited with 0 +++`
    let (name, rest) = line.split_once('(').filter(|_| !line.starts_with('+'))?;
    let (arguments, result) = rest.rsplit_once(" = ").expect("a result");
    let arguments = arguments.trim_end().strip_suffix(')').expect("the end of the arguments");
    let arguments: Vec<&str> = arguments.split(", ").collect();
    if result.starts_with('-') {
        return None;
    }
    let number = |index: usize| arguments[index].parse::<usize>().expect("a number");
    // The accepted part of the bytes. A call that never ended may have written all of them.
    let bytes = || {
        let mut bytes = unquoted(arguments[1]);
        bytes.truncate(result.parse().unwrap_or(usize::MAX));
        bytes
    };
    let behind = |argument: &str| within(&path_of_descriptor(argument)?, directory);
    Some(match name {
        "openat" if arguments[2].contains("O_CREAT") => {
            Call::Open { file: within(&unquoted(arguments[1]), directory)? }
        }
        "openat" => return None,
        "pwrite64" => Call::Write { file: behind(arguments[0])?, at: Some(number(3)), bytes: bytes() },
        "write" => Call::Write { file: behind(arguments[0])?, at: None, bytes: bytes() },
        "ftruncate" => Call::Truncate { file: behind(arguments[0])?, size: number(1) },
        "fsync" | "fdatasync" => Call::Sync { file: behind(arguments[0])? },
        "unlink" => Call::Remove { file: within(&unquoted(arguments[0]), directory)? },
        "sendto" => Call::Send { bytes: bytes() },
        other => {
            let paths = arguments.iter().filter(|argument| argument.contains('"') || argument.contains('<'));
            let ours = paths.clone().any(|argument| {
                let named = path_of_descriptor(argument).unwrap_or_else(|| unquoted(argument));
                within(&named, directory).is_some_and(|file| !file.is_empty())
            });
            assert!(!ours, "{other} of a file is not understood here: {line}");
            return None;
        }
    })
}

/// The name of a file in the directory, empty for the directory itself.
fn within(path: &[u8], directory: &Path) -> Option<String> {
    let path = Path::new(std::str::from_utf8(path).ok()?);
    Some(path.strip_prefix(directory).ok()?.to_str()?.to_owned())
}

/// The name behind a descriptor: `7<\x2f\x74>`.
fn path_of_descriptor(argument: &str) -> Option<Vec<u8>> {
    Some(hexadecimal(argument.split_once('<')?.1.strip_suffix('>')?))
}

fn unquoted(argument: &str) -> Vec<u8> {
    let inside = argument.strip_prefix('"').and_then(|argument| argument.strip_suffix('"'));
    hexadecimal(inside.unwrap_or_else(|| panic!("not a whole string: {argument:.80}")))
}

fn hexadecimal(text: &str) -> Vec<u8> {
    let digits = text.split("\\x").skip(1);
    digits.map(|digits| u8::from_str_radix(digits, 16).expect("two digits")).collect()
}

mod tests {
    use super::*;

    #[test]
    fn strace_lines_are_parsed() {
        let recorded = tempfile::NamedTempFile::new().expect("a file");
        let lines = [
            r#"7 openat(AT_FDCWD<\x2f>, "\x2f\x64\x2f\x61", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 3<\x2f\x64\x2f\x61>"#,
            r#"7 openat(AT_FDCWD<\x2f>, "\x2f\x64\x2f\x61", O_RDONLY) = 3<\x2f\x64\x2f\x61>"#,
            r#"7 pwrite64(3<\x2f\x64\x2f\x61>, "\x01\x02\x03", 3, 40 <unfinished ...>"#,
            r#"8 sendto(5<\x73\x6f\x63>, "\x41\x42", 2, MSG_NOSIGNAL, NULL, 0) = 2"#,
            r#"7 <... pwrite64 resumed>)            = 2"#,
            r#"7 fsync(3<\x2f\x64\x2f\x61>)            = -1 EIO (Input/output error)"#,
            r#"7 fdatasync(3<\x2f\x64\x2f\x61>)        = 0"#,
            r#"7 write(1<\x2f\x6c\x6f\x67>, "\x01", 1) = 1"#,
            r#"7 fsync(4<\x2f\x64>)  = 0"#,
            r#"7 unlink("\x2f\x64\x2f\x61")    = 0"#,
            r#"8 ftruncate(3<\x2f\x64\x2f\x61>, 3 <unfinished ...>"#,
            r#"7 +++ exited with 0 +++"#,
        ];
        std::fs::write(recorded.path(), lines.join("\n")).expect("written");
        let file = || "a".to_owned();
        let expected = [
            (1, 1, Call::Open { file: file() }),
            (3, 5, Call::Write { file: file(), at: Some(40), bytes: vec![1, 2] }),
            (4, 4, Call::Send { bytes: b"AB".to_vec() }),
            (7, 7, Call::Sync { file: file() }),
            (9, 9, Call::Sync { file: String::new() }),
            (10, 10, Call::Remove { file: file() }),
            (11, usize::MAX, Call::Truncate { file: file(), size: 3 }),
        ];
        let events = read(recorded.path(), Path::new("/d")).into_iter();
        let events: Vec<_> = events.map(|event| (event.began, event.ended, event.call)).collect();
        assert_eq!(events, expected);
    }
}
