//! Tests of the tables and the goals.

use std::time::Duration;

use super::*;
use crate::bench::idle::Memory;
use crate::bench::load::Flow;
use crate::bench::webhooks::Sending;

fn sample(per_second: f64) -> Sample {
    let done = per_second * 2.0;
    Sample {
        done,
        per_second,
        p50: 1.0,
        p99: 12.0,
        cpu: done / 1000.0,
        server_cpu: done / 250.0,
        wal: done * 7.0,
        failed: 1.0,
    }
}

fn report(large: Vec<Large>) -> Report {
    let cell = |engine, flow| Cell { engine, flow, connections: 8, shop: vec![sample(80.0)], bare: vec![100.0] };
    let sending = Sending { sample: sample(60.0), left: 3, sent_after: Duration::from_millis(1_500) };
    let shop = |engine| Measured {
        engine,
        started_in: Duration::from_millis(40),
        memory: Memory { idle_kib: 70_000, peak_kib: 90_000 },
        pages: vec![[100.0, 95.0]],
    };
    Report {
        cells: vec![cell("Postgres", Flow::Purchase), cell("SQLite", Flow::Purchase)],
        shops: vec![shop("SQLite"), shop("Postgres")],
        webhooks: Webhooks { at_rest: vec![sample(80.0)], sending: vec![sending] },
        recording: Recording {
            of_two_products: Vec::new(),
            purchases: [Vec::new(), Vec::new()],
            reads: [Vec::new(), Vec::new()],
        },
        half_load: vec![HalfLoad { engine: "Postgres", flow: Flow::Purchase, samples: vec![sample(40.0)] }],
        large,
        runs: 1,
        seconds: 2,
        postgres: "15.18".to_owned(),
    }
}

#[test]
fn tables_and_goals_show_the_figures() {
    let text = report(Vec::new()).markdown().unwrap();
    for row in [
        "| Postgres | purchase | 8 | 80 | 100 | 80 % | 1.0 ms | 12.0 ms | 1.00 s | 4.00 s | 7 bytes |",
        "| SQLite | purchase | 8 | 80 | 100 | 80 % | 1.0 ms | 12.0 ms | 1.00 s |  |  |",
        "| at rest | 80 |  | 1.00 s | 4.00 s | 7 bytes |  |  |",
        "| sending | 60 | 75 % | 1.00 s | 4.00 s | 7 bytes | 3 | 1500 ms |",
        "| Postgres | purchase | 40 | 1.0 ms | 12.0 ms |",
        "| SQLite | 40 ms | 72 MB | 92 MB |",
        "| purchase of bare Postgres, 8 connections: at least 75 % | 80.0 % | yes |",
        "| purchase while webhooks are sent, of the rate at rest: at least 85 % | 75.0 % | no |",
        "| all webhooks sent after the load: under 1000 ms | 1500 ms | no |",
        "| CPU of the shop for 1,000 purchases on Postgres: under 1.5 s | 1.00 s | yes |",
        "| p99 at half load on Postgres: under 10 ms | 12 ms | no |",
        "Requests that failed in all runs: 5.",
    ] {
        assert!(text.contains(row), "{row} is not in:\n{text}");
    }
    assert!(!text.contains("Large database"));
}

#[test]
fn large_database_has_a_table_only_if_it_was_measured() {
    let cell = Large { engine: "SQLite", flow: Flow::Read, empty: vec![sample(100.0)], large: vec![sample(90.0)] };
    let text = report(vec![cell]).markdown().unwrap();
    assert!(text.contains("| SQLite | read | 100 | 90 | 90 % |"), "{text}");
}
