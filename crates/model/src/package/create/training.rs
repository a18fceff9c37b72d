//! What the columns of training data tell: types, ranges, labels, counts, rows to keep.

use std::collections::BTreeSet;

use portend_core::{Dtype, Label};
use serde_json::Number;

use super::table::Column;
use crate::frame::Levels;
use crate::frame::number::{self, Cell};
use crate::package::baseline::Summary;

/// What a column of numbers holds.
#[derive(Debug, PartialEq)]
pub(super) struct Range {
    pub(super) dtype: Dtype,
    pub(super) nullable: bool,
    pub(super) min: Option<Number>,
    pub(super) max: Option<Number>,
}

/// At most `count` row numbers, evenly spread over all of `rows`.
pub(super) fn spread(rows: usize, count: usize) -> impl Iterator<Item = usize> {
    let kept = rows.min(count);
    (0..kept).map(move |i| i * rows / kept)
}

/// The rows of some columns as CSV.
pub(super) fn write_csv(columns: &[&Column], rows: impl Iterator<Item = usize>) -> String {
    let line = |cells: Vec<&str>| -> String {
        let single = cells.len() == 1; // an empty line would be no row
        let cells: Vec<_> = cells.into_iter().map(|cell| quoted(cell, single)).collect();
        format!("{}\n", cells.join(","))
    };
    let header = line(columns.iter().map(|column| column.name.as_str()).collect());
    let lines = rows.map(|row| line(columns.iter().map(|column| column.cell(row)).collect()));
    std::iter::once(header).chain(lines).collect()
}

