//! `/checkout-sessions`: create, read, update, complete and cancel a checkout (checkout, REST binding).

mod request;
mod response;

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use domain::checkout::{
    Answer, COMPLETE, Checkout, CheckoutId, CheckoutRefusal, CompleteCommand, NewCheckout, Outcome, Status,
};
use domain::context::{Deadline, RequestContext};
use domain::fault::{Failure, Fault, FaultKind};
use domain::idempotency::Write;
use domain::outbox::Channel;
use domain::payment::PaymentReconciler;
use tokio::sync::watch;

use request::{CheckoutBody, CompleteBody};

use super::agent::{Agent, KeyedWrite};
use super::envelope::in_band_refusal;
use super::message::refusal_message;
use super::problem::{Refused, checkout_refused, no_such_checkout};
use super::{Shopping, ShoppingSettings};
use crate::http::{Routes, mark_replayed};

pub(super) fn routes(routes: &mut Routes) {
    routes.write(Method::POST, "/checkout-sessions", create);
    routes.get("/checkout-sessions/{id}", read);
    routes.write(Method::PUT, "/checkout-sessions/{id}", update);
    routes.write(Method::POST, "/checkout-sessions/{id}/complete", complete);
    routes.write(Method::POST, "/checkout-sessions/{id}/cancel", cancel);
}

async fn create(shopping: web::Data<Shopping>, write: KeyedWrite) -> Result<HttpResponse, Refused> {
    let parse = |body: &[u8]| request::read(body).and_then(CheckoutBody::parse);
    let command = |ctx: &RequestContext, write: Write, request| {
        let new = NewCheckout::of(request, write.now, shopping.currency, shopping.expires_after);
        shopping.checkouts.create(ctx, write, new)
    };
    let outcome = write.run(&shopping.writes, ("checkout.create", ""), parse, command).await?;
    respond(write.ctx(), &shopping.settings, StatusCode::CREATED, outcome)
}

async fn read(shopping: web::Data<Shopping>, agent: Agent, id: web::Path<String>) -> Result<HttpResponse, Refused> {
    let ctx = agent.0;
    let checkout = shopping.checkouts.read(&ctx, existing(&id)?).await;
    let checkout = checkout.map_err(|failure| checkout_refused(&ctx, failure))?.as_of(shopping.writes.clock.now());
    Ok(HttpResponse::Ok().json(response::checkout(&checkout, &shopping.settings)))
}

async fn update(
    shopping: web::Data<Shopping>,
    id: web::Path<String>,
    write: KeyedWrite,
) -> Result<HttpResponse, Refused> {
    let parse = |body: &[u8]| -> Result<_, Refused> {
        Ok((request::read(body).and_then(CheckoutBody::parse)?, existing(&id)?))
    };
    let command = |ctx: &RequestContext, write, (request, id)| shopping.checkouts.update(ctx, write, id, request);
    let outcome = write.run(&shopping.writes, ("checkout.update", &id), parse, command).await?;
    respond(write.ctx(), &shopping.settings, StatusCode::OK, outcome)
}

async fn cancel(
    shopping: web::Data<Shopping>,
    id: web::Path<String>,
    write: KeyedWrite,
) -> Result<HttpResponse, Refused> {
    let command = |ctx: &RequestContext, write, id| shopping.checkouts.cancel(ctx, write, id);
    let outcome = write.run(&shopping.writes, ("checkout.cancel", &id), |_| existing(&id), command).await?;
    respond(write.ctx(), &shopping.settings, StatusCode::OK, outcome)
}

/// Parses the id of a checkout. A text that cannot be an id is answered like the id of a checkout that does not exist.
fn existing(id: &str) -> Result<CheckoutId, Refused> {
    CheckoutId::parse(id).ok_or_else(no_such_checkout)
}

