//! A table of training data as text. It may be larger than what a request may have: it is decoded piece by piece, each
//! piece a table of its own with the header row above.

use super::CreateError;
use crate::error::DataError;
use crate::frame::{Frame, Inputs, Keep, Matching, Precision, TextCell, TextColumn, csv};

/// The longest text that training data may have.
pub const MOST_TRAINING_BYTES: usize = 1 << 30;

/// About how long the text of a piece is: its numbers stay far below what a frame may hold.
const PIECE_BYTES: usize = 8 << 20;

/// Training data, column by column.
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: usize,
}

/// The cells of a column, one after the other. Empty ones are missing.
pub(super) struct Column {
    pub(super) name: String,
    text: String,
    /// Where each cell ends.
    ends: Vec<u32>,
}

impl Table {
    /// Reads CSV as requests have it. `file` is its name in errors.
    pub(super) fn read(file: &str, text: &str) -> Result<Self, CreateError> {
        if text.len() > MOST_TRAINING_BYTES {
            return Err(CreateError::TooLong { file: file.to_owned(), limit_mib: MOST_TRAINING_BYTES >> 20 });
        }
        let nothing = Inputs::new(&[], Precision::Double, Matching::Name, Vec::new());
        let mut table = Self { columns: Vec::new(), rows: 0 };
        let decode = |piece: &str| csv::decode(piece, &nothing, &Keep::All, 1);
        each_frame(text, decode, |frame| table.append(frame)).map_err(|e| CreateError::data(file, e))?;
        if table.rows == 0 {
            return Err(CreateError::NoRows { file: file.to_owned() });
        }
        Ok(table)
    }

    fn append(&mut self, frame: &Frame) {
        if self.columns.is_empty() {
            let column =
                |c: &TextColumn| Column { name: c.name.clone(), text: String::new(), ends: Vec::new() };
            self.columns = frame.passthrough.iter().map(column).collect();
        }
        for (column, more) in self.columns.iter_mut().zip(&frame.passthrough) {
            column.append(more);
        }
        self.rows += frame.rows();
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

impl Column {
    fn append(&mut self, more: &TextColumn) {
        for row in 0..more.len() {
            if let TextCell::Literal(text) | TextCell::Text(text) = more.get(row) {
                self.text.push_str(text);
            }
            self.ends.push(self.text.len() as u32); // no longer than the whole text, which is bounded
        }
    }

    /// A cell; nothing when it is empty.
    pub(super) fn cell(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[row] as usize]
    }

    /// All cells in order.
    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|row| self.cell(row))
    }
}

/// Decodes a text piece by piece and hands on the frames. Rows and lines in errors are those of the whole text.
pub(super) fn each_frame(
    text: &str,
    decode: impl Fn(&str) -> Result<Vec<Frame>, DataError>,
    mut take: impl FnMut(&Frame),
) -> Result<(), DataError> {
    each_piece(text, PIECE_BYTES, |piece, rows, lines| {
        let frames = decode(piece).map_err(|e| e.shifted(rows, lines))?;
        frames.iter().for_each(&mut take);
        Ok(frames.iter().map(Frame::rows).sum())
    })
}

/// Cuts a text into pieces of whole rows, each longer than `length` by a part of a row at most. `take` gets a piece with
/// the rows and lines that stand above it, and gives its rows.
fn each_piece(
    text: &str,
    length: usize,
    mut take: impl FnMut(&str, usize, usize) -> Result<usize, DataError>,
) -> Result<(), DataError> {
    let bytes = text.as_bytes();
    let start = header_end(bytes);
    let (mut at, mut rows, mut lines, mut piece) = (start, 0, 0, String::new());
    loop {
        let mut end = at;
        while end < bytes.len() && end - at < length {
            end = row_end(bytes, end);
        }
        piece.clear();
        piece.push_str(&text[..start]);
        piece.push_str(&text[at..end]);
        rows += take(&piece, rows, lines)?;
        lines += memchr::memchr_iter(b'\n', &bytes[at..end]).count();
        at = end;
        if at == bytes.len() {
            return Ok(());
        }
    }
}

/// Where the header row ends, which empty lines may stand above.
fn header_end(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let end = row_end(bytes, at);
        if end == bytes.len() || !bytes[at..end].iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return end;
        }
        at = end;
    }
}

/// Where the row after the one at `at` starts. A quote counts only where a cell starts.
fn row_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        if bytes.get(at) == Some(&b'"') {
            at = quoted_end(bytes, at + 1);
        }
        let Some(end) = memchr::memchr2(b',', b'\n', &bytes[at..]) else { return bytes.len() };
        at += end + 1;
        if bytes[at - 1] == b'\n' {
            return at;
        }
    }
}

/// Where the quoted cell ends whose text starts at `at`.
fn quoted_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(quote) = memchr::memchr(b'"', &bytes[at..]) {
        at += quote + 1;
        if bytes.get(at) != Some(&b'"') {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, usize, usize)]) {
        let mut found = Vec::new();
        each_piece(text, 4, |piece, rows, lines| {
            found.push((piece.to_owned(), rows, lines));
            Ok(1)
        })
        .unwrap();
        let found: Vec<_> =
            found.iter().map(|(piece, rows, lines)| (piece.as_str(), *rows, *lines)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn pieces_are_whole_rows_under_the_header() {
        check("", &[("", 0, 0)]);
        check("a,b", &[("a,b", 0, 0)]);
        check("\n\r\na\n", &[("\n\r\na\n", 0, 0)]);
        check("a\n1\n2\n3\n", &[("a\n1\n2\n", 0, 0), ("a\n3\n", 1, 2)]);
        check("\"a\nb\"\n1234\n5", &[("\"a\nb\"\n1234\n", 0, 0), ("\"a\nb\"\n5", 1, 1)]);
        check("a,b\n\"x\n\"\"y\",1\nz,2\n", &[("a,b\n\"x\n\"\"y\",1\n", 0, 0), ("a,b\nz,2\n", 1, 2)]);
        check("a\n5\" x\n6\" y\n", &[("a\n5\" x\n", 0, 0), ("a\n6\" y\n", 1, 1)]);
        check("a\n\"open\n1\n2\n", &[("a\n\"open\n1\n2\n", 0, 0)]);
    }

    #[test]
    fn cells_of_all_pieces_stand_in_their_columns() {
        let rows = 200_000;
        let text: String = (0..rows).map(|i| format!("{i},\"x{i},\n\",,some more text\n")).collect();
        assert!(text.len() > PIECE_BYTES / 2);
        let text = format!("n,t,e,m\n{text}{text}");
        let table = Table::read("t.csv", &text).unwrap();
        assert_eq!(table.rows, 2 * rows);
        for row in [0, 1, rows - 1, rows, 2 * rows - 1] {
            let found: Vec<_> = table.columns.iter().map(|column| column.cell(row).to_owned()).collect();
            let n = row % rows;
            assert_eq!(
                found,
                [n.to_string(), format!("x{n},\n"), String::new(), "some more text".to_owned()]
            );
        }
        let error = Table::read("t.csv", &format!("{text}1,2\n")).err().unwrap().to_string();
        assert_eq!(error, format!("t.csv: line {}: 2 cells in a row, the header has 4", 4 * rows + 2));
    }
}
