//! `tuckshop demo`: makes one purchase at a running shop, as a platform does.

use std::time::Duration;

use domain::context::Stopwatch;
use domain::fault::chain;
use domain::money::{Amount, Currency, Money};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use url::Url;

use super::demo_platform::{Event, Platform};
use super::output::say;
use super::{DONE, Outcome, failed, misused};
use crate::config::{Config, Mode};

const TIMEOUT: Duration = Duration::from_secs(15);

pub(super) fn run(
    config: &Config,
    runtime: &Runtime,
    url: Option<String>,
    items: Vec<String>,
    token: String,
) -> Outcome {
    if url.is_none() && config.mode == Mode::Production {
        let why = "tuckshop: the demo buys from a shop in development mode, and this configuration is of production \
                   mode. `--url` names another shop";
        return misused(why.to_owned());
    }
    let url = match (url, config.http.socket_address()) {
        (Some(url), _) => url.trim_end_matches('/').to_owned(),
        (None, Ok(address)) => config.public_url(address),
        (None, Err(error)) => return failed(&error.to_string()),
    };
    let platform = match Platform::open() {
        Ok(platform) => platform,
        Err(error) => return failed(&format!("the demo's own server cannot listen: {error}")),
    };
    // The demo prints what each step took, so nothing is between it and the shop. A proxy of the environment rarely
    // reaches a shop on this machine.
    let client = match Client::builder().no_proxy().build() {
        Ok(client) => client,
        Err(error) => return failed(&chain(&error)),
    };
    let shopper = Shopper { url, items, token, agent: platform.agent(), client };
    let bought = runtime.block_on(platform.during(async { shopper.buy().await }));
    match bought {
        Ok(Ok(event)) => {
            print_event(event);
            DONE
        }
        Ok(Err(why)) => failed(&why),
        Err(error) => failed(&format!("the demo's own server ended: {error}")),
    }
}

/// Checks the URL of a shop.
pub(super) fn shop_url(text: &str) -> Result<String, &'static str> {
    let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.query().is_none();
    match Url::parse(text) {
        Ok(url) if is_web(&url) && url.fragment().is_none() => Ok(text.to_owned()),
        _ => Err("must be an http or https URL without a query, such as http://127.0.0.1:8080"),
    }
}

fn print_event(event: Option<Event>) {
    match event {
        Some(Event { kind, id, signed }) => {
            let signed = if signed { "signed" } else { "not signed" };
            say!("The platform received a webhook: {kind} ({id}, {signed})");
        }
        None => say!("The platform has received no webhook yet; see `tuckshop deliveries list`."),
    }
}

struct Shopper {
    url: String,
    items: Vec<String>,
    /// The payment token.
    token: String,
    /// The value of `UCP-Agent`.
    agent: String,
    client: Client,
}

impl Shopper {
    async fn buy(&self) -> Result<(), String> {
        say!("Buying at {}\n", self.url);
        let profile = self.step("discover the shop", Method::GET, "/.well-known/ucp", None).await?;
        let handlers = &profile["ucp"]["payment_handlers"];
        let handler = handlers.as_object().and_then(|named| named.values().next()).map(|list| list[0]["id"].clone());
        let handler = handler.ok_or("this shop offers no way to pay")?;

        let lines = self.items.iter().map(|sku| json!({"item": {"id": sku}, "quantity": 1}));
        let basket: Vec<Value> = lines.collect();
        let mut wanted = json!({"line_items": basket});
        let checkout = self.step("create a checkout", Method::POST, "/checkout-sessions", Some(&wanted)).await?;
        let id = checkout["id"].as_str().ok_or("the shop made no checkout")?;
        let path = format!("/checkout-sessions/{id}");

        wanted["buyer"] = json!({"first_name": "Ada", "last_name": "Byron", "email": "ada@example.com"});
        wanted["discounts"] = json!({"codes": ["10OFF"]});
        wanted["fulfillment"] = json!({"methods": [{"type": "shipping", "destinations": [{
            "street_address": "12 School Lane", "address_locality": "Springfield", "address_region": "IL",
            "postal_code": "62704", "address_country": "US",
        }]}]});
        let checkout = self.step("add buyer, address and code", Method::PUT, &path, Some(&wanted)).await?;
        let method = &checkout["fulfillment"]["methods"][0];
        let option = &method["groups"][0]["options"][0];
        wanted["fulfillment"]["methods"][0]["selected_destination_id"] = method["selected_destination_id"].clone();
        wanted["fulfillment"]["methods"][0]["groups"] = json!([{"selected_option_id": option["id"]}]);
        let checkout = self.step("choose the cheapest delivery", Method::PUT, &path, Some(&wanted)).await?;
        print_totals(&checkout);

        let payment = json!({"payment": {"instruments": [{
            "id": "demo_card", "handler_id": handler, "type": "card", "selected": true,
            "credential": {"type": "token", "token": self.token},
        }]}});
        let done = self.step("pay", Method::POST, &format!("{path}/complete"), Some(&payment)).await?;
        let order = done["order"]["id"].as_str().ok_or_else(|| without_order(&done))?;
        self.step("read the order", Method::GET, &format!("/orders/{order}"), None).await?;
        say!("\nBought. The buyer's page: {}", done["order"]["permalink_url"].as_str().unwrap_or_default());
        Ok(())
    }

