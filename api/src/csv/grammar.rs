//! Checks the grammar of a CSV file (RFC 4180). The csv reader is lenient and would misread a malformed file.
//!
//! One deviation is accepted: in a field that does not begin with a quotation mark, a quotation mark is an ordinary
//! character.

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
    let header = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.trim_ascii().is_empty())?;
    for (separator, name) in [(b';', "semicolons"), (b'\t', "tabs")] {
        if header.contains(&separator) && !header.contains(&b',') {
            let line = 1;
            return Some((
                line,
                format!("the columns are separated by {name}: save the file with commas between them"),
            ));
        }
    }
    let (mut place, mut line, mut opened) = (Place::FieldStart, 1, 1);
    for (index, byte) in bytes.iter().enumerate() {
        let ends_line = *byte == b'\n' || (*byte == b'\r' && bytes.get(index + 1) != Some(&b'\n'));
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
        line += u64::from(ends_line);
    }
    (place == Place::Quoted).then(|| (opened, "a quotation mark that opens here is not closed".to_owned()))
}

#[cfg(test)]
#[path = "grammar_tests.rs"]
mod tests;
