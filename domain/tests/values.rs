//! Small types that everything carries: the context and its timings, ids, page tokens, money.

use std::time::Duration;

use domain::catalog::Sku;
use domain::checkout::CheckoutId;
use domain::context::{
    Caller, Deadline, Platform, PlatformId, RequestContext, RequestId, Stopwatch, Timings, TraceContext,
};
use domain::customer::Email;
use domain::fault::{Fault, FaultKind};
use domain::fulfillment::FreeShipping;
use domain::id::PageToken;
use domain::idempotency::{Fingerprint, Key, RETENTION};
use domain::import::{Batch, ImportedCustomer, ImportedStock};
use domain::money::{Amount, Currency, Money};
use domain::outbox::MAX_ENDPOINT_BACKOFF;
use domain::promotion::{Code, Discount, DiscountScope, DiscountValue};
use domain::secret::Secret;
use domain::signing::{PUBLISHED_AFTER, PUBLISHED_BEFORE};
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

fn context() -> RequestContext {
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let id = RequestId::parse("req-1").expect("valid");
    let deadline = Deadline::after(Duration::from_secs(60));
    RequestContext::new(&log, id, TraceContext::start(), Caller::Anonymous, deadline, CancellationToken::new())
}

#[test]
fn context_for_a_caller_keeps_everything_else() {
    let ctx = context();
    let caller = Caller::Platform(Platform { id: PlatformId("https://p.example".to_owned()), registered: true });
    let of_platform = ctx.for_caller(caller.clone());
    assert_eq!((ctx.caller(), of_platform.caller()), (&Caller::Anonymous, &caller));
    assert_eq!((of_platform.request_id().as_str(), of_platform.trace()), ("req-1", ctx.trace()));
}

#[test]
fn only_work_that_must_finish_is_past_the_point_of_no_return() {
    let ctx = context();
    assert!(!ctx.is_past_no_return());
    assert!(ctx.must_finish(Duration::from_secs(1)).is_past_no_return());
}

#[test]
fn timings_add_up_over_all_clones_of_a_context() {
    let (ctx, watch) = (context(), Stopwatch::start());
    while watch.elapsed() < Duration::from_micros(20) {}
    assert!(watch.elapsed_us() >= 20);
    type Add = fn(&Timings, Stopwatch);
    type Sum = fn(&Timings) -> u64;
    let all: [(Add, Sum); 3] = [
        (Timings::add_connection_wait, Timings::connection_wait_us),
        (Timings::add_storage, Timings::storage_us),
        (Timings::add_gateway, Timings::gateway_us),
    ];
    for (add, sum) in all {
        assert_eq!(sum(ctx.timings()), 0);
        add(ctx.timings(), watch);
        add(ctx.clone().timings(), watch);
        assert!(sum(ctx.timings()) >= 40, "{}", sum(ctx.timings()));
    }
}

