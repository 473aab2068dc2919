//! `tuckshop platforms`: pins, lists and unpins the profiles of platforms.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use domain::context::PlatformId;
use domain::outbox::without_secrets;
use domain::page::Limit;
use domain::platform::PinnedPlatform;
use serde_json::json;
use url::Url;

use super::output::say;
use super::tools::Session;
use crate::file;
use crate::shopping::v2026_04_08::VERSION;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Pin a platform's profile: the shop then uses it and does not fetch it.
    Add {
        /// The address of the profile, as the platform names it in `UCP-Agent`.
        platform: Url,
        #[command(flatten)]
        pinned: ProfileOrUrl,
    },
    /// List the pinned platforms and where their webhooks go.
    List,
    /// Unpin a platform: its profile is fetched again.
    Remove { platform: Url },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct ProfileOrUrl {
    /// The profile, as a JSON file.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Only the platform's webhook URL, instead of a profile: https, at a public address. The host name is resolved at
    /// each attempt, not now.
    #[arg(long)]
    webhook_url: Option<Url>,
}

/// The most platforms that are listed. The output says if there are more.
const MOST: u32 = 1_000;
/// The largest profile, in bytes.
const LARGEST_PROFILE: u64 = 256 * 1_024;

pub(super) fn run(session: &Session<'_>, command: Command) -> Result<(), String> {
    match command {
        Command::Add { platform, pinned } => add(session, platform, pinned),
        Command::List => list(session),
        Command::Remove { platform } => remove(session, platform),
    }
}

fn add(session: &Session<'_>, platform: Url, pinned: ProfileOrUrl) -> Result<(), String> {
    let checked = session.tools.check_platform(platform.as_str());
    checked.map_err(|why| format!("no request can name that platform: {why}"))?;
    let profile = match (pinned.profile, pinned.webhook_url) {
        (Some(path), _) => read(&path),
        (None, Some(url)) => Ok(profile_with(&url)),
        (None, None) => Err("--profile or --webhook-url is needed".to_owned()),
    };
    let usable = profile.and_then(|profile| session.tools.webhook_url(&profile).map(|url| (profile, url)));
    let (profile, webhook_url) = usable.map_err(|why| format!("the profile is not usable: {why}"))?;
    let id = id_of(platform);
    let pinned = PinnedPlatform { id: id.clone(), profile, pinned_at: session.tools.clock.now() };
    session.wait(session.tools.platforms.pin(&session.ctx, pinned))?;
    // The URL is printed with its secrets, because the operator has just entered it.
    say!("{} is pinned; {}", id.0, webhooks(Ok(webhook_url)));
    Ok(())
}

fn list(session: &Session<'_>) -> Result<(), String> {
    let page = session.wait(session.tools.platforms.list(&session.ctx, None, Limit::new(MOST)))?;
    for platform in &page.items {
        let url = session.tools.webhook_url(&platform.profile).map(|url| url.map(|url| without_secrets(&url)));
        say!("{}  {}", without_secrets(&platform.id.0), webhooks(url));
    }
    match page.next {
        Some(_) => say!("The first {MOST} are shown; there are more."),
        None => say!("{} pinned.", page.items.len()),
    }
    Ok(())
}

fn remove(session: &Session<'_>, platform: Url) -> Result<(), String> {
    let id = id_of(platform);
    if !session.wait(session.tools.platforms.remove(&session.ctx, &id))? {
        return Err(format!("{} is not pinned", id.0));
    }
    say!("{} is no longer pinned", id.0);
    Ok(())
}

/// The id of the platform: the address of its profile without a fragment. Requests are identified in the same way.
fn id_of(mut platform: Url) -> PlatformId {
    platform.set_fragment(None);
    PlatformId(platform.into())
}

/// Says where the webhooks of a platform go.
fn webhooks(webhook_url: Result<Option<String>, String>) -> String {
    match webhook_url {
        Ok(Some(url)) => format!("its webhooks go to {url}"),
        Ok(None) => "it takes no webhooks".to_owned(),
        Err(why) => format!("it cannot get webhooks: {why}"),
    }
}

/// The smallest profile with this webhook URL.
fn profile_with(webhook_url: &Url) -> String {
    let order = json!([{"version": VERSION, "config": {"webhook_url": webhook_url.as_str()}}]);
    let profile = json!({"ucp": {"version": VERSION, "capabilities": {"dev.ucp.shopping.order": order}}});
    profile.to_string()
}

fn read(path: &Path) -> Result<String, String> {
    let read = file::open(path).and_then(|file| file::text_at_most(file, LARGEST_PROFILE));
    read.map_err(|error| format!("{}: {error}", path.display()))
}
