//! A failover: the primary of a synchronous pair of Postgres servers is lost, and its standby is promoted.

use std::path::PathBuf;

use diesel::{Connection, PgConnection};
use faultkit::PostgresServer;
use faultkit::provided::POSTGRES_PROGRAMS;

use crate::books::{Books, Item, stock_with};
use crate::extent::{Chance, PATIENCE};
use crate::invariants::violations;
use crate::kit::client::fresh_key;
use crate::kit::{Place, Server};
use crate::platform::{Call, Platform};

const ITEMS: &[Item] = &[("bun", 250, 1_000_000)];
const SEED: u64 = 0xfa11_04e4;

mod postgres {
    use crate::kit::{Place, run};

    #[test]
    fn new_primary_is_found_in_a_list_of_servers() {
        let Some(bin) = super::programs() else { return };
        run(Place::directory_only(), |place| super::new_primary_is_found_in_a_list_of_servers(place, bin));
    }
}

fn programs() -> Option<PathBuf> {
    let bin = POSTGRES_PROGRAMS.get().map(PathBuf::from)?;
    if !bin.join("pg_basebackup").is_file() {
        POSTGRES_PROGRAMS.skip("there is no pg_basebackup");
        return None;
    }
    Some(bin)
}

async fn new_primary_is_found_in_a_list_of_servers(place: Place, bin: PathBuf) {
    let primary = PostgresServer::create(&bin);
    let standby = primary.standby();
    primary.wait_for_standby();
    let ports = [&standby, &primary].map(|server| server.address().port());
    let url = format!("postgres:///postgres?host=127.0.0.1,127.0.0.1&port={},{}&user=postgres", ports[0], ports[1]);
    let settings = [("TUCKSHOP_DATABASE_URL", url.as_str()), ("TUCKSHOP_DATABASE_ALLOW_PLAINTEXT", "true")];
    stock_with(&place, &settings, ITEMS);
    let server = Server::launch(&place, &settings);
    POSTGRES_PROGRAMS.used();
    let mut platform = Platform::at(server.address());
    let buy = |platform: &mut Platform| {
        let created = platform.insist(&Call::create(&fresh_key(), "bun", 1), &mut Chance::of(SEED), PATIENCE);
        let checkout = created.expect("an answer").expect(201).id();
        let call = Call::complete(&checkout, &fresh_key(), "success_token");
        let paid = platform.insist(&call, &mut Chance::of(SEED), PATIENCE).expect("an answer").expect(200);
        paid.order().expect("an order")
    };
    let before = buy(&mut platform);
    drop(primary);
    let refused = platform.must(&Call::create(&fresh_key(), "bun", 1)).expect(503);
    assert!(refused.says("unavailable"), "a server that takes no writes is passed over: {refused:?}");
    standby.promote();
    let after = buy(&mut platform);
    for order in [&before, &after] {
        let shown = platform.must(&Call::get(&format!("/orders/{order}"))).expect(200);
        assert_eq!(shown.json["id"], order.as_str());
    }
    let mut books = Books::Postgres(PgConnection::establish(&standby.url()).expect("a connection"));
    assert_eq!(violations(&books.state(&place, ITEMS)), Vec::<String>::new());
    drop(books);
    assert!(server.stop().status.success());
}
