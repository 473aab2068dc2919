//! One field of a CSV row, and the types that a field can be read as.

use domain::catalog::Sku;
use domain::customer::{Country, CountryCode, Email};
use domain::money::Amount;
use url::Url;

use crate::card::{are_last_digits, holds_card_number};

/// The longest id, in bytes.
const MAX_ID: usize = Sku::MAX_LENGTH;
/// The longest URL, in characters.
const MAX_URL: usize = 2048;
/// The most product ids in one field. Every checkout is compared with each of them.
const MAX_ITEM_IDS: usize = 1000;
/// The most characters of a refused value that a message repeats.
const MAX_SHOWN: usize = 40;

/// One field of a row, with its text trimmed.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub column: &'static str,
    pub text: &'a str,
    /// Whether a message must not repeat the text.
    pub confidential: bool,
}

/// Why a row is refused. The column is empty if the whole row is at fault.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadField {
    pub column: &'static str,
    pub message: String,
}

impl BadField {
    pub fn row(message: impl Into<String>) -> Self {
        Self { column: "", message: message.into() }
    }
}

type Checked<T> = Result<T, BadField>;

impl Field<'_> {
    pub fn bad(&self, message: impl Into<String>) -> BadField {
        BadField { column: self.column, message: message.into() }
    }

    /// The problem that the field is not `wanted`. Repeats the value unless the field is confidential.
    fn is_not(&self, wanted: &str) -> BadField {
        if self.confidential {
            return self.bad(format!("must be {wanted}"));
        }
        self.bad(format!("must be {wanted}, not {}", quoted(self.text)))
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// A text of up to `most` characters. `None` for an empty field.
    pub fn optional_text(&self, most: usize) -> Checked<Option<String>> {
        if self.text.chars().count() > most {
            return Err(self.bad(format!("must not be longer than {most} characters")));
        }
        if self.text.chars().any(char::is_control) {
            return Err(self.bad("must not contain line breaks or other control characters"));
        }
        Ok((!self.is_empty()).then(|| self.text.to_owned()))
    }

    /// A text of 1 to `most` characters.
    pub fn text(&self, most: usize) -> Checked<String> {
        self.optional_text(most)?.ok_or_else(|| self.bad("must not be empty"))
    }

    pub fn id(&self) -> Checked<String> {
        let id = self.text(MAX_ID)?;
        if id.len() > MAX_ID {
            return Err(self.bad(format!("must not be longer than {MAX_ID} bytes")));
        }
        Ok(id)
    }

    pub fn sku(&self) -> Checked<Sku> {
        let id = self.id()?;
        Sku::parse(&id).ok_or_else(|| self.is_not("a product id"))
    }

    /// A whole number from `least` to `most`, written in digits alone.
    pub fn whole(&self, unit: &str, least: i64, most: i64) -> Checked<i64> {
        if self.is_empty() || !self.text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.is_not(&format!("a whole number of {unit}")));
        }
        // A number that does not fit into 64 bits is above every limit.
        let number = self.text.parse().unwrap_or(i64::MAX);
        if !(least..=most).contains(&number) {
            return Err(self.is_not(&format!("between {least} and {most} {unit}")));
        }
        Ok(number)
    }

    /// An amount from `least` to [`Amount::MAX_PRICE`].
    pub fn amount(&self, least: i64) -> Checked<Amount> {
        self.whole("minor units", least, Amount::MAX_PRICE).map(Amount::new)
    }

    /// A percentage above 0 and up to 100 with at most two decimals. Returns hundredths of a percent.
    pub fn basis_points(&self) -> Checked<i64> {
        let bad = || self.is_not("a percentage above 0 and up to 100, with at most two decimals");
        let (units, decimals) = self.text.split_once('.').unwrap_or((self.text, "0"));
        let digits =
            |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(units, 3) || !digits(decimals, 2) {
            return Err(bad());
        }
        let hundredths: i64 = format!("{units}{decimals:0<2}").parse().map_err(|_| bad())?;
        if (1..=10_000).contains(&hundredths) { Ok(hundredths) } else { Err(bad()) }
    }

    /// `true` or `false`. An empty field is `otherwise`.
    pub fn flag(&self, otherwise: bool) -> Checked<bool> {
        match self.text {
            "true" => Ok(true),
            "false" => Ok(false),
            "" => Ok(otherwise),
            _ => Err(self.is_not("true or false")),
        }
    }

    /// The value that belongs to the field's text in `words`. Any other text is refused.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Checked<T> {
        let found = words.iter().find(|(word, _)| *word == self.text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.is_not(&words.join(" or "))
        })
    }

    /// A country: a code of ISO 3166-1 or an English name.
    pub fn country(&self) -> Checked<Country> {
        let code = CountryCode::parse(self.text);
        code.map(Country::Known).ok_or_else(|| self.is_not("a country of ISO 3166-1, such as US"))
    }

    /// An http or https URL, normalized by the WHATWG URL Standard. `None` for an empty field.
    pub fn optional_url(&self) -> Checked<Option<String>> {
        let Some(text) = self.optional_text(MAX_URL)? else { return Ok(None) };
        match Url::parse(&text) {
            Ok(_) if text.contains('"') => Err(self.bad("must not contain a quotation mark: write it as %22")),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Err(self.bad("must have no user information: the address is public"))
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Some(url.into())),
            _ => Err(self.is_not("an http or https address")),
        }
    }

    pub fn email(&self) -> Checked<Email> {
        Email::parse(self.text).ok_or_else(|| self.is_not("an e-mail address"))
    }

    /// The last digits of a card number. The message does not repeat the value, which may be the whole number.
    pub fn last_digits(&self) -> Checked<String> {
        let fits = self.is_empty() || are_last_digits(self.text);
        if fits { Ok(self.text.to_owned()) } else { Err(self.bad("must be two to four digits, or empty")) }
    }

    /// A text of a payment instrument, in which a card number is refused. The message does not repeat the value.
    pub fn card_text(&self, most: usize) -> Checked<Option<String>> {
        if holds_card_number(self.text) {
            return Err(self.bad("must not hold a card number"));
        }
        self.optional_text(most)
    }

    /// An id of a payment instrument, in which a card number is refused. The message does not repeat the value.
    pub fn card_id(&self) -> Checked<String> {
        self.card_text(MAX_ID)?;
        self.id()
    }

    /// A JSON array of product ids. An empty field is an empty list.
    pub fn item_ids(&self) -> Checked<Vec<Sku>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let bad = || self.is_not(r#"empty or a JSON array of product ids such as ["one","two"]"#);
        let ids: Vec<String> = serde_json::from_str(self.text).map_err(|_| bad())?;
        if ids.is_empty() || ids.len() > MAX_ITEM_IDS {
            return Err(self.bad(format!("must be empty or name 1 to {MAX_ITEM_IDS} product ids")));
        }
        ids.iter().map(|id| Sku::parse(id.trim()).ok_or_else(bad)).collect()
    }
}

/// The beginning of `text` in quotation marks, with control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(MAX_SHOWN).collect();
    let cut = if shown.len() < text.len() { "..." } else { "" };
    format!("{shown:?}{cut}")
}

#[cfg(test)]
#[path = "field_tests.rs"]
mod tests;
