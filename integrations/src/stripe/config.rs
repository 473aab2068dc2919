//! The configuration of the gateway, and its checks.

use std::time::Duration;

use domain::money::Currency;
use domain::payment::PaymentHandler;
use domain::secret::Secret;

use super::currency::UnsupportedCurrency;
use crate::outbound::{Blocked, Destination};

#[derive(Clone, Debug)]
pub struct StripeConfig {
    /// The address of the API, such as `https://api.stripe.com`. http is allowed only to this machine.
    pub base_url: String,
    pub secret_key: Secret,
    /// The API version that each call asks for, in place of the default version of the account.
    pub api_version: String,
    pub capture: CaptureMethod,
    /// The payment handler in the shop's profile.
    pub handler: PaymentHandler,
    /// The currencies of the shop.
    pub currencies: Vec<Currency>,
    /// The longest time for one attempt of a call, including the whole response.
    pub attempt_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum CaptureMethod {
    /// The confirmation charges the payment.
    Automatic,
    /// The confirmation authorizes the payment, and the capture charges it.
    Manual,
}

/// What is wrong with a [`StripeConfig`].
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

/// Checks that a secret key or an API version can be sent in a header.
pub fn check_header(text: &str) -> Result<(), StripeConfigError> {
    let is_visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible { Ok(()) } else { Err(StripeConfigError::Header) }
}