fn quoted(cell: &str, even_empty: bool) -> String {
    let needed = cell.contains([',', '"', '\n', '\r']) || (even_empty && cell.is_empty());
    if needed { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

fn is_truth(cell: &str) -> bool {
    let cell = cell.trim_ascii();
    cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("false")
}

/// Type and range of a column of numbers; the row of a cell that is none.
pub(super) fn range(column: &Column, missing_words: &[String]) -> Result<Range, usize> {
    let mut found = Range { dtype: Dtype::Float64, nullable: false, min: None, max: None };
    let (mut truth, mut whole, mut some) = (true, true, false);
    let mut bounds = (f64::INFINITY, f64::NEG_INFINITY);
    for (row, cell) in column.cells().enumerate() {
        match number::parse(cell, missing_words) {
            Cell::Bad => return Err(row),
            Cell::Missing => found.nullable = true,
            Cell::Value(value) => {
                (truth, some) = (truth && is_truth(cell), true);
                whole = whole && cell.trim_ascii().parse::<i64>().is_ok();
                if value.is_finite() {
                    bounds = (bounds.0.min(value), bounds.1.max(value));
                }
            }
        }
    }
    match () {
        () if some && truth => found.dtype = Dtype::Bool,
        () if some && whole => found.dtype = Dtype::Int64,
        () => {}
    }
    if bounds.0 <= bounds.1 && found.dtype != Dtype::Bool {
        let number = |value: f64| match found.dtype {
            Dtype::Int64 => Some(Number::from(value as i64)),
            _ => Number::from_f64(value),
        };
        (found.min, found.max) = (number(bounds.0), number(bounds.1));
    }
    Ok(found)
}

/// The different values of a column in order: numbers by value, true after false, text by code point. That is
/// the order that pandas and scikit-learn give classes and categories.
pub(super) fn labels(column: &Column, missing_words: &[String]) -> Vec<Label> {
    let is_text = |cell: &&str| !cell.is_empty() && !missing_words.iter().any(|word| word == cell);
    let texts: BTreeSet<&str> = column.cells().filter(is_text).collect();
    let is_number = |text: &&&str| number::parse(text, missing_words) != Cell::Missing;
    let without_words = as_labels(&texts.iter().filter(is_number).copied().collect::<Vec<_>>());
    match without_words.first() {
        // "NA" among numbers is no value, among texts it may be one
        Some(Label::Text(_)) | None => as_labels(&texts.into_iter().collect::<Vec<_>>()),
        Some(_) => sorted(without_words),
    }
}

/// The different values of a column that are none of `levels`, and how many different ones there are.
pub(super) fn unknown<'t>(
    column: &'t Column,
    levels: &[Label],
    missing_words: &[String],
) -> (Vec<&'t str>, usize) {
    let codes = Levels::new(levels);
    let known = |cell: &str| !codes.code(cell).is_nan();
    let missing = |cell: &str| !known(cell) && number::parse(cell, missing_words) == Cell::Missing;
    let values: BTreeSet<&str> = column.cells().filter(|cell| !missing(cell)).collect();
    let count = values.len();
    (values.into_iter().filter(|cell| !known(cell)).collect(), count)
}

fn sorted(mut labels: Vec<Label>) -> Vec<Label> {
    let rank = |label: &Label| match label {
        Label::Integer(value) => *value as f64,
        Label::Number(value) => *value,
        Label::Bool(value) => f64::from(u8::from(*value)),
        Label::Text(_) => 0.0,
    };
    labels.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    labels.dedup();
    labels
}

/// Texts as labels, all in the one type that fits them: truth values, whole numbers, numbers, texts.
pub(super) fn as_labels(texts: &[&str]) -> Vec<Label> {
    if texts.iter().all(|text| is_truth(text)) {
        return texts.iter().map(|t| Label::Bool(t.trim_ascii().eq_ignore_ascii_case("true"))).collect();
    }
    let number = |text: &&str| match number::parse(text, &[]) {
        Cell::Value(value) if value.is_finite() => Some(value),
        _ => None,
    };
    let whole = |value: &f64| value.fract() == 0.0 && value.abs() < (1_u64 << 53) as f64;
    match texts.iter().map(number).collect::<Option<Vec<f64>>>() {
        None => texts.iter().map(|text| Label::Text((*text).to_owned())).collect(),
        Some(numbers) if numbers.iter().all(whole) => {
            numbers.into_iter().map(|value| Label::Integer(value as i64)).collect()
        }
        Some(numbers) => numbers.into_iter().map(Label::Number).collect(),
    }
}

/// The summary of a column that the model reads as numbers, or else as levels.
pub(super) fn summary(column: &Column, levels: Option<&[Label]>, missing_words: &[String]) -> Summary {
    let Some(levels) = levels else {
        let value = |cell: &str| match number::parse(cell, missing_words) {
            Cell::Value(value) => value,
            Cell::Missing | Cell::Bad => f64::NAN,
        };
        return Summary::numeric(column.cells().map(value));
    };
    let found = labels(column, missing_words);
    let levels = if levels.is_empty() { &found } else { levels };
    let codes = Levels::new(levels);
    let (mut counts, mut other, mut missing) = (vec![0; levels.len()], 0, 0);
    for cell in column.cells() {
        let code = codes.code(cell);
        match () {
            () if cell.is_empty() || missing_words.iter().any(|word| word == cell) => missing += 1,
            () if code.is_nan() => other += 1,
            () => counts[code as usize] += 1,
        }
    }
    Summary::categorical(levels.iter().cloned().zip(counts), other, missing)
}

#[cfg(test)]
mod tests {
    use super::super::table::Table;
    use super::*;

    fn column(cells: &[&str]) -> Column {
        let text =
            cells.iter().map(|cell| format!("1,\"{}\"\n", cell.replace('"', "\"\""))).collect::<String>();
        Table::read("t", &format!("a,x\n{text}")).unwrap().columns.remove(1)
    }

    #[test]
    fn labels_have_one_type_and_the_order_of_pandas() {
        let text = |texts: &[&str]| texts.iter().map(|t| Label::Text((*t).into())).collect::<Vec<_>>();
        for (cells, expected) in [
            (&["yes", "no", "", "yes"][..], text(&["no", "yes"])),
            (&["10", "9", "NA", "9.0"], vec![Label::Integer(9), Label::Integer(10)]),
            (&["0.5", "-1"], vec![Label::Number(-1.0), Label::Number(0.5)]),
            (&["True", "false", "nan"], vec![Label::Bool(false), Label::Bool(true)]),
            (&["b", "NA", "?"], text(&["NA", "b"])),
            (&["1", "inf"], text(&["1", "inf"])),
            (&["Ä", "z", "Z"], text(&["Z", "z", "Ä"])),
            (&["", "?"], vec![]),
        ] {
            assert_eq!(labels(&column(cells), &["?".to_owned()]), expected, "{cells:?}");
        }
    }

    #[test]
    fn a_column_of_numbers_tells_its_type_and_range() {
        let check = |cells: &[&str], expected: Result<(Dtype, bool, &str), usize>| {
            let found = range(&column(cells), &["?".to_owned()]).map(|r| {
                let bound = |n: Option<Number>| n.map_or_else(String::new, |n| n.to_string());
                (r.dtype, r.nullable, format!("{}..{}", bound(r.min), bound(r.max)))
            });
            assert_eq!(found, expected.map(|(d, n, t)| (d, n, t.to_owned())), "{cells:?}");
        };
        check(&["1", " 3 ", "-2"], Ok((Dtype::Int64, false, "-2..3")));
        check(&["1", "3.5", "?"], Ok((Dtype::Float64, true, "1.0..3.5")));
        check(&["1", "2.0"], Ok((Dtype::Float64, false, "1.0..2.0")));
        check(&["true", "", "FALSE"], Ok((Dtype::Bool, true, "..")));
        check(&["inf", "1e3"], Ok((Dtype::Float64, false, "1000.0..1000.0")));
        check(&["", "NA"], Ok((Dtype::Float64, true, "..")));
        check(&["1", "a"], Err(1));
    }

    #[test]
    fn rows_are_spread_evenly_and_written_as_they_were_read() {
        assert_eq!(spread(3, 100).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(10, 4).collect::<Vec<_>>(), [0, 2, 5, 7]);
        assert_eq!(spread(0, 4).count(), 0);
        let cells = ["a,b", "", "say \"x\"", "two\nlines", "1.50"];
        let written = write_csv(&[&column(&cells)], 0..cells.len());
        assert_eq!(written, "x\n\"a,b\"\n\"\"\n\"say \"\"x\"\"\"\n\"two\nlines\"\n1.50\n");
        let again = Table::read("t", &written).unwrap();
        assert_eq!(again.columns[0].cells().collect::<Vec<_>>(), cells);
    }

    #[test]
    fn levels_are_counted_by_the_codes_that_the_model_sees() {
        let levels = [Label::Integer(2), Label::Integer(1)];
        let found = summary(&column(&["1.0", "1", "3", "", "2", "?"]), Some(&levels), &["?".to_owned()]);
        let expected = "{\"type\":\"categorical\",\"count\":4,\"missing\":2,\"top\":[{\"value\":1,\"count\":2},\
                        {\"value\":2,\"count\":1}],\"other\":1}";
        assert_eq!(serde_json::to_string(&found).unwrap(), expected);
    }
}
