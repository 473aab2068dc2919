//! One call of the API. Its parameters have Stripe's format, `a=1&metadata[b]=2`, in the body or in the query.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::error::ApiError;
use crate::faults::Operation;

/// The highest amount. Stripe accepts amounts of at most eight digits.
const MAX_AMOUNT: i64 = 99_999_999;

pub(crate) struct Call {
    pub operation: Operation,
    /// The id in the path. Empty if the path has no id.
    pub id: String,
    pub parameters: Parameters,
    /// The idempotency key. `None` for a GET, and for a POST without a key.
    pub key: Option<String>,
    /// The path and the parameters. Calls with the same idempotency key must have the same fingerprint.
    pub fingerprint: String,
}

/// A new id in Stripe's form, such as `pi_...`.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::new_v4().simple())
}

/// The parameters of a call by name, so their order makes no difference. Each operation takes out the parameters that
/// it knows. Then [`finish`](Self::finish) returns an error if a parameter is left.
#[derive(Clone, Debug)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub fn parse(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Takes out one parameter. Returns `None` if the parameter is missing or its value is empty.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    pub fn required(&mut self, name: &str) -> Result<String, ApiError> {
        self.take(name).ok_or_else(|| missing(name))
    }

    /// Takes out a whole number from 1 to `most`. Returns an error if the value is anything else.
    pub fn integer(&mut self, name: &str, most: i64) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if number > most => {
                Err(ApiError::parameter("amount_too_large", name, format!("{name} must be no more than {most}.")))
            }
            Ok(number) if number >= 1 => Ok(Some(number)),
            _ => Err(ApiError::parameter("parameter_invalid_integer", name, format!("Invalid integer: {text}"))),
        }
    }

    /// Takes out an amount in minor units.
    pub fn amount(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        self.integer(name, MAX_AMOUNT)
    }

    /// Takes out all parameters `metadata[key]=value`. Returns each value by its key.
    pub fn metadata(&mut self) -> BTreeMap<String, String> {
        let key = |name: &str| Some(name.strip_prefix("metadata[")?.strip_suffix(']')?.to_owned());
        let taken = self.0.extract_if(.., |name, _| key(name).is_some());
        taken.filter_map(|(name, value)| Some((key(&name)?, value))).collect()
    }

    pub fn finish(self) -> Result<(), ApiError> {
        let Some(name) = self.0.into_keys().next() else { return Ok(()) };
        Err(ApiError::parameter("parameter_unknown", &name, format!("Received unknown parameter: {name}")))
    }
}

pub(crate) fn missing(name: &str) -> ApiError {
    ApiError::parameter("parameter_missing", name, format!("Missing required param: {name}."))
}
