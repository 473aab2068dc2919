//! The configuration of the gateway, and its checks.

use std::time::Duration;

use domain::money::Currency;
use domain::payment::PaymentHandler;
use domain::secret::Secret;

use super::currency::UnsupportedCurrency;
use crate::outbound::{Blocked, Destination};

#[derive(Clone, Debug)]
pub struct StripeConfig {
    /// `https://api.stripe.com`; http on this machine only.
    pub base_url: String,
    pub secret_key: Secret,
    /// The API version of each call, whatever the account is set to.
    pub api_version: String,
    pub capture: CaptureMethod,
    /// The payment handler in the shop's profile.
    pub handler: PaymentHandler,
    /// The currencies of the shop.
    pub currencies: Vec<Currency>,
    /// For one attempt of a call, with the whole response.
    pub attempt_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum CaptureMethod {
    /// Charged when confirmed.
    Automatic,
    /// Authorized when confirmed, charged when captured.
    Manual,
}

/// Why the shop cannot use this gateway.
#[derive(Debug, thiserror::Error)]
pub enum StripeConfigError {
    #[error(transparent)]
    Address(#[from] Blocked),
    #[error("is empty, or has characters that a header cannot contain")]
    Header,
    #[error(transparent)]
    Currency(#[from] UnsupportedCurrency),
}

/// Checks the address of the gateway.
pub fn check_address(base_url: &str) -> Result<(), StripeConfigError> {
    Ok(Destination::trusted(base_url).map(drop)?)
}

/// Checks a secret key or a version, which are sent in headers.
pub fn check_header(text: &str) -> Result<(), StripeConfigError> {
    let is_visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible { Ok(()) } else { Err(StripeConfigError::Header) }
}
