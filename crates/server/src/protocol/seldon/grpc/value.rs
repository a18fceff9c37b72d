//! Values as protobuf's Struct has them: JSON in another dress. Rows of them go into columns; what is JSON everywhere
//! else becomes its text.

use portend_model::frame::{Columns, Frame, Place, Value as Cell};
use portend_model::{DataError, Model};
use serde_json::Value as Json;

use super::super::bad;
use super::super::rows::places;
use super::wire::{Field, Fields, fields, push_bytes, push_double, push_integer};
use crate::error::ServerError;

/// A Value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'b> {
    Null,
    Number(f64),
    Text(&'b str),
    Bool(bool),
    /// A Struct.
    Object(&'b [u8]),
    /// A ListValue.
    List(&'b [u8]),
}

impl<'b> Value<'b> {
    /// Reads a Value; one without a field is null.
    fn read(of: &'static str, bytes: &'b [u8]) -> Result<Self, ServerError> {
        let mut value = Self::Null;
        for field in fields(of, bytes) {
            value = match field? {
                (1, _) => Self::Null,
                (2, Field::Eight(number)) => Self::Number(f64::from_le_bytes(number)),
                (2, _) => return Err(bad(format!("Invalid message: a number of {of} is of another type"))),
                (3, text) => Self::Text(text.text(of)?),
                (4, truth) => Self::Bool(truth.varint(of)? != 0),
                (5, object) => Self::Object(object.bytes(of)?),
                (6, list) => Self::List(list.bytes(of)?),
                _ => continue,
            };
        }
        Ok(value)
    }
}

/// The Values of a ListValue.
#[derive(Debug, Clone)]
struct Items<'b> {
    of: &'static str,
    fields: Fields<'b>,
}

fn items<'b>(of: &'static str, list: &'b [u8]) -> Items<'b> {
    Items { of, fields: fields(of, list) }
}

impl<'b> Iterator for Items<'b> {
    type Item = Result<Value<'b>, ServerError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.fields.next()? {
                Ok((1, value)) => {
                    return Some(value.bytes(self.of).and_then(|value| Value::read(self.of, value)));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

const NDARRAY: &str = "data.ndarray";

/// Decodes a ListValue of rows, which are lists, each with a value for each of `names`, or for each feature in the model's
/// order where there are no names.
pub(super) fn rows(list: &[u8], names: Option<&[&str]>, model: &Model) -> Result<Frame, ServerError> {
    let rows = items(NDARRAY, list);
    let mut columns = model.columns(rows.clone().count())?;
    let places = places(&mut columns, names, names.map_or(model.inputs.columns().len(), <[_]>::len))?;
    for (row, values) in rows.enumerate() {
        let Value::List(values) = values? else {
            return Err(bad("data.ndarray: expected a list of rows, each a list of values"));
        };
        set_row(&mut columns, &places, row, values)?;
    }
    Ok(columns.finish(places.len())?)
}

fn set_row(
    columns: &mut Columns<'_>,
    places: &[Place],
    row: usize,
    values: &[u8],
) -> Result<(), ServerError> {
    let mut found = 0;
    for value in items(NDARRAY, values) {
        let place = places.get(found).copied().flatten();
        found += 1;
        let value = match value? {
            Value::Null => Cell::Missing,
            Value::Number(number) => Cell::Number(number),
            Value::Text(text) => Cell::Text(text),
            Value::Bool(truth) => Cell::Number(f64::from(u8::from(truth))),
            Value::Object(_) | Value::List(_) => {
                return Err(DataError::Nested { column: columns.name(place).to_owned(), row }.into());
            }
        };
        if let Some(input) = place {
            columns.set(row, input, value)?;
        }
    }
    match found == places.len() {
        true => Ok(()),
        false => Err(DataError::RowWidth { row, expected: places.len(), found }.into()),
    }
}

/// Whether the items of a ListValue are lists; refuses one that its reader would refuse.
pub(super) fn is_list_of_lists(of: &'static str, list: &[u8]) -> Result<bool, ServerError> {
    let nested = items(of, list).next().transpose()?;
    check(of, Value::List(list), 0)?;
    Ok(matches!(nested, Some(Value::List(_))))
}

/// Values may be nested so deep, as their readers have it.
const MOST_DEPTH: usize = 64;

fn too_deep(of: &str) -> ServerError {
    bad(format!("Invalid message: {of} is nested deeper than {MOST_DEPTH} times"))
}

fn check(of: &'static str, value: Value<'_>, depth: usize) -> Result<(), ServerError> {
    match value {
        Value::Object(_) | Value::List(_) if depth == MOST_DEPTH => Err(too_deep(of)),
        Value::List(list) => items(of, list).try_for_each(|item| check(of, item?, depth + 1)),
        Value::Object(object) => entries(of, object).try_for_each(|entry| check(of, entry?.1, depth + 1)),
        _ => Ok(()),
    }
}

/// Refuses an entry of a map of Values that its reader would refuse.
pub(super) fn check_entry(of: &'static str, bytes: &[u8]) -> Result<(), ServerError> {
    check(of, entry(of, bytes)?.1, 0)
}

/// Refuses a Value that its reader would refuse.
pub(super) fn check_value(of: &'static str, bytes: &[u8]) -> Result<(), ServerError> {
    check(of, Value::read(of, bytes)?, 0)
}

/// Key and value of an entry of a map.
fn entry<'b>(of: &'static str, bytes: &'b [u8]) -> Result<(&'b str, Value<'b>), ServerError> {
    let (mut key, mut value) = ("", Value::Null);
    for field in fields(of, bytes) {
        match field? {
            (1, text) => key = text.text(of)?,
            (2, bytes) => value = Value::read(of, bytes.bytes(of)?)?,
            _ => {}
        }
    }
    Ok((key, value))
}

type Entry<'b> = Result<(&'b str, Value<'b>), ServerError>;

/// The entries of a Struct.
fn entries<'b>(of: &'static str, object: &'b [u8]) -> impl Iterator<Item = Entry<'b>> {
    fields(of, object).filter_map(move |field| match field {
        Ok((1, bytes)) => Some(bytes.bytes(of).and_then(|bytes| entry(of, bytes))),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// What the bytes of JSON are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Value,
    Object,
    List,
}

/// JSON as text.
pub(super) fn json(of: &'static str, kind: Kind, bytes: &[u8]) -> Result<String, ServerError> {
    let value = match kind {
        Kind::Value => Value::read(of, bytes)?,
        Kind::Object => Value::Object(bytes),
        Kind::List => Value::List(bytes),
    };
    let mut text = String::with_capacity(bytes.len());
    write(of, value, 0, &mut text)?;
    Ok(text)
}

fn write(of: &'static str, value: Value<'_>, depth: usize, out: &mut String) -> Result<(), ServerError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
        Value::Text(text) => out.push_str(&Json::from(text).to_string()),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::Object(_) | Value::List(_) if depth == MOST_DEPTH => return Err(too_deep(of)),
        Value::List(list) => {
            out.push('[');
            for item in items(of, list) {
                write(of, item?, depth + 1, out)?;
                out.push(',');
            }
            closed(']', out);
        }
        Value::Object(object) => {
            out.push('{');
            for entry in entries(of, object) {
                let (key, value) = entry?;
                out.extend([&*Json::from(key).to_string(), ":"]);
                write(of, value, depth + 1, out)?;
                out.push(',');
            }
            closed('}', out);
        }
    }
    Ok(())
}

/// Ends what has a comma after each item.
fn closed(end: char, out: &mut String) {
    if out.ends_with(',') {
        _ = out.pop();
    }
    out.push(end);
}

/// A number as it stands in JSON: whole where it is whole, for all of them are doubles here; and a text where JSON has no
/// word for it.
fn number_text(number: f64) -> String {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match () {
        () if number.is_nan() => "\"NaN\"".to_owned(),
        () if number.is_infinite() => if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }.to_owned(),
        () if number.fract() == 0.0 && number.abs() <= EXACT => (number as i64).to_string(),
        () => Json::from(number).to_string(),
    }
}

/// Appends a Value as the field `number`.
pub(super) fn push_json(number: u8, json: &Json, out: &mut Vec<u8>) {
    let mut value = Vec::new();
    match json {
        Json::Null => push_integer(1, 0, &mut value),
        Json::Bool(truth) => push_integer(4, u64::from(*truth), &mut value),
        Json::Number(number) => push_double(2, number.as_f64().unwrap_or_default(), &mut value),
        Json::String(text) => push_bytes(3, text, &mut value),
        Json::Array(items) => {
            let mut list = Vec::new();
            items.iter().for_each(|item| push_json(1, item, &mut list));
            push_bytes(6, list, &mut value);
        }
        Json::Object(entries) => {
            let mut object = Vec::new();
            for (key, item) in entries {
                let mut entry = Vec::new();
                push_bytes(1, key, &mut entry);
                push_json(2, item, &mut entry);
                push_bytes(1, entry, &mut object);
            }
            push_bytes(5, object, &mut value);
        }
    }
    push_bytes(number, value, out);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The bytes of a Value.
    fn value(json: &Json) -> Vec<u8> {
        let mut message = Vec::new();
        push_json(1, json, &mut message);
        let (_, value) = fields("", &message).next().unwrap().unwrap();
        value.bytes("").unwrap().to_vec()
    }

    fn text(bytes: &[u8]) -> Result<String, String> {
        json("it", Kind::Value, bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_the_json_that_they_were_made_of() {
        for json in [
            json!(null),
            json!([1, -0.5, 1e300, "ü\"\n", true, false, null, [], {}]),
            json!({ "a": { "b": [{ "c": 1 }] }, "d": "" }),
        ] {
            assert_eq!(text(&value(&json)).as_deref(), Ok(&*json.to_string()));
        }
        assert_eq!(text(b"").as_deref(), Ok("null"));
        let mut number = Vec::new();
        push_double(2, f64::NEG_INFINITY, &mut number);
        assert_eq!(text(&number).as_deref(), Ok("\"-Infinity\""));
    }

    #[test]
    fn values_are_read_to_a_depth_and_no_deeper() {
        let nested = |depth: usize| (0..depth).fold(json!([]), |inner, _| json!([inner]));
        for (depth, fits) in [(MOST_DEPTH - 1, true), (MOST_DEPTH, false)] {
            let value = value(&nested(depth));
            assert_eq!((text(&value).is_ok(), check_value("it", &value).is_ok()), (fits, fits));
        }
        let error = text(&value(&nested(500))).unwrap_err();
        assert_eq!(error, "Invalid message: it is nested deeper than 64 times");
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for bytes in
            [&b"\x1a\x01\xff"[..], b"\x10\x01", b"\x32\x01\x0a", b"\x2a\x03\x0a\x01\xff", b"\x0a\x00\x1a"]
        {
            assert!(text(bytes).is_err() && check_value("it", bytes).is_err(), "{bytes:?}");
        }
    }
}
