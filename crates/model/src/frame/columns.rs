//! Rows whose values come with their types, in tensors and columns rather than in a table of text: written straight into
//! the columns of a frame. How they looked on the way is the protocol's business; JSON arrays are read by `array.rs`.

use std::mem;

use super::{Frame, Input, InputKind, Inputs, Precision, Real, Table};
use crate::error::DataError;

/// One value in its own type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'v> {
    /// Nothing.
    Missing,
    /// A number; NaN is missing, true and false are 1 and 0.
    Number(f64),
    /// Text: a level, or a number as CSV has it.
    Text(&'v str),
}

/// Where the values of a column go: the input that reads them, or none.
pub type Place = Option<usize>;

/// A frame under construction. Cells that nothing is written to are missing.
#[derive(Debug)]
pub struct Columns<'m> {
    inputs: &'m Inputs,
    rows: usize,
    table: AnyTable,
    present: Vec<bool>,
}

/// A table in the precision of the runtime.
#[derive(Debug)]
enum AnyTable {
    Single(Table<f32>),
    Double(Table<f64>),
}

impl<'m> Columns<'m> {
    /// For `rows` rows, if a request may have so many.
    pub fn new(inputs: &'m Inputs, rows: usize) -> Result<Self, DataError> {
        let mut columns = Self::at_most(inputs, rows);
        if rows > 0 {
            columns.add_rows(rows)?;
        }
        Ok(columns)
    }

    /// Without a row yet, and with room for `most` rows or as many as a request may have.
    pub(super) fn at_most(inputs: &'m Inputs, most: usize) -> Self {
        let width = inputs.columns().len();
        let table = match inputs.precision {
            Precision::Single => AnyTable::Single(Table::new(width, most)),
            Precision::Double => AnyTable::Double(Table::new(width, most)),
        };
        Self { inputs, rows: 0, table, present: vec![false; width] }
    }

