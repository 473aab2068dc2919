//! A PaymentIntent: what it knows, and how it is written (<https://docs.stripe.com/api/payment_intents/object>).

use std::collections::BTreeMap;

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Canceled,
    Succeeded,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::Canceled => "canceled",
            Self::Succeeded => "succeeded",
        }
    }
}

/// Amounts are in minor units, times in seconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub id: String,
    pub amount: i64,
    pub currency: String,
    pub status: Status,
    pub capturable: i64,
    pub received: i64,
    pub refunded: i64,
    pub manual_capture: bool,
    /// As the capture was asked for; `automatic` and `automatic_async` are charged alike.
    pub capture_method: &'static str,
    pub payment_method: Option<String>,
    /// A buyer may be sent elsewhere, so that a confirmation has to say where to come back to.
    pub redirects: bool,
    pub automatic_payment_methods: Option<&'static str>,
    pub payment_method_types: Vec<String>,
    pub charge: Option<String>,
    pub last_payment_error: Option<Value>,
    pub next_action: Option<Value>,
    pub metadata: BTreeMap<String, String>,
    pub description: Option<String>,
    pub created: i64,
    pub canceled_at: Option<i64>,
    pub cancellation_reason: Option<&'static str>,
}

impl Intent {
    pub fn object(&self) -> Value {
        let automatic = self.automatic_payment_methods;
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": self.capturable,
            "amount_details": {"tip": {}},
            "amount_received": self.received,
            "application": null,
            "application_fee_amount": null,
            "automatic_payment_methods": automatic.map(|it| json!({"allow_redirects": it, "enabled": true})),
            "canceled_at": self.canceled_at,
            "cancellation_reason": self.cancellation_reason,
            "capture_method": self.capture_method,
            "client_secret": format!("{}_secret_{}", self.id, self.id.trim_start_matches("pi_")),
            "confirmation_method": "automatic",
            "created": self.created,
            "currency": self.currency,
            "customer": null,
            "description": self.description,
            "last_payment_error": self.last_payment_error,
            "latest_charge": self.charge,
            "livemode": false,
            "metadata": self.metadata,
            "next_action": self.next_action,
            "for_caller": null,
            "payment_method": self.payment_method,
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
            "payment_method_types": self.payment_method_types,
            "processing": null,
            "receipt_email": null,
            "review": null,
            "setup_future_usage": null,
            "shipping": null,
            "statement_descriptor": null,
            "statement_descriptor_suffix": null,
            "status": self.status.name(),
            "transfer_data": null,
            "transfer_group": null,
        })
    }

    /// The charge, as events about refunds carry it.
    pub fn charge_object(&self) -> Value {
        json!({
            "id": self.charge,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": self.received,
            "amount_refunded": self.refunded,
            "captured": self.received > 0,
            "created": self.created,
            "currency": self.currency,
            "description": self.description,
            "livemode": false,
            "metadata": self.metadata,
            "paid": true,
            "payment_intent": self.id,
            "payment_method": self.payment_method,
            "refunded": self.received > 0 && self.refunded == self.received,
            "status": "succeeded",
        })
    }

    pub fn refundable(&self) -> i64 {
        self.received - self.refunded
    }
}

/// A refund; ours succeed at once.
#[derive(Clone, Debug)]
pub(crate) struct Refund {
    pub id: String,
    pub amount: i64,
    pub currency: String,
    pub intent: String,
    pub charge: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub reason: Option<&'static str>,
    pub created: i64,
}

impl Refund {
    pub fn object(&self) -> Value {
        json!({
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "balance_transaction": null,
            "charge": self.charge,
            "created": self.created,
            "currency": self.currency,
            "metadata": self.metadata,
            "payment_intent": self.intent,
            "reason": self.reason,
            "receipt_number": null,
            "source_transfer_reversal": null,
            "status": "succeeded",
            "transfer_reversal": null,
        })
    }
}
