//! The encodings of values: plain, runs of whole numbers, and places in a dictionary. A reader gives one value after
//! the other and takes no memory for those to come, so that a run of any length costs nothing.

use super::footer::Type;
use super::page::split_counted;
use super::thrift::{Outcome, Thrift};

/// A value as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'p> {
    Number(f64),
    Text(&'p [u8]),
}

const ENDS: &str = "a page ends before its last value";

/// Whole numbers of a few bits in runs, each of one value or of several packed ones.
pub(super) struct Runs<'p> {
    rest: &'p [u8],
    width: u32,
    left: u64,
    run: Run<'p>,
}

enum Run<'p> {
    One(u32),
    Packed { bytes: &'p [u8], bit: usize },
}

impl<'p> Runs<'p> {
    pub(super) fn new(bytes: &'p [u8], width: u32) -> Outcome<Self> {
        match width {
            0..=32 => Ok(Self { rest: bytes, width, left: 0, run: Run::One(0) }),
            _ => Err(format!("a page has numbers of {width} bits where at most 32 are possible")),
        }
    }

    pub(super) fn next(&mut self) -> Outcome<u32> {
        while self.left == 0 {
            self.begin_run()?;
        }
        self.left -= 1;
        Ok(match &mut self.run {
            Run::One(value) => *value,
            Run::Packed { bytes, bit } => {
                let from = bytes.get(*bit / 8..).unwrap_or_default();
                let value = (little(from) >> (*bit % 8)) & ((1 << self.width) - 1);
                *bit += self.width as usize;
                value as u32
            }
        })
    }

    fn begin_run(&mut self) -> Outcome<()> {
        let mut thrift = Thrift::new(self.rest);
        let head = thrift.varint().map_err(|_| ENDS)?;
        let (count, width) = (head >> 1, u64::from(self.width));
        if head & 1 == 0 {
            let (value, rest) =
                thrift.rest().split_at_checked(self.width.div_ceil(8) as usize).ok_or(ENDS)?;
            self.run = Run::One((little(value) & u64::from(u32::MAX)) as u32);
            (self.left, self.rest) = (count, rest);
            return Ok(());
        }
        // the last group may lack the bytes that no value needs
        let size = usize::try_from(count.saturating_mul(width)).unwrap_or(usize::MAX);
        let (bytes, rest) = thrift.rest().split_at(size.min(thrift.rest().len()));
        self.left = match width {
            0 => count.saturating_mul(8),
            width => count.saturating_mul(8).min(bytes.len() as u64 * 8 / width),
        };
        (self.run, self.rest) = (Run::Packed { bytes, bit: 0 }, rest);
        Ok(())
    }
}

