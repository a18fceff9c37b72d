//! A column of text that the answer repeats: one buffer, no allocation per cell.

/// One column of the request, cell by cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TextColumn {
    /// The column's name.
    pub name: String,
    bytes: String,
    cells: Vec<(u32, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Missing,
    Literal,
    Text,
}

/// A cell of a [`TextColumn`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TextCell<'a> {
    /// Nothing.
    Missing,
    /// A number or truth value in the form that JSON writes.
    Literal(&'a str),
    /// Anything else.
    Text(&'a str),
}

impl TextColumn {
    /// An empty column.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The number of cells.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// True without cells.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The cell of row `row`; missing past the end.
    pub fn get(&self, row: usize) -> TextCell<'_> {
        let Some(&(end, kind)) = self.cells.get(row) else { return TextCell::Missing };
        let start = if row == 0 { 0 } else { self.cells[row - 1].0 };
        let text = &self.bytes[start as usize..end as usize];
        match kind {
            Kind::Missing => TextCell::Missing,
            Kind::Literal => TextCell::Literal(text),
            Kind::Text => TextCell::Text(text),
        }
    }

    /// Appends a cell.
    pub fn push(&mut self, cell: TextCell<'_>) {
        let (text, kind) = match cell {
            TextCell::Missing => ("", Kind::Missing),
            TextCell::Literal(text) => (text, Kind::Literal),
            TextCell::Text(text) => (text, Kind::Text),
        };
        self.bytes.push_str(text);
        // A request is bounded far below 4 GiB; past it the cell would be cut, never misread.
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.cells.push((end, kind));
    }

    /// Fills up with missing cells to `rows` cells.
    pub fn pad(&mut self, rows: usize) {
        while self.len() < rows {
            self.push(TextCell::Missing);
        }
    }
}
