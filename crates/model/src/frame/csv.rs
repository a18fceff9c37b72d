//! CSV to frames, in one pass directed by what the model reads: comma, header row, `"` quotes doubled inside,
//! LF or CRLF, quoted line ends, blank lines skipped. Columns that nobody needs are walked over, not parsed.
//! Large texts are cut at line ends and their parts decoded side by side. Bytes and charsets come earlier.

use std::borrow::Cow;
use std::collections::HashSet;

use rayon::prelude::*;

use super::{
    Frame, InputKind, Inputs, Keep, Precision, Real, Table, TextCell, TextColumn, most_rows, number,
};
use crate::error::DataError;

/// Whether a text begins with a line of column names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderLine {
    /// It does.
    Present,
    /// It does not: rows have a cell for each feature, in the model's order.
    Absent,
    /// Nobody says: the first line is a row if it has a cell for each feature, none of them a feature's name, and some of
    /// them values.
    Unknown,
}

/// Decodes `text` into at most `parts` frames that hold its rows in order (one frame without rows when there
/// is a header only). With more than one part the calling thread's rayon pool does the work.
pub fn decode(text: &str, inputs: &Inputs, keep: &Keep, parts: usize) -> Result<Vec<Frame>, DataError> {
    decode_with(text, HeaderLine::Present, inputs, keep, parts)
}

/// The same for a text that may have no header line.
pub fn decode_with(
    text: &str,
    header: HeaderLine,
    inputs: &Inputs,
    keep: &Keep,
    parts: usize,
) -> Result<Vec<Frame>, DataError> {
    let is_row = match header {
        HeaderLine::Present => false,
        HeaderLine::Absent => true,
        HeaderLine::Unknown => begins_with_row(text, inputs),
    };
    let begin = if is_row { Header::of_features(inputs, keep)? } else { Header::read(text, inputs, keep)? };
    match inputs.precision {
        Precision::Single => decode_as::<f32>(text, begin, parts),
        Precision::Double => decode_as::<f64>(text, begin, parts),
    }
}

