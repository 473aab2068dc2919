//! Tests of the ratios of two commits.

use super::*;

#[test]
fn line_shows_the_ratios_of_pairs_and_no_ratio_of_a_figure_that_is_zero() {
    let sample = |per_second: f64, cpu: f64| Sample { done: per_second, per_second, cpu, ..Sample::default() };
    let a = vec![sample(100.0, 1.0), sample(200.0, 1.0), sample(100.0, 1.0)];
    let b = vec![sample(110.0, 2.2), sample(300.0, 3.0), sample(90.0, 1.8)];
    let line = Comparison { name: "SQLite read 8".to_owned(), sides: [a, b] }.line();
    assert_eq!(
        line,
        "SQLite read 8                  A    100/s  B    110/s  B / A 1.100 (least 0.900, most 1.500)  CPU 2.000  \
         Postgres CPU -  WAL -  failed 0"
    );
}
