//! Checks of the characters in texts that come from outside.

/// Whether `text` is `length` hexadecimal digits in lower case.
pub(crate) fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether `text` is 1 to `longest` visible ASCII characters.
pub(crate) fn is_visible_ascii(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}
