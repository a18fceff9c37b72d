//! JSON arrays into the columns of a frame: the values of one tensor, flat or nested, and lists of rows that are lists
//! themselves. null is missing; a quoted number is a number, true and false are 1 and 0, as in records.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::{Columns, Frame, Inputs, Place, Value};
use crate::error::DataError;

/// Writes the values of the JSON text `json`, which may be nested, row after row to `places`; gives their number, which
/// is more than fits when there are too many.
pub fn fill(columns: &mut Columns<'_>, places: &[Place], json: &str) -> Result<usize, DataError> {
    let failure = RefCell::new(None);
    let mut count = 0;
    let values = Values { columns, places, failure: &failure, at: Position::default(), count: &mut count };
    read(values, json, &failure, "expected values or nested lists of values")?;
    Ok(count)
}

/// Decodes `[[1, 2], [3, null]]`: a list of rows, each with a value for each of `names`, or for each feature in the
/// model's order where there are no names.
pub fn decode_rows(json: &str, inputs: &Inputs, names: Option<&[&str]>) -> Result<Frame, DataError> {
    // no row lacks its bracket
    let most = memchr::memchr_iter(b'[', json.as_bytes()).count();
    let mut columns = Columns::at_most(inputs, most);
    let places = match names {
        Some(names) => {
            names.iter().enumerate().map(|(i, name)| columns.place(name, i)).collect::<Result<Vec<_>, _>>()?
        }
        None => columns.all_places(inputs.columns().len())?,
    };
    let failure = RefCell::new(None);
    let rows = Rows { columns: &mut columns, places: &places, failure: &failure };
    read(rows, json, &failure, "expected a JSON list of rows, each a list of values")?;
    columns.finish(places.len())
}

fn read<'de, S: DeserializeSeed<'de>>(
    seed: S,
    json: &'de str,
    failure: &RefCell<Option<DataError>>,
    expected: &str,
) -> Result<(), DataError> {
    let mut json = serde_json::Deserializer::from_str(json);
    let done = seed.deserialize(&mut json).and_then(|_| json.end());
    match (done, failure.take()) {
        (_, Some(error)) => Err(error),
        (Ok(()), None) => Ok(()),
        (Err(error), None) => {
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or_default();
            let reason = format!("{expected}: {reason} (column {})", error.column().max(1));
            Err(DataError::Malformed { line: error.line(), reason })
        }
    }
}

type Failure<'a> = &'a RefCell<Option<DataError>>;

fn fail<E: de::Error>(failure: Failure<'_>, error: DataError) -> E {
    *failure.borrow_mut() = Some(error);
    E::custom("")
}

/// Where the next value goes.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    row: usize,
    column: usize,
}

/// Values of one tensor.
struct Values<'a, 'm> {
    columns: &'a mut Columns<'m>,
    places: &'a [Place],
    failure: Failure<'a>,
    at: Position,
    count: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for Values<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, json: D) -> Result<(), D::Error> {
        Nested(&mut self).deserialize(json)
    }
}

/// A value, or a list of what may be lists again.
struct Nested<'n, 'a, 'm>(&'n mut Values<'a, 'm>);

impl Nested<'_, '_, '_> {
    fn store<E: de::Error>(self, value: Value<'_>) -> Result<(), E> {
        let Values { columns, places, failure, at, count } = self.0;
        **count += 1;
        if at.row < columns.rows()
            && let Some(Some(input)) = places.get(at.column)
        {
            columns.set(at.row, *input, value).map_err(|error| fail(failure, error))?;
        }
        at.column += 1;
        if at.column >= places.len() {
            *at = Position { row: at.row + 1, column: 0 };
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Nested<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

/// The scalar values of JSON, given to `$store`; an object is told as a nested cell at `$place`.
macro_rules! scalars {
    ($store:ident, $nested:ident) => {
        fn visit_unit<E: de::Error>(self) -> Result<(), E> {
            self.$store(Value::Missing)
        }
        fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
            self.$store(Value::Number(f64::from(u8::from(value))))
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
            self.$store(Value::Number(value as f64))
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
            self.$store(Value::Number(value as f64))
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
            self.$store(Value::Number(value))
        }
        fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
            self.$store(Value::Text(value))
        }
        fn visit_map<A: de::MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
            Err(self.$nested())
        }
    };
}

impl<'de> Visitor<'de> for Nested<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, text, true, false, null or a list of these")
    }

    scalars!(store, nested);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Nested(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

impl Nested<'_, '_, '_> {
    fn nested<E: de::Error>(self) -> E {
        let Values { columns, places, failure, at, .. } = self.0;
        let column = columns.name(places.get(at.column).copied().flatten()).to_owned();
        fail(failure, DataError::Nested { column, row: at.row })
    }
}

/// A list of rows.
struct Rows<'a, 'm> {
    columns: &'a mut Columns<'m>,
    places: &'a [Place],
    failure: Failure<'a>,
}

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Row(&mut self))?.is_some() {}
        Ok(())
    }
}

