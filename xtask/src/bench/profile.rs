//! How many statements, round trips and parses each operation of a purchase needs.

use std::fmt::Write;

use anyhow::Result;

use super::Bench;
use super::log::{Entry, Step};
use super::recording::{Operation, Recording};

/// The sums over the transactions of an operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Count {
    pub operation: String,
    pub transactions: usize,
    /// The statements, without those that begin and end a transaction.
    pub statements: usize,
    /// The messages to the server that the shop waits for: each statement, each start and end of a transaction, and
    /// each preparation of a statement.
    pub round_trips: usize,
    /// How often the server parsed a statement with parameters.
    pub parses: usize,
    /// The time in the server.
    pub ms: f64,
}

impl Count {
    fn add(&mut self, operation: &Operation) {
        let count = |is: &dyn Fn(&Entry) -> bool| operation.transaction.iter().filter(|entry| is(entry)).count();
        let is_run = |entry: &Entry| matches!(entry.step, Step::Execute | Step::Simple);
        self.transactions += 1;
        self.statements += count(&|entry| is_run(entry) && !entry.is_boundary());
        self.round_trips += count(&|entry| is_run(entry) || entry.step == Step::Parse);
        self.parses += count(&|entry| entry.step == Step::Parse);
        self.ms += operation.transaction.iter().map(|entry| entry.ms).sum::<f64>();
    }
}

/// The sums of each operation, in the order of their first transactions, and then the sums of all.
pub fn counts(operations: &[Operation]) -> Vec<Count> {
    let mut counts: Vec<Count> = Vec::new();
    let mut total = Count { operation: "all".to_owned(), ..Count::default() };
    for operation in operations {
        total.add(operation);
        match counts.iter_mut().find(|count| count.operation == operation.name) {
            Some(count) => count.add(operation),
            None => {
                let mut count = Count { operation: operation.name.clone(), ..Count::default() };
                count.add(operation);
                counts.push(count);
            }
        }
    }
    counts.push(total);
    counts
}

impl Bench {
    /// Prints the table for a shop of this source tree, and the statements that a warm shop prepares.
    pub fn profile(&self) -> Result<()> {
        let (_engine, recording) = self.recording()?;
        recording.warn_of_differences()?;
        let mut text = String::new();
        write(&recording, &mut text)?;
        println!("{text}");
        for Operation { name, transaction } in &recording.of_two_products {
            for entry in transaction.iter().filter(|entry| entry.step == Step::Parse) {
                println!("{name} prepares again, or first on its connection: {}", entry.sql);
            }
        }
        Ok(())
    }
}

/// Writes the table.
pub fn write(recording: &Recording, text: &mut String) -> Result<()> {
    text.push_str(
        "| operation | transactions | statements | round trips | parses | time in Postgres |\n|---|--:|--:|--:|--:|--:|\n",
    );
    for count in counts(&recording.of_two_products) {
        let Count { operation, transactions, statements, round_trips, parses, ms } = count;
        writeln!(text, "| {operation} | {transactions} | {statements} | {round_trips} | {parses} | {ms:.2} ms |")?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