    /// Adds rows of missing cells.
    pub(super) fn add_rows(&mut self, count: usize) -> Result<(), DataError> {
        let last = (self.rows + count).saturating_sub(1);
        match &self.table {
            AnyTable::Single(table) => table.check_room(last, 0)?,
            AnyTable::Double(table) => table.check_room(last, 0)?,
        }
        self.rows += count;
        Ok(())
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Where the column called `name` goes, the `position`-th of the request.
    pub fn place(&mut self, name: &str, position: usize) -> Result<Place, DataError> {
        let place = self.inputs.find(name, position);
        match place {
            Some(input) if mem::replace(&mut self.present[input], true) => {
                Err(DataError::DuplicateColumn { name: name.to_owned() })
            }
            _ => Ok(place),
        }
    }

    /// Where the columns of an array go that has `width` values a row: all features in the model's order.
    pub fn all_places(&mut self, width: usize) -> Result<Vec<Place>, DataError> {
        let expected = self.inputs.columns().len();
        if width != expected {
            return Err(DataError::ArrayWidth { expected, found: width });
        }
        self.present.fill(true);
        Ok((0..width).map(Some).collect())
    }

    /// Writes numbers row after row, as many in each as there are places; NaN is missing. Past the last row they are left.
    pub fn fill(&mut self, places: &[Place], values: impl Iterator<Item = f64>) {
        let (columns, rows) = (self.inputs.columns(), self.rows);
        match &mut self.table {
            AnyTable::Single(table) => fill(table, columns, rows, places, values),
            AnyTable::Double(table) => fill(table, columns, rows, places, values),
        }
    }

    /// Writes one value of an existing row.
    pub fn set(&mut self, row: usize, input: usize, value: Value<'_>) -> Result<(), DataError> {
        let number = match value {
            Value::Missing => f64::NAN,
            Value::Text(text) => self.inputs.number(input, row, text)?,
            Value::Number(number) => self.inputs.columns()[input].of_number(number),
        };
        match &mut self.table {
            AnyTable::Single(table) => table.set(row, input, number),
            AnyTable::Double(table) => table.set(row, input, number),
        }
        Ok(())
    }

    /// What a column is called in errors.
    pub fn name(&self, place: Place) -> &str {
        place.map_or("", |input| &self.inputs.columns()[input].name)
    }

    /// The frame, unless the request had other columns than the model needs. `found` is how many it had.
    pub fn finish(self, found: usize) -> Result<Frame, DataError> {
        self.inputs.check_count(found)?;
        if self.rows > 0 {
            self.inputs.check_present(&self.present)?;
        }
        Ok(match self.table {
            AnyTable::Single(table) => table.into_frame(self.rows, Vec::new()),
            AnyTable::Double(table) => table.into_frame(self.rows, Vec::new()),
        })
    }
}

fn fill<T: Real>(
    table: &mut Table<T>,
    inputs: &[Input],
    rows: usize,
    places: &[Place],
    mut values: impl Iterator<Item = f64>,
) {
    if let [place] = places {
        let Some(input) = place else { return };
        let column = &mut table.column(*input)[..rows];
        match &inputs[*input].kind {
            // without a look at each value's kind the compiler makes this a loop of vectors
            InputKind::Number => column.iter_mut().zip(values).for_each(|(cell, v)| *cell = T::from_f64(v)),
            InputKind::Level(levels) => {
                column
                    .iter_mut()
                    .zip(values)
                    .for_each(|(cell, v)| *cell = T::from_f64(levels.code_of_number(v)));
            }
        }
        return;
    }
    for row in 0..rows {
        for place in places {
            let Some(value) = values.next() else { return };
            if let Some(input) = place {
                table.set(row, *input, inputs[*input].of_number(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portend_core::{Dtype, Feature, Label};

    use super::*;
    use crate::frame::Matching;

    fn inputs(precision: Precision) -> Inputs {
        let levels = vec![Label::Text("x".into()), Label::Text("y".into())];
        let level = Feature { name: "c".into(), dtype: Dtype::String, required: true, levels };
        let spare = Feature { required: false, ..Feature::number("b") };
        Inputs::new(&[Feature::number("a"), spare, level], precision, Matching::Name, Vec::new())
    }

    fn shown(frame: &Frame) -> Vec<String> {
        let cell = |column: usize, row: usize| match frame.columns::<f32>() {
            Some((values, stride)) => f64::from(values[column * stride + row]),
            None => frame.columns::<f64>().map(|(values, stride)| values[column * stride + row]).unwrap(),
        };
        (0..frame.rows()).map(|row| format!("{:?}", [cell(0, row), cell(1, row), cell(2, row)])).collect()
    }

    #[test]
    fn columns_and_arrays_become_frames_of_either_precision() {
        for precision in [Precision::Single, Precision::Double] {
            let inputs = inputs(precision);
            let mut columns = Columns::new(&inputs, 2).unwrap();
            let place = columns.place("c", 0).unwrap();
            assert_eq!((place, columns.name(place)), (Some(2), "c"));
            columns.set(0, 2, Value::Text("y")).unwrap();
            columns.set(1, 2, Value::Number(7.0)).unwrap();
            let place = columns.place("a", 1).unwrap();
            columns.fill(&[place], [0.5, f64::NAN, 9.0].into_iter());
            let nowhere = columns.place("z", 2).unwrap();
            columns.fill(&[nowhere], [1.0, 2.0].into_iter());
            assert_eq!(shown(&columns.finish(3).unwrap()), ["[0.5, NaN, 1.0]", "[NaN, NaN, NaN]"]);

            let mut array = Columns::new(&inputs, 2).unwrap();
            let places = array.all_places(3).unwrap();
            array.fill(&places, (1..=6).map(f64::from));
            assert_eq!(shown(&array.finish(3).unwrap()), ["[1.0, 2.0, NaN]", "[4.0, 5.0, NaN]"]);
        }
    }

    #[test]
    fn what_does_not_fit_is_said_with_its_place() {
        let inputs = inputs(Precision::Double);
        let check = |work: &dyn Fn(&mut Columns<'_>) -> Result<(), DataError>, expected: &str| {
            let mut columns = Columns::new(&inputs, 1).unwrap();
            let error = work(&mut columns).err().or_else(|| columns.finish(1).err());
            assert_eq!(error.map(|e| e.to_string()).as_deref(), Some(expected));
        };
        check(&|c| c.place("a", 0).map(|_| ()), "column 'c' is missing: the model needs it");
        check(&|c| c.place("a", 0).and(c.place("a", 1)).map(|_| ()), "column 'a' occurs more than once");
        check(&|c| c.set(0, 0, Value::Text("abc")), "column 'a', row 0: 'abc' is not a number");
        check(
            &|c| c.all_places(2).map(|_| ()),
            "the array has 2 values in a row, the model has 3 features: send all of them in the model's order",
        );
        let most = (256 << 20) / (3 * size_of::<f64>());
        assert!(matches!(Columns::new(&inputs, most + 1), Err(DataError::TooManyRows { limit_mib: 256 })));
    }
}
