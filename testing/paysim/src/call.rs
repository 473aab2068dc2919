//! A call, with parameters as Stripe takes them: `a=1&metadata[b]=2`, in a body or in a query.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::error::ApiError;
use crate::faults::Operation;

/// Stripe takes at most eight digits.
const MAX_AMOUNT: i64 = 99_999_999;

pub(crate) struct Call {
    pub operation: Operation,
    /// Empty if the path has none.
    pub id: String,
    pub parameters: Parameters,
    /// The idempotency key of a POST.
    pub key: Option<String>,
    /// Path and parameters, as the idempotency key is bound to them.
    pub fingerprint: String,
}

/// A new id in Stripe's form, such as `pi_...`.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::new_v4().simple())
}

/// Each operation takes its parameters out by name; [`finish`](Self::finish) refuses the rest. The order in which they
/// were sent makes no difference.
#[derive(Clone, Debug)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub fn parse(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// An empty value means that the parameter is not set.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    pub fn required(&mut self, name: &str) -> Result<String, ApiError> {
        self.take(name).ok_or_else(|| missing(name))
    }

    /// A number from 1 to `most`.
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

    /// In minor units.
    pub fn amount(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        self.integer(name, MAX_AMOUNT)
    }

    /// The entries `metadata[key]=value`.
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
