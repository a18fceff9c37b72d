//! The footer of a Parquet file: its columns, and where each row group keeps them. Row groups are read one by one, so
//! that a footer of any size takes no memory beside its own bytes. What a chunk of pages holds is left to `page.rs`.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::thrift::{Kind, Outcome, Thrift};

/// More columns than any model has features are taken for an attack on memory.
const MOST_COLUMNS: usize = 1 << 20;

/// What stands at both ends of a file.
const MAGIC: &[u8] = b"PAR1";

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Boolean,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Float,
    Double,
    Text,
    /// What is not read, in words.
    Other(&'static str),
}

/// A column of the table.
#[derive(Debug)]
pub(super) struct Column<'b> {
    pub(super) name: &'b str,
    pub(super) values: Type,
    /// Whether values may be missing.
    pub(super) optional: bool,
    /// Its place among the chunks of a row group.
    pub(super) leaf: usize,
    physical: i64,
}

/// What a file says about itself.
#[derive(Debug)]
pub(super) struct Footer<'b> {
    /// Its columns without those that pandas keeps the index in.
    pub(super) columns: Vec<Column<'b>>,
    pub(super) rows: usize,
    groups: Option<Thrift<'b>>,
    /// Where it starts: pages end before.
    start: usize,
}

/// Where a row group keeps a column.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) codec: i64,
    pub(super) values: usize,
    physical: i64,
    data: usize,
    dictionary: Option<usize>,
    length: usize,
    has_data: bool,
    encrypted: bool,
    elsewhere: bool,
}

impl<'b> Footer<'b> {
    pub(super) fn read(file: &'b [u8]) -> Outcome<Self> {
        let (metadata, start) = metadata(file)?;
        let mut footer = Self { columns: Vec::new(), rows: 0, groups: None, start };
        let mut index = HashSet::new();
        let mut rows = None;
        Thrift::new(metadata).fields(|thrift, id, kind| {
            match (id, kind) {
                (2, Kind::List) => footer.columns = columns(thrift)?,
                (3, Kind::Integer) => rows = Some(thrift.size()?),
                (4, Kind::List) => {
                    footer.groups = Some(*thrift);
                    return Ok(false);
                }
                (5, Kind::List) => index = index_columns(thrift)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        footer.rows = rows.ok_or("its metadata does not say how many rows there are")?;
        footer.columns.retain(|column| !index.contains(column.name));
        Ok(footer)
    }

    /// Reads one row group after the other: its number of rows, and where it has the columns of these leaves, which are
    /// in order.
    pub(super) fn each_group<E>(
        &self,
        leaves: &[usize],
        mut found: impl FnMut(usize, &[Chunk]) -> Result<(), E>,
        bad: impl Fn(String) -> E,
    ) -> Result<(), E> {
        let Some(mut groups) = self.groups else { return Ok(()) };
        let mut failure = None;
        let outcome = groups.structs(|thrift, _| {
            let (rows, chunks) = group(thrift, leaves)?;
            found(rows, &chunks).map_err(|error| {
                failure = Some(error);
                String::new()
            })
        });
        match (outcome, failure) {
            (_, Some(error)) => Err(error),
            (outcome, None) => outcome.map_err(bad),
        }
    }

    /// The pages of a chunk.
    pub(super) fn pages(&self, file: &'b [u8], column: &Column<'_>, chunk: &Chunk) -> Outcome<&'b [u8]> {
        if chunk.encrypted {
            return Err("it is encrypted: write the file without encryption".to_owned());
        }
        if chunk.elsewhere {
            return Err("its pages are in another file: write one file".to_owned());
        }
        if !chunk.has_data || chunk.physical != column.physical {
            return Err("a row group has it in another type than the schema".to_owned());
        }
        let start = chunk.dictionary.filter(|at| (1..chunk.data).contains(at)).unwrap_or(chunk.data);
        let end = start.checked_add(chunk.length).filter(|end| start >= MAGIC.len() && *end <= self.start);
        end.and_then(|end| file.get(start..end)).ok_or_else(|| {
            format!("its pages would be {} bytes at {start}, outside of the file", chunk.length)
        })
    }
}

/// The footer's bytes, and where they start.
fn metadata(file: &[u8]) -> Outcome<(&[u8], usize)> {
    let not = "it is not a Parquet file, which begins and ends with the bytes PAR1";
    if file.ends_with(b"PARE") {
        return Err("it is encrypted: write it without encryption".to_owned());
    }
    let inside = file.strip_suffix(MAGIC).filter(|_| file.starts_with(MAGIC)).ok_or(not)?;
    let (rest, length) = inside.split_last_chunk::<4>().ok_or(not)?;
    let length = u32::from_le_bytes(*length) as usize;
    let start = rest.len().checked_sub(length).filter(|start| *start >= MAGIC.len()).ok_or_else(|| {
        format!("its metadata would be {length} bytes, more than the file has: it is cut off or damaged")
    })?;
    Ok((&rest[start..], start))
}

/// An item of the schema.
#[derive(Default)]
struct Element<'b> {
    name: &'b str,
    physical: Option<i64>,
    repetition: i64,
    children: usize,
    converted: Option<i64>,
    logical: Option<Logical>,
}

/// The logical types that matter here.
#[derive(Clone, Copy)]
enum Logical {
    Unsigned,
    Read,
    Other(&'static str),
}

/// The columns of the schema, a tree that is written depth first below its root.
fn columns<'b>(thrift: &mut Thrift<'b>) -> Outcome<Vec<Column<'b>>> {
    let (mut columns, mut expected, mut open, mut leaves) = (Vec::new(), 0, 0_usize, 0);
    let bad = || "its schema is damaged: a column has another number of children than it says".to_owned();
    thrift.structs(|thrift, i| {
        let element = element(thrift)?;
        if i == 0 {
            expected = element.children;
            return Ok(());
        }
        match open.checked_sub(1) {
            Some(rest) => open = rest,
            None if columns.len() == MOST_COLUMNS => {
                return Err(format!("it has more than {MOST_COLUMNS} columns"));
            }
            None => columns.push(column(&element, leaves)),
        }
        open = open.checked_add(element.children).ok_or_else(bad)?;
        leaves += usize::from(element.physical.is_some());
        Ok(())
    })?;
    if open == 0 && columns.len() == expected { Ok(columns) } else { Err(bad()) }
}