fn decode_as<T: Real>(
    text: &str,
    (header, start): (Header<'_>, usize),
    parts: usize,
) -> Result<Vec<Frame>, DataError> {
    let inputs = header.inputs;
    let body = &text[start..];
    let cut = if parts > 1 { split(body, parts) } else { vec![body] };
    let rows: Vec<usize> = match cut.as_slice() {
        [one] => vec![header.rows_at_most(one)],
        many => many.par_iter().map(|part| header.rows_at_most(part)).collect(),
    };
    let all: usize = rows.iter().sum();
    // The parts together may take what a request may take; if they might take more, it is decoded as a whole.
    if cut.len() == 1 || all > most_rows::<T>(inputs.columns().len(), header.kept.len()) {
        return finish(header.decode::<T>(body, all), text, start);
    }
    let frames = cut.par_iter().zip(rows).map(|(part, rows)| header.decode::<T>(part, rows)).collect();
    match first_failure(frames, &cut) {
        Ok(frames) => Ok(frames),
        Err(Failure::Cut) => finish(header.decode::<T>(body, all), text, start),
        Err(Failure::Data(error)) => finish(Err(Failure::Data(error)), text, start),
    }
}

/// Makes the outcome of the whole body the outcome of the request.
fn finish(frame: Result<Frame, Failure>, text: &str, start: usize) -> Result<Vec<Frame>, DataError> {
    match frame {
        Ok(frame) => Ok(vec![frame]),
        Err(Failure::Data(error)) => Err(error.shifted(0, lines(&text[..start]))),
        Err(Failure::Cut) => Err(DataError::Malformed {
            line: lines(text) + usize::from(!text.ends_with('\n')),
            reason: "a quoted cell is not closed before the end".to_owned(),
        }),
    }
}

enum Failure {
    /// The part ends inside quotes: it was cut in the wrong place, or the text ends too early.
    Cut,
    /// The error, with rows and lines counted from the start of the part.
    Data(DataError),
}

/// The frames in order, or what went wrong first. A part is known to start at a row when the one before
/// it ended at a row's end, so the first failure is true and later ones need not be.
fn first_failure(frames: Vec<Result<Frame, Failure>>, parts: &[&str]) -> Result<Vec<Frame>, Failure> {
    let mut done = Vec::with_capacity(frames.len());
    for frame in frames {
        match frame {
            Ok(frame) => done.push(frame),
            Err(Failure::Cut) => return Err(Failure::Cut),
            Err(Failure::Data(error)) => {
                let rows = done.iter().map(Frame::rows).sum();
                let above = parts[..done.len()].iter().map(|part| lines(part)).sum();
                return Err(Failure::Data(error.shifted(rows, above)));
            }
        }
    }
    Ok(done)
}

fn lines(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

/// Cuts `body` into at most `parts` texts, each but the last ending with a line end outside quotes.
fn split(body: &str, parts: usize) -> Vec<&str> {
    let bytes = body.as_bytes();
    let mut cut = Vec::with_capacity(parts);
    let (mut start, mut seen, mut open) = (0, 0, false);
    for part in 1..parts {
        let from = (bytes.len() * part / parts).max(start);
        open ^= memchr::memchr_iter(b'"', &bytes[seen..from]).count() % 2 == 1;
        seen = from;
        let end = memchr::memchr2_iter(b'"', b'\n', &bytes[from..]).map(|at| from + at).find(|at| {
            seen = at + 1;
            open ^= bytes[*at] == b'"';
            bytes[*at] == b'\n' && !open
        });
        let Some(end) = end else { break };
        cut.push(&body[start..=end]);
        start = end + 1;
    }
    cut.push(&body[start..]);
    cut
}

/// More columns than any model has features are taken for an attack on memory.
const MOST_COLUMNS: usize = 1 << 20;

/// What becomes of the cells of one column of the request.
#[derive(Debug, Clone, Copy)]
struct Field {
    input: Option<u32>,
    keep: Option<u32>,
    /// The input is a plain number and nothing repeats the cell: the quick scan may read it.
    quick: bool,
    /// The cell may be repeated as a number.
    literal: bool,
}

struct Header<'a> {
    inputs: &'a Inputs,
    /// False when the names are the model's, and the text has none.
    is_there: bool,
    fields: Vec<Field>,
    kept: Vec<TextColumn>,
}

impl<'a> Header<'a> {
    /// Reads the header row; also gives where the rows start.
    fn read(text: &str, inputs: &'a Inputs, keep: &Keep) -> Result<(Self, usize), DataError> {
        let mut header = Self::empty(inputs, true);
        let mut present = vec![false; inputs.columns().len()];
        let mut unused = HashSet::new();
        let start = each_name(text, |name| header.add(name, keep, &mut present, &mut unused))?;
        inputs.check_count(header.fields.len())?;
        keep.check_found(&header.kept)?;
        inputs.check_present(&present)?;
        Ok((header, start))
    }

    fn empty(inputs: &'a Inputs, is_there: bool) -> Self {
        Self { inputs, is_there, fields: Vec::with_capacity(inputs.columns().len()), kept: Vec::new() }
    }

    /// The header of a text without one: all features in the model's order.
    fn of_features(inputs: &'a Inputs, keep: &Keep) -> Result<(Self, usize), DataError> {
        let mut header = Self::empty(inputs, false);
        let mut present = vec![false; inputs.columns().len()];
        let mut unused = HashSet::new();
        for input in inputs.columns() {
            header.add(Cow::Borrowed(&input.name), keep, &mut present, &mut unused)?;
        }
        keep.check_found(&header.kept)?;
        Ok((header, 0))
    }

    /// Adds a column; one that was there already is an error.
    fn add<'t>(
        &mut self,
        name: Cow<'t, str>,
        keep: &Keep,
        present: &mut [bool],
        unused: &mut HashSet<Cow<'t, str>>,
    ) -> Result<(), DataError> {
        if self.fields.len() == MOST_COLUMNS {
            let reason = format!("the header has more than {MOST_COLUMNS} columns");
            return Err(DataError::Malformed { line: 1, reason });
        }
        let input = self.inputs.find(&name, self.fields.len());
        let twice = match input {
            Some(input) => std::mem::replace(&mut present[input], true),
            None => !unused.insert(name.clone()),
        };
        if twice {
            return Err(DataError::DuplicateColumn { name: name.into_owned() });
        }
        let numeric = input.is_some_and(|i| matches!(self.inputs.columns()[i].kind, InputKind::Number));
        let keep = keep.wants(&name).then(|| {
            self.kept.push(TextColumn::new(name));
            self.kept.len() as u32 - 1
        });
        let quick = numeric && keep.is_none();
        self.fields.push(Field { input: input.map(|i| i as u32), keep, quick, literal: numeric });
        Ok(())
    }

    /// A bound of the rows in `part`: a row takes at least a byte a column (its commas and line end), and no row but
    /// the last lacks a line end.
    fn rows_at_most(&self, part: &str) -> usize {
        (lines(part) + 1).min(part.len() / self.fields.len() + 1)
    }

    /// Decodes rows that start at a row's start, of which there are at most `rows`.
    fn decode<T: Real>(&self, part: &str, rows: usize) -> Result<Frame, Failure> {
        let bytes = part.as_bytes();
        let mut table = Table::<T>::new(self.inputs.columns().len(), rows);
        let mut kept = self.kept.clone();
        let mut unquoted = String::new();
        let (mut at, mut row) = (0, 0);
        while at < bytes.len() {
            if let Some(next) = blank_line(bytes, at) {
                at = next;
                continue;
            }
            table.check_room(row, kept.len()).map_err(Failure::Data)?;
            at = self.decode_row(part, at, row, &mut table, &mut kept, &mut unquoted)?;
            row += 1;
        }
        Ok(table.into_frame(row, kept))
    }

    /// Decodes the row that starts at `row_start`; gives where the next one starts.
    #[inline]
    fn decode_row<T: Real>(
        &self,
        part: &str,
        row_start: usize,
        row: usize,
        table: &mut Table<T>,
        kept: &mut [TextColumn],
        unquoted: &mut String,
    ) -> Result<usize, Failure> {
        let bytes = part.as_bytes();
        let mut at = row_start;
        for (i, field) in self.fields.iter().enumerate() {
            let end = match number::scan(bytes, at).filter(|_| field.quick) {
                Some((value, end)) => {
                    if let Some(input) = field.input {
                        table.set(row, input as usize, value);
                    }
                    end
                }
                None => {
                    let (cell, end) = take(part, at, unquoted)?;
                    if let Err(error) = self.store(field, cell, row, table, kept) {
                        // In a row of the wrong length cells are not where they belong: that comes first.
                        let wrong = row_length(part, row_start) != self.fields.len();
                        return Err(if wrong { self.ragged(part, row_start) } else { Failure::Data(error) });
                    }
                    end
                }
            };
            let last = i + 1 == self.fields.len();
            at = match (line_end(bytes, end), bytes.get(end)) {
                (Some(next), _) if last => next,
                (None, Some(b',')) if !last => end + 1,
                (None, Some(b',')) | (Some(_), _) => return Err(self.ragged(part, row_start)),
                _ => return Err(malformed(part, end, "text after the closing quote of a cell")),
            };
        }
        Ok(at)
    }

    fn store<T: Real>(
        &self,
        field: &Field,
        cell: &str,
        row: usize,
        table: &mut Table<T>,
        kept: &mut [TextColumn],
    ) -> Result<(), DataError> {
        if let Some(input) = field.input {
            table.set(row, input as usize, self.inputs.number(input as usize, row, cell)?);
        }
        if let Some(keep) = field.keep {
            let literal = field.literal && number::is_json_number(cell);
            kept[keep as usize].push(match cell {
                "" => TextCell::Missing,
                _ if literal => TextCell::Literal(cell),
                _ => TextCell::Text(cell),
            });
        }
        Ok(())
    }

    fn ragged(&self, part: &str, start: usize) -> Failure {
        let (line, found) = (lines(&part[..start]) + 1, row_length(part, start));
        let expected = self.fields.len();
        Failure::Data(match self.is_there {
            true => DataError::RaggedRow { line, expected, found },
            false => DataError::CellCount { line, expected, found },
        })
    }
}

