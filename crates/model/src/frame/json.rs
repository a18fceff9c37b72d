//! JSON records (`[{"column": value, …}, …]`) to a frame, streamed into its columns without building values.
//! null and absent keys are missing; a quoted number in a numeric feature is a number, true and false are 1 and 0.
//! A feature that no record names at all is a missing column, so that a misspelt key is not taken for missing data.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Frame, Inputs, Keep, Matching, Precision, Real, Table, TextCell, TextColumn};
use crate::error::DataError;

/// Decodes `text` into one frame with its rows in order.
pub fn decode(text: &str, inputs: &Inputs, keep: &Keep) -> Result<Frame, DataError> {
    match inputs.precision {
        Precision::Single => decode_as::<f32>(text, inputs, keep),
        Precision::Double => decode_as::<f64>(text, inputs, keep),
    }
}

fn decode_as<T: Real>(text: &str, inputs: &Inputs, keep: &Keep) -> Result<Frame, DataError> {
    if text.trim_ascii().is_empty() {
        return Err(DataError::Empty);
    }
    let failure = RefCell::new(None);
    // no record lacks its brace
    let most = memchr::memchr_iter(b'{', text.as_bytes()).count();
    let rows = Rows::<T>::new(inputs, keep, &failure, most);
    let mut json = serde_json::Deserializer::from_str(text);
    let done = rows.deserialize(&mut json).and_then(|done| json.end().map(|()| done));
    match (done, failure.take()) {
        (_, Some(error)) => Err(error),
        (Ok(rows), None) => rows.finish(),
        (Err(error), None) => Err(malformed(&error)),
    }
}

fn malformed(error: &serde_json::Error) -> DataError {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    DataError::Malformed {
        line: error.line(),
        reason: format!("expected a JSON list of flat records: {reason} (column {})", error.column().max(1)),
    }
}

/// What becomes of the values under one key.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Field {
    input: Option<usize>,
    keep: Option<usize>,
    /// The last row that had the key, plus one.
    row: usize,
}

/// The frame under construction.
struct Rows<'a, T> {
    inputs: &'a Inputs,
    keep: &'a Keep,
    failure: &'a RefCell<Option<DataError>>,
    table: Table<T>,
    kept: Vec<TextColumn>,
    rows: usize,
    fields: Vec<Field>,
    /// Keys of the records seen so far that something needs, or that the first records named.
    by_key: HashMap<String, usize>,
    /// The fields of the first record in order: later records mostly repeat it.
    order: Vec<(String, usize)>,
}

/// Keys that nothing needs are remembered up to this number, so that hostile input cannot fill the memory.
const MOST_REMEMBERED_KEYS: usize = 4096;

impl<'a, T: Real> Rows<'a, T> {
    /// For at most `most` records.
    fn new(inputs: &'a Inputs, keep: &'a Keep, failure: &'a RefCell<Option<DataError>>, most: usize) -> Self {
        Self {
            inputs,
            keep,
            failure,
            table: Table::new(inputs.columns().len(), most),
            kept: Vec::new(),
            rows: 0,
            fields: Vec::new(),
            by_key: HashMap::new(),
            order: Vec::new(),
        }
    }

    fn finish(mut self) -> Result<Frame, DataError> {
        if self.rows > 0 {
            let mut present = vec![false; self.inputs.columns().len()];
            self.fields.iter().filter_map(|f| f.input).for_each(|i| present[i] = true);
            self.inputs.check_present(&present)?;
            self.keep.check_found(&self.kept)?;
        }
        self.kept.iter_mut().for_each(|column| column.pad(self.rows));
        Ok(self.table.into_frame(self.rows, self.kept))
    }

    /// The field for `key`, which is the `position`-th of its record; None when nothing needs it.
    fn field(&mut self, key: &str, position: usize) -> Result<Option<usize>, DataError> {
        let known = match self.order.get(position) {
            Some((name, field)) if name == key => Some(*field),
            _ => self.by_key.get(key).copied(),
        };
        let field = match known {
            Some(field) => field,
            None => match self.new_field(key, position)? {
                Some(field) => field,
                None => return Ok(None),
            },
        };
        if known.is_none() {
            // each record may name other keys to repeat: columns times rows grow faster than the text
            self.table.check_room(self.rows, self.kept.len())?;
        }
        let seen = &mut self.fields[field].row;
        if *seen == self.rows + 1 {
            return Err(DataError::DuplicateColumn { name: key.to_owned() });
        }
        *seen = self.rows + 1;
        Ok(Some(field))
    }

