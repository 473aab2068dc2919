//! Tests of `import.rs`.

use super::*;

#[test]
fn limit_of_the_shop_is_explained_with_the_file_that_exceeds_it() {
    for (what, file) in [
        ("shipping rates", "shipping_rates.csv: "),
        ("shipping rates of one country", "shipping_rates.csv: "),
        ("free-shipping promotions", "promotions.csv: "),
    ] {
        let text = too_many(what, 500);
        assert!(text.starts_with(file) && text.contains(what) && text.contains("leave some out"), "{text}");
    }
}
