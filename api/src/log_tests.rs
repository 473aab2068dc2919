//! Tests of the log formats and of lines that are lost.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;

/// An output with a script: each entry is the most bytes that one write accepts, or `None` for a write that fails.
/// After the script, every write accepts all bytes.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<State>>);

type State = (VecDeque<Option<usize>>, Vec<u8>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().expect("not poisoned");
        let count = match state.0.pop_front() {
            None => bytes.len(),
            Some(Some(count)) => count.min(bytes.len()),
            Some(None) => return Err(io::ErrorKind::StorageFull.into()),
        };
        state.1.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_after_a_failed_write_are_written_whole_and_the_failed_ones_are_counted() {
    for (script, lost, whole) in [
        (vec![], 0, 3),
        (vec![None], 1, 2),
        (vec![None, None], 2, 1),
        // The first line is cut in the middle.
        (vec![Some(5), None], 1, 2),
        // The second line is cut too. Its first write ends the first line.
        (vec![Some(5), None, Some(1), Some(7), None], 2, 1),
        (vec![Some(5), None, None], 2, 1),
        // A short write is not a failure.
        (vec![Some(5), Some(7)], 0, 3),
        (vec![Some(0)], 1, 2),
    ] {
        let (output, counter) = (Output::default(), LostLines::default());
        output.0.lock().expect("not poisoned").0 = script.clone().into();
        let drain = Counting { drain: json_lines(output.clone()), lost: counter.clone() };
        let log = Logger::root(Mutex::new(drain).ignore_res(), o!());
        for _ in 0..3 {
            slog::info!(log, "a line"; "error" => "x".repeat(10_000));
        }
        let bytes = output.0.lock().expect("not poisoned").1.clone();
        let text = String::from_utf8(bytes).expect("text");
        let parsed = text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count();
        assert_eq!((counter.count(), parsed), (lost, whole), "{script:?}");
    }
}

#[test]
fn record_in_the_terminal_format_is_one_line_whatever_its_values_hold() {
    for (value, shown) in [
        ("connection refused\n\tIs the server running?\n", r"connection refused\n\tIs the server running?\n"),
        ("a\r\nb", r"a\r\nb"),
        ("\u{1b}[2Jcleared", r"\x1b[2Jcleared"),
        ("caf\u{e9} \u{2014} whole", "caf\u{e9} \u{2014} whole"),
        ("", ""),
    ] {
        let output = Output::default();
        let decorator = OneLine(slog_term::PlainSyncDecorator::new(output.clone()));
        let log = Logger::root(slog_term::FullFormat::new(decorator).build().ignore_res(), o!());
        slog::info!(log, "a\nmessage"; "error" => value, "after" => 1);
        let text = String::from_utf8(output.0.lock().expect("not poisoned").1.clone()).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.ends_with('\n') && text.contains(r"a\nmessage") && text.contains("after: 1"), "{text}");
        assert!(text.contains(&format!("error: {shown}")), "{text}");
    }
}

struct Broken;

impl slog::Value for Broken {
    fn serialize(&self, _: &Record<'_>, _: slog::Key, _: &mut dyn slog::Serializer) -> slog::Result {
        Err(slog::Error::Other)
    }
}

#[test]
fn record_that_cannot_be_formatted_is_counted_and_leaves_nothing_in_the_next_line() {
    let (output, counter) = (Output::default(), LostLines::default());
    let drain = Counting { drain: json_lines(output.clone()), lost: counter.clone() };
    let log = Logger::root(Mutex::new(drain).ignore_res(), o!());
    slog::info!(log, "first"; "broken" => Broken);
    slog::info!(log, "second");
    let text = String::from_utf8(output.0.lock().expect("not poisoned").1.clone()).expect("text");
    let line: serde_json::Value = serde_json::from_str(&text).expect("one whole line");
    assert_eq!((counter.count(), &line["msg"]), (1, &"second".into()));
}
