//! Reads one CSV file: its header, and its rows with their line numbers.

use std::array;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use csv::{ByteRecord, Position, ReaderBuilder, StringRecord};
use domain::money::Currency;

use super::field::{BadField, Field, quoted};
use super::grammar;
use super::problem::{Problem, Problems};
use super::{MAX_ROWS, Positions};

/// The description of a file: its columns, and how a row is read.
pub(super) struct Table<T: 'static, const N: usize> {
    /// The name of the file, without its directory.
    pub file: &'static str,
    /// The columns, in the order in which `row` takes the fields.
    pub columns: [&'static str; N],
    /// The columns that a file may leave out. Their fields are then empty.
    pub optional: &'static [&'static str],
    /// Whether messages must not repeat values of the file.
    pub confidential: bool,
    /// Reads the fields of one row.
    pub row: fn([Field<'_>; N], Currency) -> Result<T, BadField>,
    /// The values that must differ between rows. The first one is the key of the row in the shop.
    pub unique: &'static [Unique<T>],
}

/// A value that no two rows of a file may share.
pub(super) struct Unique<T: 'static> {
    /// The columns of the value, for messages.
    pub columns: &'static str,
    pub of: fn(&T) -> String,
}

/// The state of one import, over all files.
pub(super) struct Reading {
    pub currency: Currency,
    pub rows_left: usize,
    pub problems: Problems,
    pub positions: Positions,
}

impl Reading {
    pub fn new(currency: Currency) -> Self {
        Self { currency, rows_left: MAX_ROWS, problems: Problems::default(), positions: Positions::default() }
    }
}

/// The order of the columns in a file.
struct Header<const N: usize> {
    /// The position of each column of the [`Table`]. `None` for an optional column that the file leaves out.
    positions: [Option<usize>; N],
    fields: usize,
}

impl<T, const N: usize> Table<T, N> {
    /// Reads the file. Returns the valid rows, and adds their positions and the problems of the others to `reading`.
    pub fn read(&self, bytes: &[u8], reading: &mut Reading) -> Vec<T> {
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        if let Some((line, message)) = grammar::mistake(bytes) {
            self.report(reading, line, BadField::row(message));
            return rows;
        }
        let mut records = records(bytes);
        let Some((line, header)) = records.next() else {
            let message = format!("is empty; its first row must name the columns {}", self.columns.join(", "));
            self.report(reading, 1, BadField::row(message));
            return rows;
        };
        let header = match self.header(header) {
            Ok(header) => header,
            Err(messages) => {
                messages.into_iter().for_each(|message| self.report(reading, line, BadField::row(message)));
                return rows;
            }
        };
        let mut first_lines = HashMap::<(usize, String), u64>::new();
        for (line, record) in records {
            if reading.rows_left == 0 {
                let message = format!("there are more than {MAX_ROWS} rows in all; import them in parts");
                self.report(reading, line, BadField::row(message));
                break;
            }
            reading.rows_left -= 1;
            match self.row(&header, record, reading.currency) {
                Err(bad) => self.report(reading, line, bad),
                Ok(value) => match self.duplicate(&mut first_lines, &value, line) {
                    Some(bad) => self.report(reading, line, bad),
                    None => {
                        rows.push(value);
                        lines.push(line);
                    }
                },
            }
        }
        reading.positions.0.insert(self.file, lines);
        rows
    }

    /// Remembers the unique values of a row. Returns a problem if an earlier row has one of the values.
    fn duplicate(&self, first_lines: &mut HashMap<(usize, String), u64>, value: &T, line: u64) -> Option<BadField> {
        for (index, unique) in self.unique.iter().enumerate() {
            match first_lines.entry((index, (unique.of)(value))) {
                Entry::Occupied(first) => {
                    let message = format!("is the same as in line {}", first.get());
                    return Some(BadField { column: unique.columns, message });
                }
                Entry::Vacant(unused) => drop(unused.insert(line)),
            }
        }
        None
    }

    fn header(&self, record: ByteRecord) -> Result<Header<N>, Vec<String>> {
        let Ok(record) = StringRecord::from_byte_record(record) else {
            return Err(vec!["is not UTF-8: save the file in that encoding".to_owned()]);
        };
        let mut wrong = Vec::new();
        let mut positions = [None; N];
        for (position, name) in record.iter().map(str::trim).enumerate() {
            match self.columns.iter().position(|column| *column == name) {
                Some(column) if positions[column].is_some() => {
                    wrong.push(format!("the column {name} occurs twice"));
                }
                Some(column) => positions[column] = Some(position),
                // If the file has no header, this is a row of confidential data, which a message must not repeat.
                None if self.confidential => wrong.push(format!("column {} is unknown", position + 1)),
                None => wrong.push(format!("the column {} is unknown", quoted(name))),
            }
        }
        for (column, position) in self.columns.iter().zip(positions) {
            if position.is_none() && !self.optional.contains(column) {
                wrong.push(format!("the column {column} is missing"));
            }
        }
        if wrong.is_empty() { Ok(Header { positions, fields: record.len() }) } else { Err(wrong) }
    }

    fn row(&self, header: &Header<N>, record: ByteRecord, currency: Currency) -> Result<T, BadField> {
        if record.len() != header.fields {
            let (found, wanted) = (record.len(), header.fields);
            let likely = if found > wanted {
                "a field with a comma in it needs quotation marks"
            } else {
                "perhaps a quotation mark is not closed"
            };
            return Err(BadField::row(format!("the number of fields is {found} instead of {wanted}; {likely}")));
        }
        let record = StringRecord::from_byte_record(record).map_err(|error| {
            let position = Some(error.utf8_error().field());
            let column = header.positions.iter().position(|other| *other == position);
            BadField { column: column.map_or("", |column| self.columns[column]), message: "is not UTF-8".to_owned() }
        })?;
        let fields = array::from_fn(|column| {
            let text = header.positions[column].and_then(|position| record.get(position)).unwrap_or_default();
            Field { column: self.columns[column], text: text.trim(), confidential: self.confidential }
        });
        (self.row)(fields, currency)
    }

    fn report(&self, reading: &mut Reading, line: u64, bad: BadField) {
        let BadField { column, message } = bad;
        reading.problems.add(Problem { file: self.file.to_owned(), line, column: column.to_owned(), message });
    }
}

/// The rows that are not blank, each with the line on which it begins.
fn records(bytes: &[u8]) -> impl Iterator<Item = (u64, ByteRecord)> {
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut lines = Lines { bytes, position: 0, line: 1 };
    let reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    // `map_while` loses no error. The csv reader fails only on input errors, invalid UTF-8 and rows of unequal length.
    // Here the input is in memory, and rows are bytes and may differ in length.
    let records = reader.into_byte_records().map_while(Result::ok);
    let numbered = records.map(move |record| {
        let start = record.position().map_or(0, Position::byte);
        (lines.line_of(usize::try_from(start).unwrap_or(usize::MAX)), record)
    });
    numbered.filter(|(_, record)| record.len() > 1 || record.iter().any(|field| !field.trim_ascii().is_empty()))
}

/// Counts the lines before a row. The csv reader's own count is wrong after blank lines and CRLF.
struct Lines<'a> {
    bytes: &'a [u8],
    position: usize,
    line: u64,
}

impl Lines<'_> {
    /// Returns the line number of the row that the csv reader found at the byte `start`. `start` must grow with every
    /// call.
    fn line_of(&mut self, start: usize) -> u64 {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let breaks = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let end = start + breaks;
        self.line += grammar::line_ends(self.bytes, self.position..end);
        self.position = end;
        self.line
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
