//! Reads JSON documents as I-JSON (RFC 7493). The rules hold for the whole document, also for members that are not
//! used.
//!
//! Refused are duplicate members, numbers beyond 2^53 - 1, and texts with a NUL, which Postgres cannot store. A number
//! is read by its value: `1.0` is `1`. The parser refuses a document that is nested more than 128 levels deep.

use std::fmt;

use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};

use super::Problem;

/// The largest absolute value of a number, 2^53 - 1. A double represents every whole number up to it.
const LARGEST: i64 = 9_007_199_254_740_991;

/// Reads a `T` from a JSON body. The problem names the member that is wrong.
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    match document(body)? {
        object @ Value::Object(_) => typed(object),
        // Derived code would read an array of the members' values.
        _ => Err(malformed("The body is not an object".to_owned())),
    }
}

/// Reads a JSON body as a document. The problem names the member that is wrong.
pub fn document(body: &[u8]) -> Result<Value, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let Document(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| named(&error))?;
    reader.end().map_err(|error| malformed(format!("The body is not valid: {error}")))?;
    Ok(value)
}

/// Reads a `T` out of a document. The problem names the member that is wrong.
pub fn typed<T: DeserializeOwned>(document: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(document).map_err(|error| named(&error))
}

fn named(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let (path, inner) = (error.path().to_string(), error.inner());
    match path.as_str() {
        "." | "?" => malformed(format!("The body is not valid: {inner}")),
        path => malformed(format!("{path}: {inner}")),
    }
}

fn malformed(content: String) -> Problem {
    // The text is cut, because the parser quotes the input in it.
    Problem::bad_request("malformed_body", content.chars().take(300).collect::<String>())
}

/// As a flattened member, makes serde read the struct from an object only. Derived code would also accept an array of
/// the members' values.
#[derive(Default, Serialize, Deserialize)]
pub struct ObjectOnly {}

struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Document)
    }
}

struct Reader;

impl Reader {
    fn whole<E: Error>(number: i64) -> Result<Value, E> {
        if number.unsigned_abs() > LARGEST.unsigned_abs() {
            return Err(E::custom("a number beyond 2^53 - 1"));
        }
        Ok(Value::Number(number.into()))
    }

    fn text<E: Error>(text: String) -> Result<String, E> {
        if text.contains('\0') { Err(E::custom("a text with a NUL character")) } else { Ok(text) }
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Self::whole(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Self::whole(i64::try_from(number).unwrap_or(i64::MAX))
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        if number.abs() > LARGEST as f64 {
            return Err(E::custom("a number beyond 2^53 - 1"));
        }
        if number.fract() == 0.0 {
            return Self::whole(number as i64);
        }
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Self::text(text.to_owned()).map(Value::String)
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Self::text(text).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Document(entry)) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let name = Self::text(name)?;
            if object.contains_key(&name) {
                let shown: String = name.chars().take(100).collect();
                return Err(A::Error::custom(format!("duplicate member `{shown}`")));
            }
            let Document(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
