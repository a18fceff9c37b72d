//! Parquet files to frames: flat tables as pandas writes them. Only columns that the model reads are decoded.
//! Everything that a file claims is taken for a claim: sizes are compared with what is there before anything is
//! reserved, all pages together are no larger than the file and, without compression, than a request may be, and so
//! are its values with a byte for each. The format is that of apache/parquet-format; its files are split as it is.

mod encoding;
mod footer;
mod page;
mod thrift;

use std::collections::HashSet;

use super::{Columns, Frame, Inputs, Value};
use crate::error::DataError;
use encoding::{Dictionary, Raw, Runs, Values};
use footer::{Chunk, Column, Footer, Type};
use page::{DataPage, Page, Pages, Room};

/// Decodes the rows of a file into one frame. `limit` is how many bytes they may be without compression; each value
/// counts as one at least, as in a text.
pub fn decode(file: &[u8], inputs: &Inputs, limit: usize) -> Result<Frame, DataError> {
    if file.is_empty() {
        return Err(DataError::Empty);
    }
    let footer = Footer::read(file).map_err(bad_file)?;
    let wanted = wanted(&footer, inputs)?;
    if footer.rows.checked_mul(wanted.len().max(1)).is_none_or(|values| values > limit) {
        return Err(DataError::TooManyValues { rows: footer.rows, limit });
    }
    let mut columns = Columns::new(inputs, footer.rows)?;
    for (position, column) in footer.columns.iter().enumerate() {
        columns.place(column.name, position)?;
    }
    let mut room = Room { packed: file.len(), unpacked: limit };
    let leaves: Vec<usize> = wanted.iter().map(|(_, column)| column.leaf).collect();
    let mut first = 0;
    let group = |rows: usize, chunks: &[Chunk]| {
        if rows > footer.rows - first {
            return Err(bad_file("its row groups have more rows than the file".to_owned()));
        }
        for ((input, column), chunk) in wanted.iter().zip(chunks) {
            let mut target =
                Target { columns: &mut columns, input: *input, column, row: first, end: first + rows };
            target.read(&footer, file, chunk, &mut room)?;
        }
        first += rows;
        Ok(())
    };
    footer.each_group(&leaves, group, bad_file)?;
    if first != footer.rows {
        return Err(bad_file(format!(
            "its row groups have {first} rows, and the file claims {}",
            footer.rows
        )));
    }
    columns.finish(footer.columns.len())
}

fn bad_file(reason: String) -> DataError {
    DataError::BadFile { reason }
}

/// The columns that the model reads, with the input of each.
fn wanted<'f, 'b>(
    footer: &'f Footer<'b>,
    inputs: &Inputs,
) -> Result<Vec<(usize, &'f Column<'b>)>, DataError> {
    let mut names = HashSet::new();
    let mut wanted = Vec::new();
    for (position, column) in footer.columns.iter().enumerate() {
        if !names.insert(column.name) {
            return Err(DataError::DuplicateColumn { name: column.name.to_owned() });
        }
        let Some(input) = inputs.find(column.name, position) else { continue };
        if let Type::Other(what) = column.values {
            let remedy = "write numbers, truth values or text, or leave it out if the model can do without";
            return Err(bad_column(column, format!("it holds {what}, which are not read: {remedy}")));
        }
        wanted.push((input, column));
    }
    Ok(wanted)
}

fn bad_column(column: &Column<'_>, reason: String) -> DataError {
    DataError::BadFileColumn { column: column.name.to_owned(), reason }
}

/// Where the values of a chunk go: a column of the frame, from `row` to `end`.
struct Target<'t, 'm, 'b> {
    columns: &'t mut Columns<'m>,
    input: usize,
    column: &'t Column<'b>,
    row: usize,
    end: usize,
}

impl<'b> Target<'_, '_, 'b> {
    fn bad(&self, reason: impl Into<String>) -> DataError {
        bad_column(self.column, reason.into())
    }

    fn read(
        &mut self,
        footer: &Footer<'b>,
        file: &'b [u8],
        chunk: &Chunk,
        room: &mut Room,
    ) -> Result<(), DataError> {
        let rows = self.end - self.row;
        if chunk.values != rows {
            let reason = format!("it has {} values in a row group of {rows} rows", chunk.values);
            return Err(self.bad(reason));
        }
        if rows == 0 {
            return Ok(());
        }
        let bytes = footer.pages(file, self.column, chunk).map_err(|reason| self.bad(reason))?;
        self.read_pages(&mut Pages { bytes, codec: chunk.codec }, room)?;
        match self.end - self.row {
            0 => Ok(()),
            missing => Err(self.bad(format!("its pages end {missing} rows before the row group does"))),
        }
    }

    fn read_pages(&mut self, pages: &mut Pages<'b>, room: &mut Room) -> Result<(), DataError> {
        let mut next = |target: &Self| pages.next(room).map_err(|reason| target.bad(reason));
        let mut page = next(self)?;
        let dictionary_page;
        let mut dictionary = None;
        if let Some(Page::Dictionary { count, encoding, bytes }) = page {
            dictionary_page = bytes;
            let found = Dictionary::new(encoding, self.column.values, count, &dictionary_page);
            dictionary = Some(found.map_err(|reason| self.bad(reason))?);
            page = next(self)?;
        }
        while let Some(current) = page {
            let Page::Data(data) = current else {
                return Err(self.bad("it has a dictionary that is not its first page"));
            };
            self.read_page(&data, dictionary.as_ref())?;
            page = next(self)?;
        }
        Ok(())
    }

    fn read_page(
        &mut self,
        page: &DataPage<'_>,
        dictionary: Option<&Dictionary<'_>>,
    ) -> Result<(), DataError> {
        if page.count > self.end - self.row {
            return Err(self.bad("its pages have more values than the row group has rows"));
        }
        let bad = |reason: String| bad_column(self.column, reason);
        let optional = self.column.optional;
        let (levels, values) = page.parts(optional).map_err(bad)?;
        let mut levels = Runs::new(levels, 1).map_err(bad)?;
        let mut values = Values::new(page.encoding, self.column.values, values, dictionary).map_err(bad)?;
        for row in self.row..self.row + page.count {
            let value = if optional && levels.next().map_err(bad)? == 0 {
                Value::Missing
            } else {
                match values.next().map_err(bad)? {
                    Raw::Number(number) => Value::Number(number),
                    Raw::Text(text) => Value::Text(
                        std::str::from_utf8(text)
                            .map_err(|_| DataError::NotText { column: self.column.name.to_owned(), row })?,
                    ),
                }
            };
            self.columns.set(row, self.input, value)?;
        }
        self.row += page.count;
        Ok(())
    }
}
