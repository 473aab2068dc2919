//! Maps every refusal to its response. The matches have no catch-all, so a new refusal does not compile until it has a
//! response here.
//!
//! A refusal that is a commerce outcome is answered in-band with 200 (checkout, "Error Handling"). A problem in this
//! file is about the request itself.

use actix_web::HttpResponse;
use actix_web::error::InternalError;
use domain::checkout::{CheckoutRefusal, Message, MessageCode, Severity, Status};
use domain::context::RequestContext;
use domain::fault::Failure;

use super::envelope::in_band_refusal;
use super::message::{MessageDto, refusal_message};
use crate::http::{Problem, fault_problem, key_refused};

/// The response to a request that is refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// A response with an error status.
    Problem(Problem),
    /// A response 200 with messages and without a resource.
    InBand(Vec<MessageDto>),
}

impl Refused {
    /// The response if the resource does not exist or the caller may not read it.
    pub fn not_found(content: &str) -> Self {
        let message = Message::new(Severity::Unrecoverable, MessageCode::NotFound, content, None);
        Self::InBand(vec![refusal_message(&message)])
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Refused> for actix_web::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Problem(problem) => problem.into(),
            Refused::InBand(messages) => {
                let response: HttpResponse = in_band_refusal(messages);
                InternalError::from_response("refused in-band", response).into()
            }
        }
    }
}

/// The response to a failed operation on a checkout.
pub(super) fn checkout_refused(ctx: &RequestContext, failure: Failure<CheckoutRefusal>) -> Refused {
    let problem = match failure {
        Failure::Fault(fault) => fault_problem(ctx, &fault),
        Failure::Refused(refusal) => match refusal {
            CheckoutRefusal::NotFound => return no_such_checkout(),
            CheckoutRefusal::InProgress => {
                Problem::conflict("checkout_in_progress", "The checkout is being completed").retry_after(1)
            }
            CheckoutRefusal::NotModifiable(status) => {
                let word = if status == Status::Completed { "completed" } else { "canceled" };
                Problem::conflict("checkout_not_modifiable", format!("The checkout is {word}"))
            }
            CheckoutRefusal::NotReady(message) => Problem::bad_request("checkout_not_ready", message.content),
            CheckoutRefusal::UnknownHandler => {
                Problem::bad_request("unknown_payment_handler", "The instrument names a handler that is not offered")
            }
            CheckoutRefusal::UnknownInstrumentType => {
                let content = "The handler does not offer the type of the instrument; see available_instruments";
                Problem::bad_request("unknown_payment_instrument_type", content)
            }
            CheckoutRefusal::InstrumentMissing => {
                Problem::bad_request("invalid_request", "payment.instruments: must not be empty")
            }
            CheckoutRefusal::UnknownInstrument => {
                let content = "The instrument has no credential, and the shop has none for it";
                Problem::bad_request("unknown_payment_instrument", content)
            }
            CheckoutRefusal::Key(refusal) => key_refused(refusal),
        },
    };
    problem.into()
}

pub(super) fn no_such_checkout() -> Refused {
    Refused::not_found("There is no such checkout")
}
