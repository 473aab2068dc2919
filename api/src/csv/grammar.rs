//! Checks the grammar of a CSV file (RFC 4180). The csv reader is lenient and would misread a malformed file.
//!
//! One deviation is accepted: in a field that does not begin with a quotation mark, a quotation mark is an ordinary
//! character.

use std::ops::Range;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    FieldStart,
    Plain,
    Quoted,
    AfterQuote,
}

/// Returns the line and the text of the first mistake. `None` if there is no mistake.
pub(super) fn mistake(bytes: &[u8]) -> Option<(u64, String)> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    // The header is the first line that is not blank.
    let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let text = bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let start = bytes[..text].iter().rposition(is_break).map_or(0, |end| end + 1);
    let header = bytes[start..].split(is_break).next()?;
    for (separator, name) in [(b';', "semicolons"), (b'\t', "tabs")] {
        if header.contains(&separator) && !header.contains(&b',') {
            let message = format!("the columns are separated by {name}: save the file with commas between them");
            return Some((1 + line_ends(bytes, 0..start), message));
        }
    }
    let (mut place, mut line, mut opened) = (Place::FieldStart, 1, 1);
    for (index, byte) in bytes.iter().enumerate() {
        place = match (place, byte) {
            (Place::Quoted, b'"') => Place::AfterQuote,
            (Place::Quoted, _) => Place::Quoted,
            (Place::AfterQuote, b'"') => Place::Quoted,
            (Place::FieldStart, b'"') => {
                opened = line;
                Place::Quoted
            }
            (_, b',' | b'\r' | b'\n') => Place::FieldStart,
            (Place::AfterQuote, _) => {
                return Some((
                    line,
                    "there is text after a closing quotation mark; a quotation mark inside a field must be doubled"
                        .into(),
                ));
            }
            (Place::FieldStart | Place::Plain, _) => Place::Plain,
        };
        line += line_ends(bytes, index..index + 1);
    }
    (place == Place::Quoted).then(|| (opened, "a quotation mark that opens here is not closed".to_owned()))
}

/// The number of line ends in a range of `bytes`. CRLF ends one line, and so does CR alone.
pub(super) fn line_ends(bytes: &[u8], range: Range<usize>) -> u64 {
    let ends_line = |index: &usize| match bytes.get(*index) {
        Some(b'\n') => true,
        Some(b'\r') => bytes.get(index + 1) != Some(&b'\n'),
        _ => false,
    };
    range.filter(ends_line).map(|_| 1).sum()
}

#[cfg(test)]
#[path = "grammar_tests.rs"]
mod tests;
