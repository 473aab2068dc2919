//! Small types that everything carries: the context and its timings, ids, page tokens, money.

use std::time::Duration;

use domain::checkout::CheckoutId;
use domain::context::{
    Caller, Deadline, Platform, PlatformId, RequestContext, RequestId, Stopwatch, Timings, TraceContext,
};
use domain::fault::{Fault, FaultKind};
use domain::id::PageToken;
use domain::money::{Amount, Currency};
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
