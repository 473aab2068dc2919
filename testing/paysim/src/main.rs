//! The binary `paysim`: the simulator for as long as it is wanted, to try a shop by hand.

use std::net::SocketAddr;

use clap::Parser;
use paysim::{Options, Paysim, Webhooks};

/// A payment gateway with Stripe's wire shapes that moves no money.
#[derive(Parser)]
struct Arguments {
    /// Where to listen. Nothing but the shop's key protects it: keep it on loopback.
    #[arg(long, default_value = "127.0.0.1:12111")]
    listen: SocketAddr,
    #[arg(long, default_value = "sk_test_paysim")]
    api_key: String,
    /// Signs the events; may be given twice, as while a secret is rotated.
    #[arg(long, default_value = "whsec_paysim")]
    webhook_secret: Vec<String>,
    /// Where events go; none are sent without it.
    #[arg(long)]
    webhook_url: Option<String>,
}

#[expect(clippy::print_stdout, reason = "whoever started it wants to know where it is")]
fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let secrets = arguments.webhook_secret;
    let webhooks = arguments.webhook_url.map(|url| Webhooks { url, secrets, ..Webhooks::default() });
    let options = Options { listen: arguments.listen, api_key: arguments.api_key, webhooks, ..Options::default() };
    let gateway = Paysim::start(options)?;
    println!("{}", gateway.url());
    gateway.wait()
}
