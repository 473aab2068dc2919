//! Encloses texts in Unicode isolate characters, for plain-text email messages. Right-to-left characters in such a text
//! then do not reorder a price or an address next to the text (Unicode Standard Annex 9). HTML templates use `<bdi>`
//! instead.

use std::borrow::Cow;

/// Whether the character controls the direction of text: an embedding, an override or an isolate.
fn is_control(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Removes direction controls from the text. Encloses the text in isolate characters unless it is ASCII, because other
/// text may run from right to left.
pub fn isolated(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let plain: String = text.chars().filter(|character| !is_control(*character)).collect();
    Cow::Owned(format!("\u{2068}{plain}\u{2069}"))
}

#[cfg(test)]
#[path = "bidi_tests.rs"]
mod tests;
