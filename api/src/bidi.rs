//! Isolates text of others in plain text, so that right-to-left text does not reverse a price or an address next to it
//! (Unicode Standard Annex 9). HTML templates use `<bdi>` instead.

use std::borrow::Cow;

/// Whether the character is an embedding, an override or an isolate.
fn is_control(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text without direction controls, isolated if it may run from right to left.
pub fn isolated(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let plain: String = text.chars().filter(|character| !is_control(*character)).collect();
    Cow::Owned(format!("\u{2068}{plain}\u{2069}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direction_of_a_text_does_not_affect_the_text_after_it() {
        for (text, expected) in [
            ("Milk chocolate", "Milk chocolate"),
            ("\u{202e}etalocohc", "\u{2068}etalocohc\u{2069}"),
            ("a\u{2069}\u{202e}b", "\u{2068}ab\u{2069}"),
            ("\u{5e9}\u{5dc}", "\u{2068}\u{5e9}\u{5dc}\u{2069}"),
        ] {
            assert_eq!(isolated(text), expected);
        }
    }

    #[test]
    fn templates_isolate_every_text_of_others() {
        for (name, template, texts) in [
            (
                "receipt",
                include_str!("../templates/receipt.html"),
                &["{{ line.title }}", "{{ note }}", "{{ total.0 }}", "{{ delivery }}"][..],
            ),
            (
                "confirmation",
                include_str!("../templates/confirmation.html"),
                &["{{ line.0 }}", "{{ total.0 }}", "{{ delivery }}"],
            ),
        ] {
            for text in texts {
                assert!(template.contains(text), "{name}: {text}");
                let isolated = format!("<bdi>{text}</bdi>");
                assert_eq!(template.matches(text).count(), template.matches(&isolated).count(), "{name}: {text}");
            }
        }
        let plain = include_str!("../templates/confirmation.txt");
        for text in ["line.0", "total.0", "delivery"] {
            assert!(plain.contains(&format!("{{{{ crate::bidi::isolated({text}) }}}}")), "{text}");
        }
    }
}
