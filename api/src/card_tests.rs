//! Tests of `card.rs`.

use super::*;

#[test]
fn card_number_is_found_in_every_notation() {
    for (text, expected) in [
        ("4242424242424242", true),
        ("Visa 4242 4242 4242 4242", true),
        ("4242-4242-4242-4242 (Ada)", true),
        ("4242\u{a0}4242\u{a0}4242\u{a0}4242", true),
        ("378282246310005", true),
        ("no. 6304000000000000, valid", true),
        ("4222222222222", true),
        ("2 cards: 1 4242 4242 4242 4242", true),
        ("\u{ff14}\u{ff12}42424242424242", true),
        ("\u{664}\u{662}\u{664}\u{662} \u{664}\u{662}\u{664}\u{662} 42424242", true),
        ("4\u{200b}24242424242424\u{feff}2", true),
        ("4242/4242/4242/4242", true),
        ("4242_4242, 4242 | 4242", true),
        ("42424242424242421230", true),
        ("12304242424242424242", true),
        ("3782822463100051230", true),
        ("tok_4242424242424242", true),
        ("instr_4242424242424242", true),
        ("00000000-0000-4000-8000-424242424242", true),
        ("00000000-0000-4a00-8000-004242424242", false),
        ("instr_4242424242424242a242424242424242", false),
        ("1764201234567890", false),
        ("17642012345678901234", false),
        ("mock_payment_handler", false),
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
