//! A new checkout, and the status changes of a checkout, as a table of all statuses and as a random walk.

use std::time::Duration;

use domain::checkout::{
    Checkout, CheckoutRefusal, CheckoutRequest, Details, Message, MessageCode, NewCheckout, OrderLink, Severity,
    Status, Subject,
};
use domain::clock::Timestamp;
use domain::id::PageToken;
use domain::money::Currency;
use domain::order::OrderId;
use domain::payment::AttemptId;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::kit::{self, NOW, instrument, seconds_from_now};

const ALL: [Status; 6] = [
    Status::Incomplete,
    Status::RequiresEscalation,
    Status::ReadyForComplete,
    Status::CompleteInProgress,
    Status::Completed,
    Status::Canceled,
];

fn details(messages: Vec<Message>) -> Details {
    kit::details(100, messages)
}

fn checkout(status: Status, messages: Vec<Message>) -> Checkout {
    Checkout { expires_at: NOW + Duration::from_secs(60), ..kit::checkout(status, details(messages)) }
}

fn message(severity: Severity, code: MessageCode, subject: Option<Subject>) -> Message {
    Message::new(severity, code, "text", subject)
}

fn codes(checkout: &Checkout) -> Vec<MessageCode> {
    checkout.details.messages.iter().map(|message| message.code).collect()
}

#[test]
fn new_checkout_has_its_own_id_and_page_and_expires() {
    let new = || NewCheckout::of(CheckoutRequest::default(), NOW, Currency::USD, Duration::from_secs(60));
    let (one, other) = (new(), new());
    assert_eq!((one.currency, seconds_from_now(one.expires_at)), (Currency::USD, 60));
    assert!(one.id != other.id && one.page != other.page);
}

#[test]
fn each_status_allows_its_changes() {
    use Status::{Canceled, CompleteInProgress, Completed, Incomplete, ReadyForComplete, RequiresEscalation};
    for (status, is_open, is_final, may_change) in [
        (Incomplete, true, false, Ok(())),
        (RequiresEscalation, true, false, Ok(())),
        (ReadyForComplete, true, false, Ok(())),
        (CompleteInProgress, false, false, Err(CheckoutRefusal::InProgress)),
        (Completed, false, true, Err(CheckoutRefusal::NotModifiable(Completed))),
        (Canceled, false, true, Err(CheckoutRefusal::NotModifiable(Canceled))),
    ] {
        let checkout = checkout(status, Vec::new());
        assert_eq!((status.is_open(), status.is_final()), (is_open, is_final), "{status:?}");
        assert_eq!(checkout.must_be_open(), may_change, "{status:?}");
        // The checkout expires exactly at `expires_at`, and only while it is open.
        let (before, at) = (checkout.expires_at - Duration::from_millis(1), checkout.expires_at);
        assert!(!checkout.has_expired(before), "{status:?}");
        assert_eq!(checkout.has_expired(at), is_open, "{status:?}");
        assert_eq!(checkout.clone().as_of(before).status, status);
        assert_eq!(checkout.as_of(at).status, if is_open { Canceled } else { status });
    }
}

#[test]
fn completion_is_refused_if_the_platform_must_provide_data() {
    use MessageCode as M;
    use Severity::{Recoverable, RequiresBuyerInput, RequiresBuyerReview, Unrecoverable, Warning};
    for (severity, code, subject, allowed) in [
        (Recoverable, M::OutOfStock, Some(Subject::Line(0)), true),
        (Recoverable, M::OutOfStock, Some(Subject::RequestedLine(0)), false),
        (Recoverable, M::OutOfStock, None, false),
        (Recoverable, M::ItemUnavailable, Some(Subject::RequestedLine(0)), false),
        (Recoverable, M::Missing, Some(Subject::Fulfillment), false),
        (Recoverable, M::Missing, Some(Subject::Line(0)), false),
        (Recoverable, M::UnknownCountry, Some(Subject::Country(0)), false),
        (Recoverable, M::AddressUndeliverable, Some(Subject::Destination), false),
        (Recoverable, M::PaymentFailed, Some(Subject::Payment), true),
        (RequiresBuyerInput, M::BuyerAuthentication, Some(Subject::Payment), true),
        (RequiresBuyerInput, M::Missing, None, false),
        (RequiresBuyerReview, M::Missing, None, false),
        (Unrecoverable, M::NotFound, None, false),
        (Warning, M::Missing, None, true),
        (Warning, M::PaymentNotAttempted, Some(Subject::Payment), true),
        (Warning, M::DiscountCodeInvalid, Some(Subject::Code(0)), true),
    ] {
        let blocking = message(severity, code, subject);
        let settles_itself = message(Recoverable, M::PaymentFailed, Some(Subject::Payment));
        for messages in [vec![blocking.clone()], vec![settles_itself, blocking.clone()]] {
            let judged = checkout(Status::Incomplete, messages).must_be_complete();
            let expected = if allowed { Ok(()) } else { Err(CheckoutRefusal::NotReady(blocking.clone())) };
            assert_eq!(judged, expected, "{severity:?} {code:?} {subject:?}");
        }
    }
}

