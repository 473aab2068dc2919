//! Platforms that the operator has approved.

use domain::context::PlatformId;
use domain::page::Limit;
use domain::platform::{PinnedPlatform, PlatformStore};

use crate::kit::Place;
use crate::kit::data::{ALICE, BOB, hours, noon, task};
use crate::on_both_engines;

on_both_engines!(a_platform_is_pinned_replaced_found_and_removed, platforms_are_listed_by_id_in_pages);

fn pinned(id: &str, profile: &str) -> PinnedPlatform {
    PinnedPlatform { id: PlatformId(id.to_owned()), profile: profile.to_owned(), pinned_at: noon() }
}

async fn a_platform_is_pinned_replaced_found_and_removed(place: Place) {
    let platforms = place.shop().await.platforms;
    let id = PlatformId(ALICE.to_owned());
    let find = || platforms.find(&task(), &id);
    assert_eq!(find().await.expect("asked"), None);
    let first = pinned(ALICE, "{ \"to the\":  \"byte 🌱\" }\n");
    platforms.pin(&task(), first.clone()).await.expect("pinned");
    assert_eq!(find().await.expect("asked"), Some(first));
    let second = PinnedPlatform { pinned_at: noon() + hours(1), ..pinned(ALICE, "{}") };
    platforms.pin(&task(), second.clone()).await.expect("replaced");
    assert_eq!(find().await.expect("asked"), Some(second.clone()));
    assert_eq!(platforms.list(&task(), None, Limit::new(10)).await.expect("listed").items, [second]);
    assert!(!platforms.remove(&task(), &PlatformId(BOB.to_owned())).await.expect("asked"));
    assert!(platforms.remove(&task(), &id).await.expect("removed"));
    assert!(!platforms.remove(&task(), &id).await.expect("asked"));
    assert_eq!(find().await.expect("asked"), None);
}

async fn platforms_are_listed_by_id_in_pages(place: Place) {
    let platforms = place.shop().await.platforms;
    for id in ["https://c.example/", "https://a.example/", "https://b.example/"] {
        platforms.pin(&task(), pinned(id, "{}")).await.expect("pinned");
    }
    let list = async |after, limit| {
        let page = platforms.list(&task(), after, Limit::new(limit)).await.expect("listed");
        (page.items.into_iter().map(|platform| platform.id.0).collect::<Vec<_>>(), page.next)
    };
    let (ids, next) = list(None, 2).await;
    assert_eq!(ids, ["https://a.example/", "https://b.example/"]);
    assert!(platforms.remove(&task(), &PlatformId("https://b.example/".to_owned())).await.expect("removed"));
    assert_eq!(list(next, 2).await, (vec!["https://c.example/".to_owned()], None));
    assert_eq!(list(None, 2).await.1, None);
}
