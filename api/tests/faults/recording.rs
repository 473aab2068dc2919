//! What a process did to its files, and what it sent, in the order in which it happened: read from the output of
//! strace.
//!
//! strace halts a thread when a call begins and when it has ended, and writes a line each time. So when one thread did
//! something because another had done something, their lines are in that order.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use faultkit::provided::STRACE;

/// Everything by which a file, its name, or a socket can be written to. `-xx` shows every string in hexadecimal digits,
/// so that no comma, quote or bracket comes from one; `-y` shows the name of the file behind a number.
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

/// strace, if it is here and may be used. If not, the test is reported as skipped.
pub fn strace(what: &str) -> Option<String> {
    let strace = STRACE.get()?;
    let tried = Command::new(&strace).args(["-f", "/bin/true"]).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|tried| tried.success()) {
        STRACE.skip(&format!("{what} (no process may be traced here)"));
        return None;
    }
    STRACE.used();
    Some(strace)
}

/// The words before the command whose calls are to be recorded in this file.
pub fn recorder<'a>(strace: &'a str, file: &'a str) -> Vec<&'a str> {
    [&[strace, "-o", file], OPTIONS.as_slice()].concat()
}

/// Files are named within the directory; its own name there is empty.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// The file is made if it is not there.
    Open {
        file: String,
    },
    /// At its end, if no place is given.
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
    /// When: numbers of lines, from 1.
    pub began: usize,
    /// `usize::MAX` when it never did.
    pub ended: usize,
    pub call: Call,
}

/// What happened in this directory and on all sockets, by when it began. Calls that failed are left out.
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
            let (began, begun) = open.remove(thread).expect("it began");
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

/// `None` for what failed, and for what is elsewhere.
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
    // As much as was accepted; of a call that never ended, perhaps all.
    let bytes = || {
        let mut bytes = unquoted(arguments[1]);
        bytes.truncate(result.parse().unwrap_or(usize::MAX));
        bytes
    };
    let behind = |argument: &str| within(&described(argument)?, directory);
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
                let named = described(argument).unwrap_or_else(|| unquoted(argument));
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

/// The name behind a number: `7<\x2f\x74>`.
fn described(argument: &str) -> Option<Vec<u8>> {
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