/// The number of cells in the row at `start`.
fn row_length(part: &str, start: usize) -> usize {
    let (mut at, mut found, mut scratch) = (start, 1, String::new());
    while let Ok((_, end)) = take(part, at, &mut scratch) {
        if part.as_bytes().get(end) != Some(&b',') {
            break;
        }
        (at, found) = (end + 1, found + 1);
    }
    found
}

fn malformed(part: &str, at: usize, reason: &str) -> Failure {
    let line = lines(&part[..at.min(part.len())]) + 1;
    Failure::Data(DataError::Malformed { line, reason: reason.to_owned() })
}

/// Where the next row starts if the line at `at` is empty.
#[inline]
fn blank_line(bytes: &[u8], at: usize) -> Option<usize> {
    line_end(bytes, at).filter(|_| at < bytes.len())
}

/// Where the next row starts if a line ends at `at`: LF, CRLF or the end of the text.
#[inline]
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at) {
        None => Some(at),
        Some(b'\n') => Some(at + 1),
        Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => Some(at + 2),
        _ => None,
    }
}

/// The cell at `at` without its quotes, and where it ends.
#[inline]
fn take<'t>(part: &'t str, at: usize, unquoted: &'t mut String) -> Result<(&'t str, usize), Failure> {
    let bytes = part.as_bytes();
    if bytes.get(at) == Some(&b'"') {
        return take_quoted(part, at + 1, unquoted);
    }
    let mut end = at;
    while !matches!(bytes.get(end), None | Some(b',' | b'\n')) {
        end += 1;
    }
    if end > at && bytes.get(end) == Some(&b'\n') && bytes[end - 1] == b'\r' {
        end -= 1;
    }
    Ok((&part[at..end], end))
}

