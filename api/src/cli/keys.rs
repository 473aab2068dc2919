//! `tuckshop keys`: what the shop signs with.

use std::process::ExitCode;

use clap::Subcommand;
use domain::signing::{published_at, signing_at};
use time::format_description::well_known::Rfc3339;

use super::tools::Session;
use super::{DONE, failed};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the keys: which signs, and which are published.
    List,
    /// Make a key that takes over in an hour, when everyone can know it. The present one stays published for eight days.
    Rotate {
        /// Take over at once, because the present key must not be used any more. Until they read the profile again,
        /// receivers cannot verify what is signed.
        #[arg(long)]
        at_once: bool,
    },
}

pub(super) fn run(session: &Session<'_>, command: Command) -> ExitCode {
    match command {
        Command::List => list(session),
        Command::Rotate { at_once } => rotate(session, at_once),
    }
}

fn list(session: &Session<'_>) -> ExitCode {
    let keys = match session.wait(session.tools.keys.keys(&session.ctx)) {
        Ok(keys) => keys,
        Err(fault) => return failed(&fault.chain()),
    };
    let now = session.tools.clock.now();
    let published = published_at(&keys, now);
    let signs = signing_at(&keys, now).map(|key| &key.id);
    for key in &keys {
        let state = match (signs == Some(&key.id), published.iter().any(|it| it.id == key.id)) {
            (true, _) => "signs",
            (false, true) => "published",
            (false, false) => "retired",
        };
        println!("{}  {state:<9}  since {}", key.id, key.signs_from.format(&Rfc3339).unwrap_or_default());
    }
    println!("{} key(s). The first is made when it is first needed.", keys.len());
    DONE
}

fn rotate(session: &Session<'_>, at_once: bool) -> ExitCode {
    match session.wait(session.tools.signer.rotate(&session.ctx, at_once)) {
        Ok(key) => {
            println!("{} signs from {} on.", key.id, key.signs_from.format(&Rfc3339).unwrap_or_default());
            DONE
        }
        Err(fault) => failed(&fault.chain()),
    }
}