#[test]
fn severity_says_who_must_act() {
    for (severity, blocks, of_buyer) in [
        (Severity::Recoverable, true, false),
        (Severity::RequiresBuyerInput, true, true),
        (Severity::RequiresBuyerReview, true, true),
        (Severity::Unrecoverable, true, false),
        (Severity::Warning, false, false),
    ] {
        assert_eq!((severity.blocks(), severity.needs_the_buyer()), (blocks, of_buyer), "{severity:?}");
    }
}

#[test]
fn each_status_change_keeps_only_valid_messages() {
    use MessageCode as M;
    use Severity::{Recoverable, RequiresBuyerInput, Warning};
    let later = NOW + Duration::from_secs(1);
    let note = || message(Warning, M::DiscountCodeInvalid, Some(Subject::Code(0)));
    let short = || message(Recoverable, M::OutOfStock, Some(Subject::Line(0)));
    let failed = || message(Recoverable, M::PaymentFailed, Some(Subject::Payment));
    let retry = || message(Warning, M::PaymentNotAttempted, Some(Subject::Payment));
    let bank = || message(RequiresBuyerInput, M::BuyerAuthentication, Some(Subject::Payment));
    let full = || checkout(Status::Incomplete, vec![note(), short(), failed(), retry(), bank()]);

    let (attempt, card) = (AttemptId::generate(NOW), instrument());
    let paying = full().completing(attempt.clone(), Some(card.clone()), later);
    assert_eq!((paying.status, &paying.attempt), (Status::CompleteInProgress, &Some(attempt.clone())));
    assert_eq!((codes(&paying), &paying.details.instruments), (vec![M::DiscountCodeInvalid], &vec![card]));
    assert_eq!((paying.version, paying.updated_at), (2, later));
    assert_eq!(full().completing(attempt, None, later).details.instruments, []);

    let refused = paying.clone().payment_refused("no", later);
    assert_eq!((refused.status, &refused.attempt), (Status::ReadyForComplete, &None));
    assert_eq!(codes(&refused), [M::DiscountCodeInvalid, M::PaymentFailed]);
    let last = &refused.details.messages[1];
    assert_eq!((last.severity, last.content.as_str(), last.subject), (Recoverable, "no", Some(Subject::Payment)));
    assert_eq!(refused.version, 3);

    let free = paying.clone().payment_not_attempted(later);
    assert_eq!((free.status, &free.attempt), (Status::ReadyForComplete, &None));
    assert_eq!(codes(&free), [M::DiscountCodeInvalid, M::PaymentNotAttempted]);
    assert_eq!(free.details.messages[1].severity, Warning);

    let asked = paying.clone().buyer_required(later);
    assert_eq!((asked.status, &asked.attempt), (Status::RequiresEscalation, &None));
    assert_eq!(codes(&asked), [M::DiscountCodeInvalid, M::BuyerAuthentication]);
    assert_eq!(asked.details.messages[1].severity, RequiresBuyerInput);
    // Messages about an earlier payment are removed.
    assert_eq!(codes(&asked.payment_refused("no", later)), [M::DiscountCodeInvalid, M::PaymentFailed]);

    let link = OrderLink { id: OrderId::generate(NOW), page: PageToken::generate(NOW) };
    let done = paying.clone().completed(link.clone(), later);
    assert_eq!((done.status, &done.order, &done.attempt), (Status::Completed, &Some(link), &paying.attempt));
    assert_eq!((done.version, done.updated_at), (3, later));

    let short_again = full().short_of_stock(vec![short(), short()], later);
    assert_eq!(codes(&short_again).iter().filter(|code| **code == M::OutOfStock).count(), 2);
    assert_eq!((short_again.status, short_again.version), (Status::RequiresEscalation, 2));
    let only_short = checkout(Status::ReadyForComplete, vec![note()]).short_of_stock(vec![short()], later);
    assert_eq!(only_short.status, Status::Incomplete);
    let enough = checkout(Status::Incomplete, vec![note(), short()]).short_of_stock(Vec::new(), later);
    assert_eq!((enough.status, codes(&enough)), (Status::ReadyForComplete, vec![M::DiscountCodeInvalid]));

    let revised = full().revised(details(vec![note()]), Status::ReadyForComplete, later);
    assert_eq!((revised.status, codes(&revised)), (Status::ReadyForComplete, vec![M::DiscountCodeInvalid]));
    assert_eq!((revised.version, revised.updated_at), (2, later));
    let canceled = full().canceled(later);
    assert_eq!((canceled.status, canceled.version, canceled.updated_at), (Status::Canceled, 2, later));
}