fn take_quoted<'t>(
    part: &'t str,
    start: usize,
    unquoted: &'t mut String,
) -> Result<(&'t str, usize), Failure> {
    let bytes = part.as_bytes();
    unquoted.clear();
    let mut from = start;
    loop {
        let quote = from + memchr::memchr(b'"', &bytes[from..]).ok_or(Failure::Cut)?;
        if bytes.get(quote + 1) == Some(&b'"') {
            unquoted.push_str(&part[from..=quote]);
            from = quote + 2;
        } else if from == start {
            return Ok((&part[start..quote], quote + 1));
        } else {
            unquoted.push_str(&part[from..quote]);
            return Ok((unquoted, quote + 1));
        }
    }
}

/// The name at `at`, which is copied only if it is quoted, and where it ends.
fn take_name(text: &str, at: usize) -> Result<(Cow<'_, str>, usize), Failure> {
    let mut unquoted = String::new();
    let (name, end) = take(text, at, &mut unquoted)?;
    let plain = text.as_bytes().get(at) != Some(&b'"');
    Ok((if plain { Cow::Borrowed(&text[at..end]) } else { Cow::Owned(name.to_owned()) }, end))
}

/// Whether the first line of a text whose header nobody tells of is a row.
fn begins_with_row(text: &str, inputs: &Inputs) -> bool {
    let columns = inputs.columns();
    let (mut cells, mut values, mut numbered) = (0, 0, 0);
    let read = each_name(text, |cell| {
        let input = columns.get(cells).filter(|_| inputs.find(&cell, usize::MAX).is_none());
        let Some(input) = input else { return Err(DataError::Empty) }; // a name, or too many: no row
        values += usize::from(match &input.kind {
            InputKind::Number => matches!(number::parse(&cell, &[]), number::Cell::Value(_)),
            InputKind::Level(levels) => !levels.code(&cell).is_nan(),
        });
        numbered += usize::from(cell.parse() == Ok(cells)); // as pandas numbers columns without names
        cells += 1;
        Ok(())
    });
    read.is_ok() && cells == columns.len() && values > 0 && (numbered < cells || cells == 1)
}

/// Gives the names in the header row to `add`, and says where the rows start.
fn each_name<'t>(
    text: &'t str,
    mut add: impl FnMut(Cow<'t, str>) -> Result<(), DataError>,
) -> Result<usize, DataError> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(next) = blank_line(bytes, at) {
        at = next;
    }
    if text[at..].trim_ascii().is_empty() {
        return Err(DataError::Empty);
    }
    loop {
        let (name, end) = take_name(text, at).map_err(|_| DataError::Malformed {
            line: lines(&text[..at]) + 1,
            reason: "a quoted column name is not closed".to_owned(),
        })?;
        if matches!(name, Cow::Borrowed(name) if memchr::memchr(b'\r', name.as_bytes()).is_some()) {
            let reason = "a carriage return stands alone in the header: end lines with LF or CRLF".to_owned();
            return Err(DataError::Malformed { line: lines(&text[..at]) + 1, reason });
        }
        add(name)?;
        match (line_end(bytes, end), bytes.get(end)) {
            (Some(next), _) => return Ok(next),
            (None, Some(b',')) => at = end + 1,
            _ => {
                let reason = "text after the closing quote of a column name".to_owned();
                return Err(DataError::Malformed { line: lines(&text[..end]) + 1, reason });
            }
        }
    }
}

#[cfg(test)]
mod tests;
