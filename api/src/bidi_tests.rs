//! Tests of `bidi.rs`.

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
