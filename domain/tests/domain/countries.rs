//! Countries: the spellings that are parsed.

use domain::customer::{Country, CountryCode};

fn code(text: &str) -> Option<&'static str> {
    CountryCode::parse(text).map(CountryCode::as_str)
}

#[test]
fn each_spelling_of_a_country_gives_one_code() {
    for (texts, expected) in [
        (
            &["US", "us", " us ", "USA", "usa", "U.S.A.", "United States", "UNITED STATES OF AMERICA", "America"][..],
            "US",
        ),
        (&["GB", "gbr", "UK", "uk", "United Kingdom", "Great Britain"], "GB"),
        (&["DE", "DEU", "Germany", "germany"], "DE"),
        (&["TR", "Turkey", "Türkiye"], "TR"),
        (&["CZ", "CZE", "Czechia", "Czech Republic"], "CZ"),
        (&["KR", "South Korea"], "KR"),
        (&["NZ", "New Zealand", "new_zealand", "New-Zealand"], "NZ"),
    ] {
        for text in texts {
            assert_eq!(code(text), Some(expected), "{text:?}");
        }
    }
}

#[test]
fn text_that_names_no_country_has_no_code() {
    for text in ["", " ", "XX", "ZZZ", "U", "840", "Atlantis", "United", "U S of A", "🇺🇸", "ÄÖ", &"x".repeat(10_000)]
    {
        assert_eq!(code(text), None, "{text:?}");
        assert_eq!(Country::from(text).as_str(), text);
        assert_eq!(Country::from(text).to_string(), text);
        assert_eq!(Country::from(text).code(), None);
    }
    assert_eq!(Country::given(Some("usa".to_owned())).as_ref().map(Country::as_str), Some("US"));
    assert_eq!(Country::given(None), None);
    for blank in ["", " ", "\t"] {
        assert_eq!(Country::given(Some(blank.to_owned())), None);
    }
}

#[test]
fn codes_and_long_names_of_all_countries_are_parsed() {
    for country in celes::Country::get_countries() {
        for text in [country.alpha2, country.alpha3, country.long_name] {
            assert_eq!(code(text), Some(country.alpha2), "{text:?}");
            assert_eq!(code(&text.to_lowercase()), Some(country.alpha2), "{text:?}");
        }
    }
}

#[test]
fn country_is_stored_as_text_and_parsed_again() {
    for (stored, read) in [("\"usa\"", "\"US\""), ("\"US\"", "\"US\""), ("\"Narnia\"", "\"Narnia\"")] {
        let country: Country = serde_json::from_str(stored).expect("text");
        assert_eq!(serde_json::to_string(&country).expect("text"), read);
    }
}
