//! The binary `paysim`: runs the simulator until it is stopped, to try a shop by hand.

use std::net::SocketAddr;

use clap::Parser;
use paysim::{Options, Paysim, Webhooks};

/// A payment gateway with Stripe's API that moves no money.
#[derive(Parser)]
struct Arguments {
    /// The address to listen on. Keep it on loopback: the API key is its only protection.
    #[arg(long, default_value = "127.0.0.1:12111")]
    listen: SocketAddr,
    #[arg(long, default_value = "sk_test_paysim")]
    api_key: String,
    /// The secret that signs the events. Give it twice to try the rotation of a secret.
    #[arg(long, default_value = "whsec_paysim")]
    webhook_secret: Vec<String>,
    /// The address that receives events. Without it, no events are sent.
    #[arg(long)]
    webhook_url: Option<String>,
}

#[expect(clippy::print_stdout, reason = "the person who starts it needs the address")]
fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let gateway = Paysim::start(Options { listen: arguments.listen, api_key: arguments.api_key })?;
    let secrets = arguments.webhook_secret;
    gateway.send_webhooks(arguments.webhook_url.map(|url| Webhooks { secrets, ..Webhooks::to(url, "") }));
    println!("{}", gateway.url());
    gateway.wait()
}
