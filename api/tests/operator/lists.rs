//! Lists of the command line are bounded and say when there is more.

use crate::kit::Place;
use crate::kit::command::tuckshop_at;

const ORDER: &str = "ord_01900000000070008000000000000000";

/// A query for the numbers up to `count`, in SQL that both engines accept.
fn numbers(count: u32) -> String {
    format!("WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})")
}

/// The last line of a command's output.
fn last_line(place: &Place, arguments: &[&str]) -> String {
    let finished = tuckshop_at(place, arguments, &[]);
    assert_eq!(finished.code, 0, "{arguments:?}: {}", finished.err);
    finished.out.lines().last().unwrap_or_default().to_owned()
}

async fn truncated_list_says_that_there_is_more(place: Place) {
    assert_eq!(tuckshop_at(&place, &["migrate"], &[]).code, 0);
    let platforms = ["platforms", "list"];
    let destinations = ["deliveries", "destinations", "--limit", "3"];
    let deliveries = ["deliveries", "list", "--limit", "3"];
    place.execute(&format!(
        "INSERT INTO platform (id, profile, pinned_at) {} SELECT 'https://p.example/' || n, '{{}}', 0 FROM numbers",
        numbers(1_000)
    ));
    place.execute(&format!(
        "INSERT INTO destination (id, channel, served_at, rest_until, failures) \
         {} SELECT 'webhook:https://p.example/' || n, 'webhook', 0, 0, 0 FROM numbers",
        numbers(3)
    ));
    place.execute(&format!(
        "INSERT INTO checkout \
           (id, owner, status, version, currency, page, created_at, updated_at, expires_at, details) \
         VALUES ('c', 'o', 'completed', 1, 'USD', 'p', 0, 0, 0, '{{}}'); \
         INSERT INTO orders (id, checkout_id, owner, page, currency, expectations, totals, attribution, placed_at) \
         VALUES ('{ORDER}', 'c', 'o', 'p', 'USD', '[]', '[]', '{{}}', 0)"
    ));
    let delivery = |count, after| {
        let prefix = format!("msg_0190000000007000800000000000{after:03}");
        format!(
            "INSERT INTO delivery \
               (id, channel, destination, order_id, sequence, event, body, state, occurred_at, due_at, attempts) \
             {} SELECT '{prefix}' || n, 'webhook', 'webhook:https://p.example/1', '{ORDER}', n + {after}, \
               'order_placed', '', 'pending', 0, 0, 0 FROM numbers",
            numbers(count)
        )
    };
    place.execute(&delivery(3, 0));
    assert_eq!(last_line(&place, &platforms), "1000 pinned.");
    assert_eq!(last_line(&place, &destinations), "3 shown.");
    assert_eq!(last_line(&place, &deliveries), "3 shown.");

    place.execute("INSERT INTO platform (id, profile, pinned_at) VALUES ('https://q.example/', '{}', 0)");
    place.execute(
        "INSERT INTO destination (id, channel, served_at, rest_until, failures) \
         VALUES ('webhook:https://q.example/', 'webhook', 0, 0, 0)",
    );
    place.execute(&delivery(1, 3));
    assert_eq!(last_line(&place, &platforms), "The first 1000 are shown; there are more.");
    assert_eq!(last_line(&place, &destinations), "3 shown; there are more, see --limit.");
    assert_eq!(last_line(&place, &deliveries), "3 shown; there are more, see --limit.");

    // A command for all destinations reads more pages than one.
    place.execute(&format!(
        "INSERT INTO destination (id, channel, served_at, rest_until, failures) \
         {} SELECT 'webhook:https://r.example/' || n, 'webhook', 0, 0, 0 FROM numbers",
        numbers(9_997)
    ));
    place.execute(
        "UPDATE delivery SET state = 'dead', ended_at = 0, destination = 'webhook:https://r.example/9997' \
         WHERE sequence = 1",
    );
    let retried = tuckshop_at(&place, &["deliveries", "retry", "--all"], &[]);
    assert_eq!(retried.code, 0, "{}", retried.err);
    assert!(retried.out.contains("1 to be retried"), "{}", retried.out);
}

crate::on_both_engines!(truncated_list_says_that_there_is_more);
