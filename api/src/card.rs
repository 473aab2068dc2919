//! What may be shown of a card, by import and by the protocol alike.

/// The end of a card's number: two to four digits.
pub fn are_last_digits(text: &str) -> bool {
    (2..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether 12 to 19 digits, perhaps in groups with a blank, a hyphen or a dot between them, pass the check of card
/// numbers (Luhn, ISO/IEC 7812-1). A shop that keeps one has to be protected like a bank.
pub fn holds_card_number(text: &str) -> bool {
    let is_between = |character: char| matches!(character, ' ' | '-' | '\u{a0}' | '.');
    let mut runs = text.split(|character: char| !character.is_ascii_digit() && !is_between(character));
    runs.any(|run| {
        let groups: Vec<&str> = run.split(is_between).filter(|group| !group.is_empty()).collect();
        (0..groups.len()).any(|first| {
            (first + 1..=groups.len()).map(|end| groups[first..end].concat()).any(|digits| {
                let digits: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(10)).collect();
                (12..=19).contains(&digits.len()) && passes_luhn(&digits)
            })
        })
    })
}

fn passes_luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_found_however_they_are_written() {
        for (text, expected) in [
            ("4242424242424242", true),
            ("Visa 4242 4242 4242 4242", true),
            ("4242-4242-4242-4242 (Ada)", true),
            ("4242\u{a0}4242\u{a0}4242\u{a0}4242", true),
            ("378282246310005", true),
            ("no. 6304000000000000, valid", true),
            ("4222222222222", true),
            ("2 cards: 1 4242 4242 4242 4242", true),
            ("Visa ending in 4242", false),
            ("4242", false),
            ("4242424242424241", false),
            ("0000 0000 0000 0000", false),
            ("", false),
            ("Expires 12/2030", false),
        ] {
            assert_eq!(holds_card_number(text), expected, "{text:?}");
        }
    }

    #[test]
    fn last_digits_are_two_to_four_digits() {
        for (text, expected) in [
            ("42", true),
            ("4242", true),
            ("", false),
            ("4", false),
            ("42424", false),
            ("x242", false),
            ("\u{664}2", false),
        ] {
            assert_eq!(are_last_digits(text), expected, "{text:?}");
        }
    }
}
