//! Tests of `buyer_pages.rs`.

use std::time::Duration;

use domain::context::{Deadline, TraceContext};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::log::Kept;

struct Unwritable;

impl std::fmt::Display for Unwritable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Err(std::fmt::Error)
    }
}

#[derive(Template)]
#[template(source = "{{ value }}", ext = "txt")]
struct Broken {
    value: Unwritable,
}

#[test]
fn page_that_cannot_be_rendered_is_500_and_not_empty() {
    let log = Kept::default();
    let deadline = Deadline::after(Duration::from_secs(1));
    let ctx =
        RequestContext::for_task(&log.logger(), "page", TraceContext::start(), deadline, CancellationToken::new());
    let broken = page(&ctx, StatusCode::OK, &Broken { value: Unwritable });
    assert_eq!(broken.expect_err("not rendered").status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(log.lines().iter().any(|line| line["op"] == "page.render" && line["error_code"] == "internal"));
    assert!(page(&ctx, StatusCode::OK, &Missing { shop: "Shop" }).is_ok());
}