/// Completes a checkout. If the deadline of the request passes after the point of no return, the response is the
/// checkout in the status `complete_in_progress`, and the command continues.
async fn complete(
    shopping: web::Data<Shopping>,
    id: web::Path<String>,
    write: KeyedWrite,
) -> Result<HttpResponse, Refused> {
    let parse = |body: &[u8]| -> Result<_, Refused> {
        let choice = request::read(body).and_then(|body: CompleteBody| body.parse(&shopping.settings.handlers))?;
        Ok((choice, existing(&id)?))
    };
    let (claim, (choice, id)) = write.read(&shopping.writes, COMPLETE, &id, parse)?;
    let ctx = write.caller.0;

    let (note_begun, begun) = watch::channel(None);
    let on_point_of_no_return =
        Box::new(move |checkout: &Checkout| drop(note_begun.send_replace(Some(checkout.clone()))));
    let (use_case, command) = (shopping.complete.clone(), CompleteCommand { claim, id, choice, on_point_of_no_return });
    let supervisor = shopping.supervisor.clone();
    let work = |ctx| async move {
        let answer = use_case.run(&ctx, command).await;
        // The command wakes the tasks, and not the handler, because the client may have disconnected.
        if answer.as_ref().is_ok_and(|answer| status_of(answer) == Some(Status::Completed)) {
            supervisor.wake(Channel::Webhook.task());
            supervisor.wake(Channel::Mail.task());
        }
        answer
    };
    let finished = tokio::select! {
        // A finished command takes precedence over the deadline.
        biased;
        answer = shopping.writes.commands.run(&ctx, COMPLETE, work) => answer,
        fault = out_of_time(ctx.deadline(), begun.clone()) => Err(fault),
    };
    let answer = match (finished, begun.borrow().clone()) {
        (Ok(answer), _) => answer,
        // After the point of no return, a fault is answered with the checkout as it was at that point.
        (Err(_), Some(checkout)) => Ok(Answer { outcome: Outcome::Checkout(checkout), replayed: false }),
        (Err(fault), None) => Err(fault.into()),
    };
    if answer.as_ref().is_ok_and(|answer| status_of(answer) == Some(Status::CompleteInProgress)) {
        shopping.supervisor.wake(PaymentReconciler::TASK);
    }
    respond(&ctx, &shopping.settings, StatusCode::OK, answer)
}

fn status_of(answer: &Answer) -> Option<Status> {
    match &answer.outcome {
        Outcome::Checkout(checkout) => Some(checkout.status),
        _ => None,
    }
}

/// The time before the deadline that is reserved for the response.
const RESERVE: Duration = Duration::from_millis(50);

/// Waits for the point of no return, and then until shortly before the deadline. Returns the fault for a passed
/// deadline. Never returns if the point of no return is not reached.
async fn out_of_time(deadline: Deadline, mut begun: watch::Receiver<Option<Checkout>>) -> Fault {
    if begun.wait_for(Option::is_some).await.is_err() {
        return std::future::pending().await;
    }
    tokio::time::sleep(deadline.remaining().saturating_sub(RESERVE)).await;
    Fault::new(FaultKind::DeadlineExceeded, COMPLETE)
}

/// Builds the response to the outcome of a write. The same outcome always gives the same body, so a replay has the body
/// of the first response.
fn respond(
    ctx: &RequestContext,
    settings: &ShoppingSettings,
    success: StatusCode,
    outcome: Result<Answer, Failure<CheckoutRefusal>>,
) -> Result<HttpResponse, Refused> {
    let Answer { outcome, replayed } = outcome.map_err(|failure| checkout_refused(ctx, failure))?;
    let mut response = match &outcome {
        Outcome::Checkout(checkout) => HttpResponse::build(success).json(response::checkout(checkout, settings)),
        // In the specification a decline is a business outcome. Platforms expect status 402 for it.
        Outcome::Declined(checkout) => {
            HttpResponse::build(StatusCode::PAYMENT_REQUIRED).json(response::checkout(checkout, settings))
        }
        Outcome::NothingToSell(messages) => in_band_refusal(messages.iter().map(refusal_message).collect()),
    };
    mark_replayed(&mut response, replayed);
    Ok(response)
}
