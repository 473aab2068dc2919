//! Tests of `table.rs`.

use super::*;

const PETS: Table<(String, i64), 3> = Table {
    file: "pets.csv",
    columns: ["id", "legs", "note"],
    optional: &["note"],
    confidential: false,
    row: |[id, legs, note], _| {
        note.optional_text(5)?;
        Ok((id.id()?, legs.whole("legs", 0, 8)?))
    },
    unique: &[
        Unique { columns: "id", of: |(id, _)| id.clone() },
        Unique { columns: "id and legs", of: |(id, legs)| format!("{}{legs}", id.to_lowercase()) },
    ],
};

fn read(table: &Table<(String, i64), 3>, bytes: &[u8]) -> (Vec<(String, i64)>, String) {
    let mut reading = Reading::new(Currency::parse("USD").expect("valid"));
    (table.read(bytes, &mut reading), reading.problems.to_string())
}

#[test]
fn rows_have_the_lines_that_an_editor_shows() {
    for (bytes, lines) in [
        (&b"id,legs\ncat,4\nant,6\n"[..], [2, 3]),
        (b"id,legs\ncat,4\nant,6", [2, 3]),
        (b"id,legs\r\ncat,4\r\nant,6\r\n", [2, 3]),
        (b"\n\nid,legs\n\n \ncat,4\n\nant,6\n\n", [6, 8]),
        (b"\r\nid,legs\r\n\r\ncat,4\r\n\r\nant,6", [4, 6]),
        (b"id,legs,note\n\"cat\",4,\"\n\"\nant,6,\n", [2, 4]),
        (b"\xEF\xBB\xBFid,legs\ncat,4\nant,6\n", [2, 3]),
        (b"\xEF\xBB\xBF\"legs\", id \n 4,cat\n6, ant \n", [2, 3]),
    ] {
        let mut reading = Reading::new(Currency::parse("USD").expect("valid"));
        let rows = PETS.read(bytes, &mut reading);
        assert_eq!(reading.problems.to_string(), "", "{bytes:?}");
        assert_eq!(reading.positions.0["pets.csv"], lines, "{bytes:?}");
        assert_eq!(rows, [("cat".to_owned(), 4), ("ant".to_owned(), 6)], "{bytes:?}");
    }
}

#[test]
fn problem_is_reported_with_its_line() {
    for (bytes, expected) in [
        (&b""[..], "pets.csv:1: is empty; its first row must name the columns id, legs, note"),
        (b"\n\n", "pets.csv:1: is empty; its first row must name the columns id, legs, note"),
        (b"id,feet\n", "pets.csv:1: the column \"feet\" is unknown\npets.csv:1: the column legs is missing"),
        (b"id,legs,id\n", "pets.csv:1: the column id occurs twice"),
        (b"id,legs,\n", "pets.csv:1: the column \"\" is unknown"),
        (b"\xFF\xFEi\0d\0", "pets.csv:1: is not UTF-8: save the file in that encoding"),
        (
            b"id,legs\ncat\nant,6,x\n",
            "pets.csv:2: the number of fields is 1 instead of 2; perhaps a quotation mark is not closed\n\
                 pets.csv:3: the number of fields is 3 instead of 2; a field with a comma in it needs quotation marks",
        ),
        (b"id,legs,note\ncat,4,\"a\nant,6,\nbee,6,\n", "pets.csv:2: a quotation mark that opens here is not closed"),
        (b"legs,id\n4,k\xE4fer\n", "pets.csv:2: id: is not UTF-8"),
        (
            b"id,legs\ncat,four\n\n,4\nant,9\n",
            "pets.csv:2: legs: must be a whole number of legs, not \"four\"\npets.csv:4: id: must not be empty\n\
                 pets.csv:5: legs: must be between 0 and 8 legs, not \"9\"",
        ),
        (
            b"id,legs\ncat,4\nant,6\ncat,4\n cat,3\n",
            "pets.csv:4: id: is the same as in line 2\npets.csv:5: id: is the same as in line 2",
        ),
        (b"id,legs\ncat,4\nCAT,4\nCat,3\n", "pets.csv:3: id and legs: is the same as in line 2"),
    ] {
        assert_eq!(read(&PETS, bytes).1, expected, "{bytes:?}");
    }
}

#[test]
fn quotation_mark_inside_an_unquoted_field_is_read_as_itself() {
    let (rows, problems) = read(&PETS, b"id,legs\n[\"cat\"],4\n\"[\"\"a\"\",\"\"b\"\"]\",6\n");
    assert_eq!(problems, "");
    assert_eq!(rows, [(r#"["cat"]"#.to_owned(), 4), (r#"["a","b"]"#.to_owned(), 6)]);
}

#[test]
fn problems_of_a_confidential_file_do_not_repeat_its_values() {
    let table = Table { confidential: true, ..PETS };
    let (_, problems) = read(&table, b"hunter2,4\n");
    assert!(problems.contains("column 1 is unknown") && !problems.contains("hunter2"), "{problems}");
    let (_, problems) = read(&table, b"id,legs\ncat,hunter2\n");
    assert_eq!(problems, "pets.csv:2: legs: must be a whole number of legs");
}

#[test]
fn rows_beyond_the_limit_are_a_problem() {
    let mut reading = Reading { rows_left: 1, ..Reading::new(Currency::parse("USD").expect("valid")) };
    let rows = PETS.read(b"id,legs\ncat,4\nant,6\nbee,6\n", &mut reading);
    assert_eq!(rows.len(), 1);
    let expected = "pets.csv:3: there are more than 1000000 rows in all; import them in parts";
    assert_eq!(reading.problems.to_string(), expected);
}