fn column<'b>(element: &Element<'b>, leaf: usize) -> Column<'b> {
    Column {
        name: element.name,
        values: element.values(),
        optional: element.repetition == 1,
        leaf,
        physical: element.physical.unwrap_or(-1),
    }
}

fn element<'b>(thrift: &mut Thrift<'b>) -> Outcome<Element<'b>> {
    let mut element = Element::default();
    let mut named = false;
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, Kind::Integer) => element.physical = Some(thrift.integer()?),
            (3, Kind::Integer) => element.repetition = thrift.integer()?,
            (4, Kind::Binary) => (element.name, named) = (thrift.text()?, true),
            (5, Kind::Integer) => element.children = thrift.size()?,
            (6, Kind::Integer) => element.converted = Some(thrift.integer()?),
            (10, Kind::Struct) => element.logical = logical(thrift)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if named { Ok(element) } else { Err("its schema is damaged: a column has no name".to_owned()) }
}

fn logical(thrift: &mut Thrift<'_>) -> Outcome<Option<Logical>> {
    let mut found = None;
    thrift.fields(|thrift, id, kind| {
        found = Some(match id {
            10 if kind == Kind::Struct => {
                found = Some(whole_number(thrift)?);
                return Ok(true);
            }
            5 => Logical::Other("decimals"),
            6 => Logical::Other("dates"),
            7 => Logical::Other("times of day"),
            8 => Logical::Other("timestamps"),
            1 | 4 | 11 | 12 => Logical::Read,
            15 => Logical::Other("numbers of 16 bits"),
            _ => Logical::Other("values of a kind that is not read"),
        });
        Ok(false)
    })?;
    Ok(found)
}

fn whole_number(thrift: &mut Thrift<'_>) -> Outcome<Logical> {
    let mut signed = true;
    thrift.fields(|_, id, kind| {
        signed &= (id, kind) != (2, Kind::False);
        Ok(false)
    })?;
    Ok(if signed { Logical::Read } else { Logical::Unsigned })
}

