//! Messages of a response: `types/message.json`, with an RFC 9535 path.

use domain::checkout::{Message, Subject};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct MessageDto {
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'static str,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

/// A message of a checkout. Its path points into the checkout, so an item that was left out has no path.
pub(super) fn message(message: &Message) -> MessageDto {
    rendered(message, message.subject.filter(|subject| !matches!(subject, Subject::RequestedLine(_))))
}

/// A message of a response without a resource. Its path points into the request.
pub(super) fn refusal_message(message: &Message) -> MessageDto {
    rendered(message, message.subject)
}

fn rendered(message: &Message, subject: Option<Subject>) -> MessageDto {
    let is_error = message.severity.blocks();
    MessageDto {
        kind: if is_error { "error" } else { "warning" },
        code: message.code.into_str(),
        content: message.content.clone(),
        severity: is_error.then(|| message.severity.into_str()),
        path: subject.map(path),
    }
}

/// The message for a member that exceeds a limit of the shop. `at` is the path of the member in the request.
pub(super) fn limit_exceeded(at: &str, content: String) -> MessageDto {
    let (severity, path) = (Some("unrecoverable"), Some(format!("$.{at}")));
    MessageDto { kind: "error", code: "limit_exceeded", content, severity, path }
}

fn path(subject: Subject) -> String {
    match subject {
        Subject::Line(index) | Subject::RequestedLine(index) => format!("$.line_items[{index}]"),
        Subject::Fulfillment => "$.fulfillment".to_owned(),
        Subject::Destination => "$.fulfillment.methods[0].selected_destination_id".to_owned(),
        Subject::Country(index) => format!("$.fulfillment.methods[0].destinations[{index}].address_country"),
        Subject::DeliveryOption => "$.fulfillment.methods[0].groups[0].selected_option_id".to_owned(),
        Subject::Code(index) => format!("$.discounts.codes[{index}]"),
        Subject::Eligibility(index) => format!("$.context.eligibility[{index}]"),
        Subject::Payment => "$.payment.instruments[0]".to_owned(),
    }
}