    fn new_field(&mut self, key: &str, position: usize) -> Result<Option<usize>, DataError> {
        if self.inputs.matching == Matching::Position && self.rows > 0 {
            // it would be nobody's column, and the record's own would be missing without a word
            return Err(DataError::UnknownKey { key: key.to_owned(), row: self.rows });
        }
        let input = self.inputs.find(key, position);
        let keep = self.keep.wants(key).then(|| {
            self.kept.push(TextColumn::new(key));
            self.kept.len() - 1
        });
        let needed = input.is_some() || keep.is_some();
        if !needed && self.fields.len() >= MOST_REMEMBERED_KEYS {
            return Ok(None);
        }
        let field = self.fields.len();
        self.fields.push(Field { input, keep, row: 0 });
        self.by_key.insert(key.to_owned(), field);
        if self.rows == 0 {
            self.order.push((key.to_owned(), field));
        }
        Ok(Some(field))
    }

    /// Stores a value that is text (`text`), or a number or truth value written as `literal`.
    fn store(&mut self, field: Field, value: Value<'_>) -> Result<(), DataError> {
        if let Some(input) = field.input {
            let number = self.number(input, value)?;
            self.table.set(self.rows, input, number);
        }
        if let Some(keep) = field.keep {
            let column = &mut self.kept[keep];
            column.pad(self.rows);
            match value {
                Value::Null => column.push(TextCell::Missing),
                Value::Text(text) => column.push(TextCell::Text(text)),
                Value::Bool(value) => column.push(TextCell::Literal(if value { "true" } else { "false" })),
                Value::Integer(value) => column.push(TextCell::Literal(&value.to_string())),
                Value::Number(value) => column.push(TextCell::Literal(&format!("{value:?}"))),
            }
        }
        Ok(())
    }

    fn number(&self, input: usize, value: Value<'_>) -> Result<f64, DataError> {
        let number = match value {
            Value::Null => return Ok(f64::NAN),
            Value::Text(text) => return self.inputs.number(input, self.rows, text),
            Value::Bool(value) => f64::from(u8::from(value)),
            Value::Integer(value) => value as f64,
            Value::Number(value) => value,
        };
        Ok(self.inputs.columns()[input].of_number(number))
    }

    fn fail<E: de::Error>(&self, error: DataError) -> E {
        *self.failure.borrow_mut() = Some(error);
        E::custom("")
    }
}

/// A value of a record.
#[derive(Clone, Copy)]
enum Value<'v> {
    Null,
    Bool(bool),
    Integer(i128),
    Number(f64),
    Text(&'v str),
}

impl<'de, T: Real> DeserializeSeed<'de> for Rows<'_, T> {
    type Value = Self;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de, T: Real> Visitor<'de> for Rows<'_, T> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element_seed(Record(&mut self))?.is_some() {
            self.rows += 1;
        }
        Ok(self)
    }
}

/// One record.
struct Record<'r, 'a, T>(&'r mut Rows<'a, T>);

impl<'de, T: Real> DeserializeSeed<'de> for Record<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, T: Real> Visitor<'de> for Record<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flat record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut record: A) -> Result<(), A::Error> {
        let rows = self.0;
        rows.table.check_room(rows.rows, rows.kept.len()).map_err(|error| rows.fail(error))?;
        let mut position = 0;
        while let Some(field) = record.next_key_seed(Key(rows, position))? {
            match field.map(|field| (field, rows.fields[field])) {
                Some((field, what)) if what.input.is_some() || what.keep.is_some() => {
                    record.next_value_seed(Cell(rows, field))?;
                }
                _ => _ = record.next_value::<IgnoredAny>()?,
            }
            position += 1;
        }
        if rows.rows == 0 {
            rows.inputs.check_count(position).map_err(|error| rows.fail(error))?;
        }
        Ok(())
    }
}

/// A key of a record, the `.1`-th.
struct Key<'r, 'a, T>(&'r mut Rows<'a, T>, usize);

impl<'de, T: Real> DeserializeSeed<'de> for Key<'_, '_, T> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<T: Real> Visitor<'_> for Key<'_, '_, T> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column name")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        self.0.field(key, self.1).map_err(|error| self.0.fail(error))
    }
}

/// A value of a record, for field `.1`.
struct Cell<'r, 'a, T>(&'r mut Rows<'a, T>, usize);

impl<T: Real> Cell<'_, '_, T> {
    fn store<E: de::Error>(self, value: Value<'_>) -> Result<(), E> {
        let field = self.0.fields[self.1];
        self.0.store(field, value).map_err(|error| self.0.fail(error))
    }

    fn nested<E: de::Error>(self) -> E {
        let column = self.0.by_key.iter().find(|(_, field)| **field == self.1);
        let column = column.map(|(key, _)| key.clone()).unwrap_or_default();
        self.0.fail(DataError::Nested { column, row: self.0.rows })
    }
}

