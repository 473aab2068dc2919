//! `tuckshop keys`: lists, rotates and revokes the keys that webhooks are signed with.

use clap::Subcommand;
use domain::clock::Timestamp;
use domain::signing::{PUBLISHED_AFTER, SigningKey, retired_at, signing_at};

use super::output::say;
use super::tools::Session;
use crate::instant::rfc3339 as at;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the keys: the key that signs, the published keys, and their times.
    List,
    /// Create a key that begins to sign in one hour, when receivers can know it. The present key stays published for
    /// eight days.
    Rotate {
        /// Sign with the new key at once. Receivers cannot verify webhooks until they read the profile again. For a
        /// stolen key use `revoke`.
        #[arg(long)]
        at_once: bool,
    },
    /// Revoke a stolen key: it signs nothing and is not published from now on. If it is the key that signs, another key
    /// takes over at once.
    Revoke {
        /// The id of the key, as the list shows it.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

pub(super) fn run(session: &Session<'_>, command: Command) -> Result<(), String> {
    match command {
        Command::List => list(session),
        Command::Rotate { .. } if session.tools.keys_are_configured => {
            Err("the keys are in the file of TUCKSHOP_WEBHOOK_KEYS_PATH: add a new one to it, and restart".to_owned())
        }
        Command::Rotate { at_once } => rotate(session, at_once),
        Command::Revoke { .. } if session.tools.keys_are_configured => Err(
            "the keys are in the file of TUCKSHOP_WEBHOOK_KEYS_PATH: remove this one from it, and restart every instance"
                .to_owned(),
        ),
        Command::Revoke { id } => revoke(session, &id),
    }
}

fn list(session: &Session<'_>) -> Result<(), String> {
    let keys = session.wait(session.tools.keys.keys(&session.ctx))?;
    if session.tools.keys_are_configured {
        for (position, key) in keys.iter().enumerate() {
            say!("{}  {}", key.id, if position == 0 { "signs" } else { "published" });
        }
        say!("{} key(s), from the file in TUCKSHOP_WEBHOOK_KEYS_PATH.", keys.len());
        return Ok(());
    }
    let now = session.tools.clock.now();
    for (position, key) in keys.iter().enumerate() {
        say!("{}  {}", key.id, state(&keys, position, now));
    }
    match keys.len() {
        0 => say!("0 key(s). The first is created when it is first needed."),
        many => say!("{many} key(s)."),
    }
    Ok(())
}

/// Describes the state of the key at this position.
fn state(keys: &[SigningKey], position: usize, now: Timestamp) -> String {
    let key = &keys[position];
    let signs = signing_at(keys, now).is_some_and(|it| it.id == key.id);
    match (key.revoked_at, retired_at(keys, position)) {
        (Some(revoked), _) => format!("revoked    since {}", at(revoked)),
        (None, _) if signs && now < key.signs_from && !key.signs_at_once() => {
            "signs      instead of a revoked key".to_owned()
        }
        (None, Some(until)) if signs => format!("signs      since {}, until {}", at(key.signs_from), at(until)),
        (None, None) if signs => format!("signs      since {}", at(key.signs_from)),
        (None, Some(retired)) if retired <= now => {
            let published = retired + PUBLISHED_AFTER;
            let state = if now < published { "published" } else { "retired  " };
            let signed =
                if key.signs_from < retired { format!("signed until {}", at(retired)) } else { "never signed".into() };
            format!("{state}  {signed}, published until {}", at(published))
        }
        (None, _) => format!("published  signs from {}", at(key.signs_from)),
    }
}

fn rotate(session: &Session<'_>, at_once: bool) -> Result<(), String> {
    let key = session.wait(session.tools.signer.rotate(&session.ctx, at_once))?;
    say!("{} signs from {}.", key.id, at(key.signs_from));
    Ok(())
}

fn revoke(session: &Session<'_>, id: &str) -> Result<(), String> {
    let revoked = session.wait(session.tools.signer.revoke(&session.ctx, id))?;
    let revoked = revoked.ok_or_else(|| format!("there is no key {id}"))?;
    say!("{id} is revoked: it signs nothing and is not published from now on.");
    say!("Running instances notice within a minute. Receivers cannot verify webhooks in transit that it signed.");
    match revoked.took_over {
        true => say!("{} signs instead; receivers must read the profile again.", revoked.signs),
        false => say!("{} signs, as before.", revoked.signs),
    }
    Ok(())
}
