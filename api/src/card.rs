//! Finds card numbers. The import and the shopping API refuse a text that contains a card number, and accept only the
//! last digits of one.

use uuid::Uuid;

/// Whether the text is two to four digits.
pub fn are_last_digits(text: &str) -> bool {
    (2..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the text contains a card number: 12 to 19 digits that pass the Luhn check (ISO/IEC 7812-1).
///
/// Digits of every script count. A letter ends a number; all other characters between digits are ignored. In a group of
/// more than 16 digits, the first and the last 15 and 16 digits are checked too, because an expiry date may follow the
/// number. A uuid is no card number. Of other numbers with 12 to 19 digits, one in ten passes the check by chance.
pub fn holds_card_number(text: &str) -> bool {
    if is_uuid(text) {
        return false;
    }
    let text: String = text.chars().map(in_ascii).collect();
    text.split(char::is_alphabetic).any(|run| {
        let groups: Vec<&str> = run.split(|other: char| !other.is_ascii_digit()).filter(|it| !it.is_empty()).collect();
        let joined = (0..groups.len()).any(|first| {
            let mut digits = String::new();
            groups[first..].iter().any(|group| {
                digits.push_str(group);
                is_card_number(&digits)
            })
        });
        joined || groups.iter().any(|group| has_card_number_at_an_end(group))
    })
}

/// Whether the text is a uuid with at least one letter, with or without a prefix that ends in `_`.
fn is_uuid(text: &str) -> bool {
    let last = text.rsplit('_').next().unwrap_or_default();
    last.contains(char::is_alphabetic) && Uuid::try_parse(last).is_ok()
}

fn is_card_number(digits: &str) -> bool {
    (12..=19).contains(&digits.len()) && passes_luhn(digits)
}

/// Whether a group of more than 16 digits begins or ends with a card number of a common brand: 15 or 16 digits, of
/// which the first is 2 to 6. Other lengths and first digits would match many numbers that are no card numbers.
fn has_card_number_at_an_end(group: &str) -> bool {
    let is_one = |digits: &str| digits.starts_with(['2', '3', '4', '5', '6']) && passes_luhn(digits);
    group.len() > 16 && [15, 16].into_iter().any(|most| is_one(&group[..most]) || is_one(&group[group.len() - most..]))
}

/// The digit zero of each script, sorted by code point. The nine code points after a zero are the digits 1 to 9.
const ZEROS: &[u32] = &[
    0x0030, 0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0de6,
    0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
    0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0,
    0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50,
    0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950,
    0x1fbf0,
];

/// Converts a decimal digit of any script to the ASCII digit. Returns other characters unchanged.
fn in_ascii(character: char) -> char {
    let code = u32::from(character);
    let zero = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1).map_or(0, |before| ZEROS[before]);
    char::from_digit(code - zero, 10).unwrap_or(character)
}

fn passes_luhn(digits: &str) -> bool {
    let digits = digits.chars().filter_map(|digit| digit.to_digit(10));
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10) && sum > 0
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