/// The first eight bytes as a number, zeros where there are fewer.
fn little(bytes: &[u8]) -> u64 {
    if let Some(all) = bytes.first_chunk::<8>() {
        return u64::from_le_bytes(*all);
    }
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The values of a page.
pub(super) enum Values<'p> {
    Plain(Plain<'p>),
    /// Truth values in runs.
    Truths(Runs<'p>),
    Indices(Runs<'p>, &'p Dictionary<'p>),
}

impl<'p> Values<'p> {
    pub(super) fn new(
        encoding: i64,
        kind: Type,
        bytes: &'p [u8],
        dictionary: Option<&'p Dictionary<'p>>,
    ) -> Outcome<Self> {
        match (encoding, dictionary) {
            (0, _) => Ok(Self::Plain(Plain::new(bytes, kind))),
            (2 | 8, None) => {
                Err("its values are places in a dictionary, and there is none before them".to_owned())
            }
            (2 | 8, Some(dictionary)) => {
                // a page in which all values are missing may be empty
                let (width, rest) = bytes.split_first().unwrap_or((&0, &[]));
                Ok(Self::Indices(Runs::new(rest, u32::from(*width))?, dictionary))
            }
            (3, _) if kind == Type::Boolean => {
                let bytes = if bytes.is_empty() { bytes } else { split_counted(bytes)?.0 };
                Ok(Self::Truths(Runs::new(bytes, 1)?))
            }
            (other, _) => Err(format!(
                "its encoding {} is not read: write it with pyarrow's default encodings, a dictionary or PLAIN",
                name(other)
            )),
        }
    }

    pub(super) fn next(&mut self) -> Outcome<Raw<'p>> {
        match self {
            Self::Plain(plain) => plain.next(),
            Self::Truths(runs) => Ok(Raw::Number(f64::from(runs.next()?))),
            Self::Indices(runs, dictionary) => {
                let index = runs.next()?;
                dictionary.get(index as usize).ok_or_else(|| {
                    format!("a value is number {index} of a dictionary of {}", dictionary.count)
                })
            }
        }
    }
}

fn name(encoding: i64) -> String {
    match encoding {
        3 => "RLE of other values than truth values".to_owned(),
        4 => "BIT_PACKED".to_owned(),
        5 => "DELTA_BINARY_PACKED".to_owned(),
        6 => "DELTA_LENGTH_BYTE_ARRAY".to_owned(),
        7 => "DELTA_BYTE_ARRAY".to_owned(),
        9 => "BYTE_STREAM_SPLIT".to_owned(),
        other => format!("number {other}"),
    }
}

/// Values one after the other.
pub(super) struct Plain<'p> {
    bytes: &'p [u8],
    kind: Type,
    bit: usize,
}

impl<'p> Plain<'p> {
    pub(super) fn new(bytes: &'p [u8], kind: Type) -> Self {
        Self { bytes, kind, bit: 0 }
    }

    fn take<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(ENDS)?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub(super) fn next(&mut self) -> Outcome<Raw<'p>> {
        Ok(Raw::Number(match self.kind {
            Type::Boolean => {
                let byte = self.bytes.get(self.bit / 8).ok_or(ENDS)?;
                let bit = byte >> (self.bit % 8) & 1;
                self.bit += 1;
                f64::from(bit)
            }
            Type::Int32 => f64::from(i32::from_le_bytes(self.take()?)),
            Type::Uint32 => f64::from(u32::from_le_bytes(self.take()?)),
            Type::Int64 => i64::from_le_bytes(self.take()?) as f64,
            Type::Uint64 => u64::from_le_bytes(self.take()?) as f64,
            Type::Float => f64::from(f32::from_le_bytes(self.take()?)),
            Type::Double => f64::from_le_bytes(self.take()?),
            Type::Text => {
                let (text, rest) = split_counted(self.bytes).map_err(|_| ENDS)?;
                self.bytes = rest;
                return Ok(Raw::Text(text));
            }
            Type::Other(what) => return Err(format!("it holds {what}")),
        }))
    }
}

/// The bytes of a number.
fn size(kind: Type) -> usize {
    if matches!(kind, Type::Int64 | Type::Uint64 | Type::Double) { 8 } else { 4 }
}

/// The values that pages have the places of.
pub(super) struct Dictionary<'p> {
    bytes: &'p [u8],
    kind: Type,
    count: usize,
    /// Where each text starts.
    starts: Vec<u32>,
}

impl<'p> Dictionary<'p> {
    pub(super) fn new(encoding: i64, kind: Type, count: usize, bytes: &'p [u8]) -> Outcome<Self> {
        if !matches!(encoding, 0 | 2) || kind == Type::Boolean {
            return Err("its dictionary is not in the encoding PLAIN: write the file again".to_owned());
        }
        let mut dictionary = Self { bytes, kind, count, starts: Vec::new() };
        let fits = match kind {
            Type::Text => dictionary.find_starts(),
            number => count <= bytes.len() / size(number),
        };
        match fits {
            true => Ok(dictionary),
            false => Err(format!("its dictionary claims {count} values, and has not as many")),
        }
    }

    /// Whether there are as many texts as there should be.
    fn find_starts(&mut self) -> bool {
        let mut rest = self.bytes;
        while self.starts.len() < self.count {
            let (Ok(start), Ok((_, after))) =
                (u32::try_from(self.bytes.len() - rest.len()), split_counted(rest))
            else {
                return false;
            };
            self.starts.push(start);
            rest = after;
        }
        true
    }

    fn get(&self, index: usize) -> Option<Raw<'p>> {
        if index >= self.count {
            return None;
        }
        let start = match self.kind {
            Type::Text => *self.starts.get(index)? as usize,
            number => index * size(number),
        };
        Plain::new(self.bytes.get(start..)?, self.kind).next().ok()
    }
}