    /// Sends one request. Prints its purpose, status, time and request id. Returns the response body.
    async fn step(&self, what: &str, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let watch = Stopwatch::start();
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.url)).timeout(TIMEOUT);
        request = request.header("ucp-agent", &self.agent);
        if let Some(body) = body {
            request = request.header("idempotency-key", uuid::Uuid::new_v4().to_string()).json(body);
        }
        let response = request.send().await.map_err(|error| {
            let error = chain(&error);
            format!("{method} {path}: {error}. Is the shop running? Start it with `cargo run` in another terminal.")
        })?;
        let status = response.status();
        let request_id = response.headers().get("request-id").and_then(|id| id.to_str().ok()).unwrap_or("-").to_owned();
        let answer: Value = response.json().await.map_err(|error| format!("{method} {path}: {}", chain(&error)))?;
        let millis = watch.elapsed().as_secs_f64() * 1_000.0;
        say!("{what:<36} {method:<4} {} {millis:>7.1} ms  {request_id}", status.as_u16());
        if !status.is_success() || answer["ucp"]["status"] == "error" {
            let message = &answer["messages"][0];
            let why = answer["content"].as_str().or(message["content"].as_str()).unwrap_or("no reason");
            let code = answer["code"].as_str().or(message["code"].as_str()).unwrap_or_default();
            return Err(format!("{method} {path} was refused: {why}{}", remedy(code)));
        }
        Ok(answer)
    }
}

/// A hint that names the option of the demo that helps after a refusal with this code. Empty if no option helps.
fn remedy(code: &str) -> &'static str {
    match code {
        "out_of_stock" | "item_unavailable" => " (`--item SKU` buys something else.)",
        "payment_failed" | "unknown_payment_handler" | "unknown_payment_instrument" => {
            " (`--token TOKEN` pays with another token: `success_token` in simulation, `pm_card_visa` with a test account \
             of Stripe and with paysim.)"
        }
        _ => "",
    }
}

/// Explains why a completion that was not refused has no order.
fn without_order(checkout: &Value) -> String {
    let id = checkout["id"].as_str().unwrap_or_default();
    match checkout["status"].as_str() {
        Some("complete_in_progress") => {
            format!(
                "the outcome of the payment is not known yet. The shop resolves it; read /checkout-sessions/{id} later"
            )
        }
        _ => {
            let message = &checkout["messages"][0];
            let why = message["content"].as_str().unwrap_or("no reason");
            format!("no order was placed: {why}{}", remedy(message["code"].as_str().unwrap_or_default()))
        }
    }
}

fn print_totals(checkout: &Value) {
    let Some(currency) = Currency::parse(checkout["currency"].as_str().unwrap_or_default()) else { return };
    for total in checkout["totals"].as_array().into_iter().flatten() {
        let amount = Amount::new(total["amount"].as_i64().unwrap_or(0));
        say!(
            "    {:<32} {:>14}",
            total["display_text"].as_str().unwrap_or_default(),
            Money { amount, currency }.to_string()
        );
    }
}

#[cfg(test)]
#[path = "demo_tests.rs"]
mod tests;