#[test]
fn trace_has_its_id_in_hexadecimal_and_every_span_is_another() {
    let trace = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").expect("valid");
    assert_eq!(trace.trace_id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_ne!(trace.child(), trace.child());
}

#[test]
fn fault_names_its_operation() {
    assert_eq!(Fault::new(FaultKind::Internal, "order.read").operation(), "order.read");
}

#[test]
fn ids_are_equal_by_their_text_and_are_shown_by_it() {
    let now = datetime!(2026-01-01 00:00 UTC);
    let (one, other) = (CheckoutId::generate(now), CheckoutId::generate(now));
    assert_ne!(one, other);
    assert_eq!(Some(&one), CheckoutId::parse(one.as_str()).as_ref());
    assert_eq!((one.to_string(), format!("{one:?}")), (one.as_str().to_owned(), one.as_str().to_owned()));
}

#[test]
fn page_token_is_32_hexadecimal_digits_and_is_not_shown() {
    let token = PageToken::generate();
    assert_eq!(PageToken::parse(token.as_str()).as_ref(), Some(&token));
    assert_eq!(format!("{token:?}"), "***");
    let text = "0123456789abcdef0123456789abcdef";
    assert_eq!(PageToken::parse(text).expect("a token").as_str(), text);
    for not in [
        "",
        "0123456789abcdef",
        "0123456789ABCDEF0123456789abcdef",
        "0123456789abcdeg0123456789abcdef",
        &text.repeat(2),
    ] {
        assert!(PageToken::parse(not).is_none(), "{not:?}");
    }
}

#[test]
fn fraction_of_an_amount_is_rounded_half_up() {
    for (amount, numerator, denominator, expected) in [
        (1, 1, 4, 0),
        (1, 1, 2, 1),
        (3, 1, 2, 2),
        (-1, 1, 4, 0),
        (-1, 1, 2, -1),
        (-3, 1, 2, -2),
        (100, 1, 3, 33),
        (0, 5, 4, 0),
    ] {
        assert_eq!(
            Amount::new(amount).fraction(numerator, denominator),
            Amount::new(expected),
            "{amount} {numerator}/{denominator}"
        );
    }
}

#[test]
fn currency_is_in_use_when_people_pay_with_it() {
    for (code, expected) in
        [("USD", true), ("JPY", true), ("KWD", true), ("HRK", false), ("CHE", false), ("XAU", false), ("XTS", false)]
    {
        assert_eq!(Currency::parse(code).expect("known").is_in_use(), expected, "{code}");
    }
}

#[test]
fn money_is_shown_with_the_decimals_of_its_currency() {
    for (minor, code, expected) in [
        (3_500, "USD", "USD 35.00"),
        (0, "USD", "USD 0.00"),
        (-5, "USD", "USD -0.05"),
        (3_500, "JPY", "JPY 3500"),
        (1_001, "KWD", "KWD 1.001"),
    ] {
        let currency = Currency::parse(code).expect("known");
        assert_eq!(Money { amount: Amount::new(minor), currency }.to_string(), expected);
        assert_eq!(format!("{currency:?}"), code);
    }
}

#[test]
fn secret_is_exposed_only_on_request() {
    let secret = Secret::new("sk_live_1");
    assert_eq!((secret.expose(), format!("{secret:?}").as_str()), ("sk_live_1", "***"));
}

#[test]
fn sku_and_key_have_a_length_and_a_set_of_characters() {
    for (text, sku, key) in [
        ("rose", true, true),
        ("red rose", true, false),
        ("ros\u{e9}", true, false),
        ("", false, false),
        ("a\nb", false, false),
        (&"x".repeat(128), true, true),
        (&"x".repeat(129), false, true),
        (&"x".repeat(255), false, true),
        (&"x".repeat(256), false, false),
    ] {
        assert_eq!((Sku::parse(text).is_some(), Key::parse(text).is_some()), (sku, key), "{text:?}");
    }
    assert_eq!(format!("{:?}", Sku::parse("rose").expect("a SKU")), "rose");
}

#[test]
fn fingerprint_is_shown_by_its_beginning() {
    let shown = |text: &str| format!("{:?}", Fingerprint(text.to_owned()));
    assert_eq!((shown("0123456789abcdef"), shown("0123")), ("0123456789ab".to_owned(), "0123".to_owned()));
}

#[test]
fn periods_are_as_documented() {
    const HOUR: u64 = 60 * 60;
    for (period, hours) in [(RETENTION, 48), (PUBLISHED_AFTER, 192), (PUBLISHED_BEFORE, 1), (MAX_ENDPOINT_BACKOFF, 25)]
    {
        assert_eq!(period.as_secs(), hours * HOUR);
    }
}

#[test]
fn batch_counts_the_rows_of_all_tables() {
    let usd = Currency::USD;
    let empty = Batch::empty(usd);
    assert_eq!(empty.rows(), 0);
    let sku = Sku::parse("rose").expect("a SKU");
    let stock = ImportedStock { sku: sku.clone(), on_hand: 1 };
    let email = Email::parse("ada@example.com").expect("an address");
    let customer = ImportedCustomer { id: "c".into(), name: "Ada".into(), email };
    let discount = Discount {
        code: Code::new("TEN"),
        value: DiscountValue::Percentage { basis_points: 1_000 },
        scope: DiscountScope::Order,
        description: String::new(),
    };
    let free =
        FreeShipping { id: "f".into(), min_subtotal: None, eligible_skus: vec![sku], description: String::new() };
    // Another number of each, so that one that is left out or counted twice shows.
    let batch = Batch {
        stock: vec![stock; 1],
        customers: vec![customer; 2],
        discounts: vec![discount; 4],
        free_shipping: vec![free; 8],
        ..empty
    };
    assert_eq!(batch.rows(), 15);
}
