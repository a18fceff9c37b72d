//! Rows as the simpler contracts send them, made into frames: CSV, records, lists of lists, columns, Parquet.

use std::borrow::Cow;

use portend_core::shortened;
use portend_model::frame::{Frame, Keep, array};
use portend_model::{DataError, Model};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Object, bad};
use crate::error::ServerError;

pub(crate) use portend_model::frame::csv::HeaderLine;

/// Rows that are not read yet.
#[derive(Debug)]
pub(crate) enum Table<'b> {
    /// CSV with or without a header line.
    Csv(&'b str, HeaderLine),
    /// A list of records.
    Records(&'b str),
    /// A list of lists, each with a value for each of these columns, or for each feature in the model's order.
    Lists(Option<Vec<Cow<'b, str>>>, &'b str),
    /// A list of values of the only feature.
    Values(&'b str),
    /// A list, or the one value, for each column.
    Columns(Object<'b>),
    /// A Parquet file, whose rows may be so many bytes.
    Parquet(&'b [u8], usize),
}

/// More names are taken for an attack on memory.
const MOST_COLUMNS: usize = 1 << 20;

/// A column's name; pandas numbers those that have none.
#[derive(Deserialize)]
#[serde(untagged)]
enum ColumnName {
    Text(String),
    Number(i64),
}

impl<'b> Table<'b> {
    /// A list of records, of lists or of values, by what its first item is; `key` is where it stands.
    pub(crate) fn of_list(key: &str, json: &'b str) -> Result<Self, ServerError> {
        let Some(inside) = json.strip_prefix('[') else {
            return Err(bad(format!("'{key}' is not a list")));
        };
        Ok(match inside.trim_ascii_start().as_bytes().first() {
            Some(b'{') => Self::Records(json),
            Some(b'[' | b']') | None => Self::Lists(None, json),
            Some(_) => Self::Values(json),
        })
    }

    /// A list as above, or an object with the values of each column.
    pub(crate) fn of_columns(key: &str, json: &'b str) -> Result<Self, ServerError> {
        if !json.starts_with('{') {
            return Self::of_list(key, json);
        }
        let columns = Object::parse(json);
        columns.map(Self::Columns).map_err(|reason| bad(format!("'{key}' cannot be read: {reason}")))
    }

    /// `{"columns": […], "data": [[…]]}`, as pandas splits a table; `key` is where it stands. An index is not looked at.
    pub(crate) fn of_split(key: &str, json: &'b str) -> Result<Self, ServerError> {
        let split = Object::parse(json).map_err(|reason| bad(format!("'{key}' cannot be read: {reason}")))?;
        if let Some(other) = split.keys().find(|key| !["columns", "index", "data"].contains(key)) {
            let other = shortened(other);
            return Err(bad(format!("'{key}' has '{other}': it may have 'columns', 'index' and 'data'")));
        }
        Self::of_columns_and_data(&format!("'{key}'"), &split)
    }

    /// The same where the object is read already; `of` is what it is called.
    pub(crate) fn of_columns_and_data(of: &str, split: &Object<'b>) -> Result<Self, ServerError> {
        let Some(data) = split.get("data") else {
            return Err(bad(format!("{of} has no 'data': send 'columns' and 'data'")));
        };
        let names = split.get("columns").map(|names| column_names(of, names)).transpose()?;
        Ok(Self::Lists(names, data))
    }

    /// Decodes the rows into at most `parts` frames.
    pub(crate) fn frames(&self, model: &Model, parts: usize) -> Result<Vec<Frame>, ServerError> {
        let frame = match self {
            Self::Csv(text, header) => {
                return Ok(model.decode_csv_with(text, *header, &Keep::None, parts)?);
            }
            Self::Records(json) => model.decode_json(json, &Keep::None)?,
            Self::Lists(names, json) => {
                let names: Option<Vec<&str>> =
                    names.as_ref().map(|names| names.iter().map(|n| &**n).collect());
                model.decode_rows(json, names.as_deref())?
            }
            Self::Values(json) => values(json, model)?,
            Self::Columns(columns) => by_columns(columns, model)?,
            Self::Parquet(file, limit) => model.decode_parquet(file, *limit)?,
        };
        Ok(vec![frame])
    }
}

fn column_names<'b>(of: &str, json: &'b str) -> Result<Vec<Cow<'b, str>>, ServerError> {
    if length(json).is_some_and(|names| names > MOST_COLUMNS) {
        return Err(bad(format!("'columns' of {of} has more than {MOST_COLUMNS} names")));
    }
    let names: Result<Vec<ColumnName>, _> = serde_json::from_str(json);
    let names = names.map_err(|_| bad(format!("'columns' of {of} is not a list of names")))?;
    let text = |name| match name {
        ColumnName::Text(name) => Cow::Owned(name),
        ColumnName::Number(number) => Cow::Owned(number.to_string()),
    };
    Ok(names.into_iter().map(text).collect())
}

/// How many values a column has: the items of a list, or one; None for an object.
fn length(json: &str) -> Option<usize> {
    match json.as_bytes().first() {
        // items without a size: the vector takes no memory
        Some(b'[') => serde_json::from_str::<Vec<IgnoredAny>>(json).ok().map(|items| items.len()),
        Some(b'{') => None,
        _ => Some(1),
    }
}

fn values(json: &str, model: &Model) -> Result<Frame, ServerError> {
    let [feature] = model.features.as_slice() else {
        let found = model.features.len();
        return Err(bad(format!(
            "rows are single values, and the model has {found} features: send a list of values, or an object, for each row"
        )));
    };
    // what is no list of plain values is refused by the reader, with its place
    let mut columns = model.columns(length(json).unwrap_or_default())?;
    let place = columns.place(&feature.name, 0)?;
    array::fill(&mut columns, &[place], json)?;
    Ok(columns.finish(1)?)
}

fn by_columns(object: &Object<'_>, model: &Model) -> Result<Frame, ServerError> {
    let mut entries = object.entries().peekable();
    let rows = entries.peek().and_then(|(_, values)| length(values));
    let mut columns = model.columns(rows.unwrap_or_default())?;
    let mut found = 0;
    for (position, (name, values)) in entries.enumerate() {
        let Some(length) = length(values) else {
            return Err(bad(format!("column '{}' is not a list of values", shortened(name))));
        };
        if Some(length) != rows {
            let (column, expected) = (name.to_owned(), rows.unwrap_or_default());
            return Err(DataError::ColumnLength { column, expected, found: length }.into());
        }
        let place = columns.place(name, position)?;
        // a value may stand in a list of its own, as tensors have it
        if array::fill(&mut columns, &[place], values)? != length {
            return Err(bad(format!("column '{}' does not have one value a row", shortened(name))));
        }
        found += 1;
    }
    Ok(columns.finish(found)?)
}