/// A step of the random walk, caused by a platform, the gateway or the clock.
#[derive(Clone, Copy, Debug)]
enum Step {
    Update(Option<MessageCode>),
    Complete,
    Paid,
    Refused,
    NotAttempted,
    BuyerRequired,
    Cancel,
    Wait,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Update(None)),
        1 => Just(Step::Update(Some(MessageCode::Missing))),
        3 => Just(Step::Complete),
        1 => Just(Step::Paid),
        1 => Just(Step::Refused),
        1 => Just(Step::NotAttempted),
        1 => Just(Step::BuyerRequired),
        1 => Just(Step::Cancel),
        1 => Just(Step::Wait),
    ]
}

/// Applies a step with the guards that storage applies. `None` if the step is refused.
fn take(checkout: Checkout, step: Step, now: Timestamp) -> Option<Checkout> {
    let checkout = checkout.as_of(now);
    let is_paying = checkout.status == Status::CompleteInProgress;
    match step {
        Step::Update(missing) => {
            checkout.must_be_open().ok()?;
            let missing_data = |code| message(Severity::Recoverable, code, Some(Subject::Fulfillment));
            let messages: Vec<Message> = missing.map(missing_data).into_iter().collect();
            let status = if messages.is_empty() { Status::ReadyForComplete } else { Status::Incomplete };
            Some(checkout.revised(details(messages), status, now))
        }
        Step::Complete => {
            checkout.must_be_open().and_then(|()| checkout.must_be_complete()).ok()?;
            Some(checkout.completing(AttemptId::generate(now), Some(instrument()), now))
        }
        Step::Cancel => {
            checkout.must_be_open().ok()?;
            Some(checkout.canceled(now))
        }
        Step::Paid if is_paying => {
            let link = OrderLink { id: OrderId::generate(now), page: PageToken::generate(now) };
            Some(checkout.completed(link, now))
        }
        Step::Refused if is_paying => Some(checkout.payment_refused("no", now)),
        Step::NotAttempted if is_paying => Some(checkout.payment_not_attempted(now)),
        Step::BuyerRequired if is_paying => Some(checkout.buyer_required(now)),
        Step::Paid | Step::Refused | Step::NotAttempted | Step::BuyerRequired | Step::Wait => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_walk_follows_the_documented_transitions(walk in vec((steps(), 0_u64..20), 1..30)) {
        use Status::{Canceled, CompleteInProgress, Completed, Incomplete, ReadyForComplete, RequiresEscalation};
        let mut now = NOW;
        let mut at = checkout(Incomplete, vec![message(Severity::Recoverable, MessageCode::Missing, None)]);
        for (step, seconds) in walk {
            now += Duration::from_secs(seconds);
            let before = at.clone().as_of(now);
            let Some(after) = take(at.clone(), step, now) else { continue };
            let leads = match before.status {
                Incomplete | RequiresEscalation | ReadyForComplete => matches!(
                    after.status, Incomplete | ReadyForComplete | CompleteInProgress | Canceled
                ),
                CompleteInProgress => matches!(after.status, Completed | ReadyForComplete | RequiresEscalation),
                Completed | Canceled => false,
            };
            prop_assert!(leads, "{:?} {step:?} {:?}", before.status, after.status);
            prop_assert!(before.status != Incomplete || after.status != CompleteInProgress);
            prop_assert_eq!(after.version, before.version + 1);
            prop_assert_eq!(after.updated_at, now);
            prop_assert_eq!(after.status == Completed, after.order.is_some());
            let has_attempt = matches!(after.status, CompleteInProgress | Completed);
            prop_assert!(!has_attempt || after.attempt.is_some());
            prop_assert!(after.status != RequiresEscalation || after.must_be_complete().is_ok());
            at = after;
        }
        prop_assert!(ALL.contains(&at.status));
    }
}

#[test]
fn message_code_has_its_wire_name() {
    use MessageCode as M;
    for (code, word, about_payment) in [
        (M::OutOfStock, "out_of_stock", false),
        (M::ItemUnavailable, "item_unavailable", false),
        (M::AddressUndeliverable, "address_undeliverable", false),
        (M::Missing, "missing", false),
        (M::UnknownSelection, "unknown_selection", false),
        (M::UnknownCountry, "unknown_country", false),
        (M::MethodUnavailable, "fulfillment_method_unavailable", false),
        (M::OneDestinationOnly, "one_destination_only", false),
        (M::PaymentFailed, "payment_failed", true),
        (M::PaymentNotAttempted, "payment_not_attempted", true),
        (M::BuyerAuthentication, "buyer_authentication_required", true),
        (M::DiscountCodeInvalid, "discount_code_invalid", false),
        (M::DiscountCodeAlreadyApplied, "discount_code_already_applied", false),
        (M::DiscountCodeIneligible, "discount_code_user_ineligible", false),
        (M::EligibilityNotAccepted, "eligibility_not_accepted", false),
        (M::LimitExceeded, "limit_exceeded", false),
        (M::NotFound, "not_found", false),
    ] {
        assert_eq!((code.into_str(), code.is_about_payment()), (word, about_payment));
    }
}