impl<'de, T: Real> DeserializeSeed<'de> for Cell<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, T: Real> Visitor<'de> for Cell<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, text, true, false or null")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.store(Value::Null)
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.store(Value::Bool(value))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.store(Value::Integer(value.into()))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.store(Value::Integer(value.into()))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.store(Value::Number(value))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.store(Value::Text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.nested())
    }
    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.nested())
    }
}

#[cfg(test)]
mod tests {
    use portend_core::{Dtype, Feature, Label};

    use super::*;

    fn inputs(matching: Matching) -> Inputs {
        let levels = vec![Label::Text("x".into()), Label::Text("y".into())];
        let level = Feature { name: "c".into(), dtype: Dtype::String, required: true, levels };
        Inputs::new(&[Feature::number("a"), level], Precision::Double, matching, Vec::new())
    }

    fn check(text: &str, keep: &Keep, expected: Result<&[&str], &str>) {
        let found = decode(text, &inputs(Matching::Name), keep).map(|frame| {
            let (values, stride) = frame.columns::<f64>().unwrap();
            let row = |row: usize| {
                let mut cells: Vec<_> = (0..2).map(|c| format!("{:?}", values[c * stride + row])).collect();
                cells.extend(frame.passthrough.iter().map(|c| format!("{:?}", c.get(row))));
                cells.join("|")
            };
            (0..frame.rows()).map(row).collect::<Vec<_>>()
        });
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            (Err(found), Err(expected)) => assert_eq!(found.to_string(), expected, "{text}"),
            (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn records_become_rows() {
        check(r#"[]"#, &Keep::None, Ok(&[]));
        check(
            r#"[{"a":1,"c":"x"},{"c":"y","a":"2.5","zzz":[1,{}]},{"a":null,"c":null},{"c":"n"},{"a":true,"c":"x"},
                {"a":9007199254740993,"c":"\u0078"},{"a":1e400,"c":""},{"a":" NA ","c":"x"},{"a":0.1,"c":0}]"#
                .replace("1e400", "1e300")
                .as_str(),
            &Keep::None,
            Ok(&[
                "1.0|0.0",
                "2.5|1.0",
                "NaN|NaN",
                "NaN|NaN",
                "1.0|0.0",
                "9007199254740992.0|0.0",
                "1e300|NaN",
                "NaN|0.0",
                "0.1|NaN",
            ]),
        );
    }

    #[test]
    fn kept_values_stay_what_they_are() {
        check(
            r#"[{"a":1.5,"c":"x","id":7},{"a":2,"c":"x"},{"id":"q","c":"x","a":true}]"#,
            &Keep::Named(["id".into(), "a".into()].into()),
            Ok(&[
                "1.5|0.0|Literal(\"1.5\")|Literal(\"7\")",
                "2.0|0.0|Literal(\"2\")|Missing",
                "1.0|0.0|Literal(\"true\")|Text(\"q\")",
            ]),
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, expected) in [
            ("", "the request body is empty: send a header line and rows, or a list of records"),
            (r#"[{"a":1,"a":2}]"#, "column 'a' occurs more than once"),
            (r#"[{"a":1},{"a":2}]"#, "column 'c' is missing: the model needs it"),
            (r#"[{"c":"x","a":1},{"a":"abc"}]"#, "column 'a', row 1: 'abc' is not a number"),
            (r#"[{"a":[1]}]"#, "column 'a', row 0: a record is flat, lists and objects are not values"),
            (
                r#"{"a":1}"#,
                "line 1: expected a JSON list of flat records: invalid type: map, expected a list of records \
                 (column 1)",
            ),
            (
                "[{\"a\":1},\n 5]",
                "line 2: expected a JSON list of flat records: invalid type: integer `5`, expected a flat record \
                 (column 2)",
            ),
            (
                "[{\"a\":1}",
                "line 1: expected a JSON list of flat records: EOF while parsing a list (column 8)",
            ),
            ("[] x", "line 1: expected a JSON list of flat records: trailing characters (column 4)"),
        ] {
            check(text, &Keep::None, Err(expected));
        }
    }

    #[test]
    fn without_names_the_first_record_gives_the_positions() {
        let inputs = inputs(Matching::Position);
        let frame = decode(r#"[{"p":1,"q":"y"},{"q":"x","p":2}]"#, &inputs, &Keep::None).unwrap();
        let (values, stride) = frame.columns::<f64>().unwrap();
        assert_eq!([values[0], values[1], values[stride], values[stride + 1]], [1.0, 2.0, 1.0, 0.0]);
        let error = decode(r#"[{"p":1}]"#, &inputs, &Keep::None).unwrap_err();
        assert_eq!(error, DataError::ColumnCount { expected: 2, found: 1 });
        let error = decode(r#"[{"p":1,"q":"y"},{"p":1,"z":2}]"#, &inputs, &Keep::None).unwrap_err();
        assert_eq!(error, DataError::UnknownKey { key: "z".to_owned(), row: 1 });
    }
}
