//! Small types that all modules use: the context and its timings, ids, page tokens, money, quantities.

use std::time::Duration;

use domain::catalog::{ProductId, Sku, Variant};
use domain::checkout::CheckoutId;
use domain::context::{
    Caller, Platform, PlatformId, RequestContext, RequestId, Stopwatch, TimeSum, Timings, TraceContext,
};
use domain::customer::{Address, DestinationId, Email};
use domain::fault::{Fault, FaultKind};
use domain::fulfillment::{FreeShipping, OptionId, ServiceLevel, ShippingRate};
use domain::id::{Id, PageToken};
use domain::idempotency::{Fingerprint, Key, RETENTION};
use domain::import::{Batch, ImportedAddress, ImportedCustomer, ImportedInstrument, ImportedProduct, ImportedStock};
use domain::money::{Amount, Currency, Money};
use domain::outbox::MAX_ENDPOINT_BACKOFF;
use domain::promotion::{Code, Discount, DiscountScope, DiscountValue};
use domain::quantity::Quantity;
use domain::secret::Secret;
use domain::signing::{PUBLISHED_AFTER, PUBLISHED_BEFORE};
use time::macros::datetime;

use crate::kit::{self, NOW};

fn context() -> RequestContext {
    kit::context(Duration::from_secs(60))
}

#[test]
fn context_for_a_caller_keeps_all_other_values() {
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
    let sums: [fn(&Timings) -> &TimeSum; 3] =
        [|timings| &timings.connection_wait, |timings| &timings.storage, |timings| &timings.gateway];
    for sum in sums {
        assert_eq!(sum(ctx.timings()).microseconds(), 0);
        sum(ctx.timings()).add(watch);
        sum(ctx.clone().timings()).add(watch);
        assert!(sum(ctx.timings()).microseconds() >= 40);
    }
}