impl Element<'_> {
    fn values(&self) -> Type {
        if self.physical.is_none() || self.children > 0 || !matches!(self.repetition, 0 | 1) {
            return Type::Other("lists or structs");
        }
        let other = match (self.logical, self.converted) {
            (Some(Logical::Other(what)), _) => Some(what),
            (Some(_), _) | (None, None | Some(0 | 4 | 11..=19)) => None,
            (None, Some(5)) => Some("decimals"),
            (None, Some(6)) => Some("dates"),
            (None, Some(7 | 8)) => Some("times of day"),
            (None, Some(9 | 10)) => Some("timestamps"),
            (None, Some(_)) => Some("values of a kind that is not read"),
        };
        let unsigned = match self.logical {
            Some(logical) => matches!(logical, Logical::Unsigned),
            None => matches!(self.converted, Some(11..=14)),
        };
        match (other, self.physical, unsigned) {
            (Some(what), ..) => Type::Other(what),
            (None, Some(0), _) => Type::Boolean,
            (None, Some(1), false) => Type::Int32,
            (None, Some(1), true) => Type::Uint32,
            (None, Some(2), false) => Type::Int64,
            (None, Some(2), true) => Type::Uint64,
            (None, Some(3), _) => Type::Other("timestamps of 96 bits"),
            (None, Some(4), _) => Type::Float,
            (None, Some(5), _) => Type::Double,
            (None, Some(6), _) => Type::Text,
            (None, Some(7), _) => Type::Other("bytes of a fixed length"),
            _ => Type::Other("values of a kind that is not read"),
        }
    }
}

/// What pandas writes about a table.
#[derive(Deserialize)]
struct Pandas<'b> {
    #[serde(borrow)]
    index_columns: &'b RawValue,
}

/// A longer list of the columns of an index is not looked at.
const MOST_INDEX: usize = 64 << 10;

/// A column that holds the index, or a range that none holds.
#[derive(Deserialize)]
#[serde(untagged)]
enum IndexColumn {
    Name(String),
    Range(IgnoredAny),
}

/// The columns that hold the index of a pandas table. Text of another form says nothing about one.
fn index_columns(thrift: &mut Thrift<'_>) -> Outcome<HashSet<String>> {
    let mut names = HashSet::new();
    thrift.structs(|thrift, _| {
        let (mut key, mut value) = (&b""[..], &b""[..]);
        thrift.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, Kind::Binary) => key = thrift.binary()?,
                (2, Kind::Binary) => value = thrift.binary()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if key == b"pandas" {
            names = index_names(value).unwrap_or_default();
        }
        Ok(())
    })?;
    Ok(names)
}

fn index_names(json: &[u8]) -> Option<HashSet<String>> {
    let list = serde_json::from_slice::<Pandas<'_>>(json).ok()?.index_columns.get();
    if list.len() > MOST_INDEX {
        return None;
    }
    let columns: Vec<IndexColumn> = serde_json::from_str(list).ok()?;
    let name = |column| match column {
        IndexColumn::Name(name) => Some(name),
        IndexColumn::Range(_) => None,
    };
    Some(columns.into_iter().filter_map(name).collect())
}

/// A row group: its rows, and its chunks of these leaves.
fn group(thrift: &mut Thrift<'_>, leaves: &[usize]) -> Outcome<(usize, Vec<Chunk>)> {
    let (mut rows, mut chunks) = (None, Vec::new());
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, Kind::List) => {
                chunks.clear();
                thrift.structs(|thrift, i| {
                    let chunk = chunk(thrift)?;
                    if leaves.get(chunks.len()) == Some(&i) {
                        chunks.push(chunk);
                    }
                    Ok(())
                })?;
            }
            (3, Kind::Integer) => rows = Some(thrift.size()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match rows {
        Some(rows) if chunks.len() == leaves.len() => Ok((rows, chunks)),
        Some(_) => Err("a row group does not have all columns of the schema".to_owned()),
        None => Err("a row group does not say how many rows it has".to_owned()),
    }
}

fn chunk(thrift: &mut Thrift<'_>) -> Outcome<Chunk> {
    let mut chunk = Chunk::default();
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, Kind::Binary) => chunk.elsewhere = !thrift.binary()?.is_empty(),
            (3, Kind::Struct) => chunk.read(thrift)?,
            (8, _) => {
                chunk.encrypted = true;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(chunk)
}

impl Chunk {
    fn read(&mut self, thrift: &mut Thrift<'_>) -> Outcome<()> {
        thrift.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, Kind::Integer) => self.physical = thrift.integer()?,
                (4, Kind::Integer) => self.codec = thrift.integer()?,
                (5, Kind::Integer) => self.values = thrift.size()?,
                (7, Kind::Integer) => self.length = thrift.size()?,
                (9, Kind::Integer) => (self.data, self.has_data) = (thrift.size()?, true),
                (11, Kind::Integer) => self.dictionary = Some(thrift.size()?),
                _ => return Ok(false),
            }
            Ok(true)
        })
    }
}