/// One row.
struct Row<'r, 'a, 'm>(&'r mut Rows<'a, 'm>);

impl<'de> DeserializeSeed<'de> for Row<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row, which is a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Rows { columns, places, failure } = self.0;
        let row = columns.rows();
        columns.add_rows(1).map_err(|error| fail(failure, error))?;
        let mut found = 0;
        loop {
            let place = places.get(found).copied();
            if list.next_element_seed(Cell { columns, place, row, failure })?.is_none() {
                break;
            }
            found += 1;
        }
        match found == places.len() {
            true => Ok(()),
            false => Err(fail(failure, DataError::RowWidth { row, expected: places.len(), found })),
        }
    }
}

/// One value of a row; without a place when the row is too long.
struct Cell<'r, 'm> {
    columns: &'r mut Columns<'m>,
    place: Option<Place>,
    row: usize,
    failure: Failure<'r>,
}

impl Cell<'_, '_> {
    fn store<E: de::Error>(self, value: Value<'_>) -> Result<(), E> {
        match self.place.flatten() {
            Some(input) => {
                self.columns.set(self.row, input, value).map_err(|error| fail(self.failure, error))
            }
            None => Ok(()),
        }
    }

    fn nested<E: de::Error>(self) -> E {
        let column = self.columns.name(self.place.flatten()).to_owned();
        fail(self.failure, DataError::Nested { column, row: self.row })
    }
}

impl<'de> DeserializeSeed<'de> for Cell<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cell<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, text, true, false or null")
    }

    scalars!(store, nested);

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.nested())
    }
}

#[cfg(test)]
mod tests {
    use portend_core::Feature;

    use super::*;
    use crate::frame::{Matching, Precision};

    fn inputs() -> Inputs {
        let features = ["a", "b"].map(Feature::number);
        Inputs::new(&features, Precision::Double, Matching::Name, Vec::new())
    }

    fn shown(frame: &Frame) -> String {
        let (values, stride) = frame.columns::<f64>().unwrap();
        let row = |row: usize| format!("{:?} {:?}", values[row], values[stride + row]);
        (0..frame.rows()).map(row).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn values_are_written_flat_or_nested() {
        let check = |json: &str, expected: Result<(usize, &str), &str>| {
            let inputs = inputs();
            let mut columns = Columns::new(&inputs, 2).unwrap();
            let places = columns.all_places(2).unwrap();
            let found = fill(&mut columns, &places, json);
            let found =
                found.map(|count| (count, shown(&columns.finish(2).unwrap()))).map_err(|e| e.to_string());
            let found = found.as_ref().map(|(count, text)| (*count, text.as_str())).map_err(String::as_str);
            assert_eq!(found, expected, "{json}");
        };
        check("[1,2.5,null,true]", Ok((4, "1.0 2.5|NaN 1.0")));
        check("[[1,\"2.5\"],[\"NaN\",\"-Infinity\"]]", Ok((4, "1.0 2.5|NaN -inf")));
        check("[[[1]],[2,[3,[]]]]", Ok((3, "1.0 2.0|3.0 NaN")));
        check("7", Ok((1, "7.0 NaN|NaN NaN")));
        check("[1,2,3,4,5,6]", Ok((6, "1.0 2.0|3.0 4.0")));
        check("[1,2,3,\"x\"]", Err("column 'b', row 1: 'x' is not a number"));
        check("[1,{}]", Err("column 'b', row 0: a record is flat, lists and objects are not values"));
        check(
            "[1e400]",
            Err("line 1: expected values or nested lists of values: number out of range (column 6)"),
        );
    }

    #[test]
    fn lists_of_rows_become_frames() {
        let check = |json: &str, names: Option<&[&str]>, expected: Result<&str, &str>| {
            let found =
                decode_rows(json, &inputs(), names).map(|frame| shown(&frame)).map_err(|e| e.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{json}");
        };
        check("[]", None, Ok(""));
        check("[[1,2],[null,\"3\"]]", None, Ok("1.0 2.0|NaN 3.0"));
        check("[[1,\"skipped\",2]]", Some(&["b", "z", "a"]), Ok("2.0 1.0"));
        check("[[1]]", Some(&["b"]), Err("column 'a' is missing: the model needs it"));
        check("[[1,2],[3]]", None, Err("row 1 has 1 values where 2 belong"));
        check("[[1,2,3]]", None, Err("row 0 has 3 values where 2 belong"));
        check(
            "[[1,[2]]]",
            None,
            Err("column 'b', row 0: a record is flat, lists and objects are not values"),
        );
        let start = "line 1: expected a JSON list of rows, each a list of values";
        let number = format!(
            "{start}: invalid type: integer `1`, expected a row, which is a list of values (column 2)"
        );
        check("[1,2]", None, Err(&number));
        check("{}", None, Err(&format!("{start}: invalid type: map, expected a list of rows (column 1)")));
    }
}