#[test]
fn trace_id_is_hexadecimal_and_each_child_has_another_span() {
    let trace = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").expect("valid");
    assert_eq!(trace.trace_id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_ne!(trace.child(), trace.child());
}

#[test]
fn fault_names_its_operation() {
    assert_eq!(Fault::new(FaultKind::Internal, "order.read").operation(), "order.read");
}

#[test]
fn id_is_compared_and_shown_by_its_text() {
    let now = datetime!(2026-01-01 00:00 UTC);
    let (one, other) = (CheckoutId::generate(now), CheckoutId::generate(now));
    assert_ne!(one, other);
    assert_eq!(Some(&one), CheckoutId::parse(one.as_str()).as_ref());
    assert_eq!((one.to_string(), format!("{one:?}")), (one.as_str().to_owned(), one.as_str().to_owned()));
}

#[test]
fn page_tokens_of_one_hour_begin_alike_and_differ() {
    let [one, other] = [NOW, NOW + Duration::from_secs(59 * 60)].map(PageToken::generate);
    let (start, random) = one.as_str().split_at(4);
    assert!(other.as_str().starts_with(start) && !other.as_str().ends_with(random));
    assert!(!PageToken::generate(NOW + Duration::from_secs(60 * 60)).as_str().starts_with(start));
    assert!(PageToken::parse(PageToken::generate(datetime!(1969-12-31 23:00 UTC)).as_str()).is_some());
}

#[test]
fn page_token_is_32_hexadecimal_digits_and_hidden_in_debug_output() {
    let token = PageToken::generate(NOW);
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
fn fraction_is_rounded_half_up_to_whole_minor_units() {
    for (amount, numerator, denominator, expected) in [
        (1, 1, 4, 0),
        (1, 1, 2, 1),
        (3, 1, 2, 2),
        (-1, 1, 4, 0),
        (-1, 1, 2, -1),
        (-3, 1, 2, -2),
        (100, 1, 3, 33),
        (0, 5, 4, 0),
        (3_500, 1_000, 10_000, 350),
        (5, 1_000, 10_000, 1),
        (4, 1_000, 10_000, 0),
        (15, 1_000, 10_000, 2),
        (999, 3_333, 10_000, 333),
        (1, 1, 1, 1),
        (1_000_000_000_000_000_000, 10_000, 10_000, 1_000_000_000_000_000_000),
    ] {
        assert_eq!(
            Amount::new(amount).fraction(numerator, denominator),
            Amount::new(expected),
            "{amount} {numerator}/{denominator}"
        );
    }
}

#[test]
fn currency_in_use_is_neither_withdrawn_nor_a_fund_metal_or_test_code() {
    for (code, expected) in
        [("USD", true), ("JPY", true), ("KWD", true), ("HRK", false), ("CHE", false), ("XAU", false), ("XTS", false)]
    {
        assert_eq!(Currency::parse(code).expect("known").is_in_use(), expected, "{code}");
    }
}

#[test]
fn money_is_formatted_with_the_decimals_of_its_currency() {
    for (minor, code, expected) in [
        (3_500, "USD", "USD 35.00"),
        (0, "USD", "USD 0.00"),
        (-5, "USD", "USD -0.05"),
        (3_500, "JPY", "JPY 3500"),
        (1_001, "KWD", "KWD 1.001"),
        (-1, "KWD", "KWD -0.001"),
        (5, "EUR", "EUR 0.05"),
    ] {
        let currency = Currency::parse(code).expect("known");
        assert_eq!(Money { amount: Amount::new(minor), currency }.to_string(), expected);
        assert_eq!(format!("{currency:?}"), code);
    }
}

#[test]
fn secret_is_hidden_in_debug_output() {
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
    assert_eq!(Key::parse("k-1").expect("a key").as_str(), "k-1");
}

#[test]
fn fingerprint_shows_its_first_digits_in_debug_output() {
    let shown = |text: &str| format!("{:?}", Fingerprint(text.to_owned()));
    assert_eq!((shown("0123456789abcdef"), shown("0123")), ("0123456789ab".to_owned(), "0123".to_owned()));
}

#[test]
fn periods_have_their_documented_values() {
    const HOUR: u64 = 60 * 60;
    for (period, hours) in [(RETENTION, 48), (PUBLISHED_AFTER, 192), (PUBLISHED_BEFORE, 1), (MAX_ENDPOINT_BACKOFF, 25)]
    {
        assert_eq!(period.as_secs(), hours * HOUR);
    }
}

#[test]
fn rows_of_a_batch_are_those_of_all_its_tables() {
    let sku = || Sku::parse("rose").expect("a SKU");
    let price = Money { amount: Amount::new(500), currency: Currency::USD };
    let variant = Variant { sku: sku(), title: String::new(), image_url: None, price, requires_shipping: true };
    let product = ImportedProduct { id: ProductId("rose".into()), variant };
    let stock = ImportedStock { sku: sku(), on_hand: 1 };
    let email = Email::parse("ada@example.com").expect("an address");
    let customer = ImportedCustomer { id: "c".into(), name: "Ada".into(), email };
    let address = ImportedAddress { id: DestinationId("a".into()), customer: "c".into(), address: Address::default() };
    let rate = ShippingRate {
        id: OptionId("r".into()),
        country: None,
        service_level: ServiceLevel("standard".into()),
        price: Amount::new(500),
        title: String::new(),
    };
    let discount = Discount {
        code: Code::new("TEN"),
        value: DiscountValue::Percentage { basis_points: 1_000 },
        scope: DiscountScope::Order,
        description: String::new(),
    };
    let free = FreeShipping { id: "f".into(), min_subtotal: None, eligible_skus: vec![], description: String::new() };
    let instrument = ImportedInstrument {
        id: "i".into(),
        kind: "card".into(),
        brand: "Visa".into(),
        last_digits: "4242".into(),
        token: "t".into(),
        handler: "mock".into(),
    };
    // The number of rows of each table is another power of two. So a table that is left out or counted twice changes
    // the sum.
    let batch = Batch {
        currency: Currency::USD,
        products: vec![product; 1],
        stock: vec![stock; 2],
        customers: vec![customer; 4],
        addresses: vec![address; 8],
        shipping_rates: vec![rate; 16],
        discounts: vec![discount; 32],
        free_shipping: vec![free; 64],
        instruments: vec![instrument; 128],
    };
    assert_eq!((batch.rows(), Batch::empty(Currency::USD).rows()), (255, 0));
}

#[test]
fn unknown_currency_is_refused() {
    for code in ["", "usd", "US", "ABC", "USDX"] {
        assert!(Currency::parse(code).is_none(), "{code:?}");
    }
}

#[test]
fn quantity_outside_its_bounds_is_refused() {
    assert_eq!(Quantity::try_from(1).map(Quantity::get), Ok(1));
    assert_eq!(Quantity::try_from(10_000).map(Quantity::get), Ok(10_000));
    for bad in [i64::MIN, -5, 0, 10_001, i64::MAX] {
        let error = Quantity::try_from(bad).expect_err("out of bounds").to_string();
        assert!(error.ends_with(&bad.to_string()), "{error}");
    }
}

type ExampleId = Id<'t', 'h', 'g'>;

#[test]
fn ids_sort_by_time_and_parse_back() {
    let early = ExampleId::generate(datetime!(2026-01-01 00:00 UTC));
    let late = ExampleId::generate(datetime!(2026-01-01 00:00:00.002 UTC));
    assert!(early.as_str() < late.as_str());
    assert_eq!(ExampleId::parse(early.as_str()), Some(early));
}

#[test]
fn text_that_is_no_id_is_not_parsed() {
    for text in ["", "thg_", "thg_1", "oth_00000000000000000000000000000000", "thg_0000000000000000000000000000000G"] {
        assert_eq!(ExampleId::parse(text), None, "{text:?}");
    }
}

#[test]
fn traceparent_is_parsed_and_written_as_w3c_recommends() {
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = TraceContext::parse(text).expect("valid");
    assert_eq!(trace.to_string(), text);
    let child = trace.child();
    assert_eq!(child.trace_id_hex(), trace.trace_id_hex());
    assert_ne!(child.to_string(), text);
}

#[test]
fn malformed_traceparent_is_not_parsed() {
    for text in [
        "",
        "00",
        "00-0000000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert_eq!(TraceContext::parse(text), None, "{text:?}");
    }
    // A later version of the format may append fields.
    assert!(TraceContext::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
}

#[test]
fn request_id_with_invisible_characters_is_refused() {
    assert!(RequestId::parse("a-b_C.9").is_some());
    for bad in ["", "a b", "a\nb", "é", &"x".repeat(129)] {
        assert!(RequestId::parse(bad).is_none(), "{bad:?}");
    }
}

#[test]
fn check_fails_when_cancelled_or_past_the_deadline() {
    let ctx = context();
    assert!(ctx.check("test.check").is_ok());
    ctx.cancellation().cancel();
    assert_eq!(ctx.check("test.check").expect_err("cancelled").kind(), FaultKind::Cancelled);
    let late = kit::context(Duration::ZERO);
    assert_eq!(late.check("test.check").expect_err("late").kind(), FaultKind::DeadlineExceeded);
}

#[test]
fn work_that_must_finish_ignores_cancellation_and_deadline() {
    let ctx = kit::context(Duration::ZERO);
    ctx.cancellation().cancel();
    assert!(ctx.must_finish(Duration::from_secs(60)).check("test.check").is_ok());
}

#[test]
fn budget_shortens_the_deadline_and_never_extends_it() {
    let ctx = kit::context(Duration::from_secs(10));
    assert!(ctx.at_most(Duration::from_secs(1)).deadline() < ctx.deadline());
    assert_eq!(ctx.at_most(Duration::from_secs(99)).deadline(), ctx.deadline());
}
