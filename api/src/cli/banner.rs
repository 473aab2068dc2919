//! The banner that `tuckshop serve` prints in development.

use std::io::{self, Write};
use std::net::SocketAddr;

use domain::secret::Secret;

use crate::app;
use crate::config::Config;

/// Prints the banner. It shows `secret` on purpose, because the secret guards only the test affordances of a shop that
/// only this machine can reach.
pub(super) fn print(config: &Config, address: SocketAddr, secret: Option<&Secret>) -> io::Result<()> {
    let url = config.public_url(address);
    let database = app::shown_database_url(config);
    let secret = secret.map_or("off", Secret::expose);
    // The default token of `tuckshop demo` is for the simulated handler. A configured gateway needs another token.
    let (payments, token) = match &config.payment.gateway_url {
        Some(_) => ("payments go to the configured gateway", " --token pm_card_visa"),
        None => ("payments are simulated", ""),
    };
    writeln!(
        io::stdout(),
        "\n  {} is open at {url}\n  \
         mode        development ({payments}; this machine only)\n  \
         database    {database}\n  \
         profile     {url}/.well-known/ucp\n  \
         simulation  Simulation-Secret: {secret}\n\n  \
         Buy something:  cargo run -- demo --url {url}{token}      (in another terminal)\n  \
         Stop:           Ctrl-C\n",
        config.shop.name
    )
}
