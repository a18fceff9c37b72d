//! The pages of a column: their headers, and their bytes without compression, both within what a request may take.
//! What the bytes mean is left to `encoding.rs`.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::thrift::{Kind, Outcome, Thrift};

/// Snappy makes bytes no more than about twenty times fewer: what claims more is damaged.
const MOST_SNAPPY: usize = 32;

/// What zstd may keep of what it has decompressed: 2 to this.
const ZSTD_WINDOW: u32 = 26;

/// What a request may still take.
#[derive(Debug)]
pub(super) struct Room {
    /// Bytes of the file: a file's pages together are not larger than the file.
    pub(super) packed: usize,
    /// Bytes without compression.
    pub(super) unpacked: usize,
}

/// The pages of a chunk, one by one.
pub(super) struct Pages<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) codec: i64,
}

/// One page.
pub(super) enum Page<'b> {
    Dictionary { count: usize, encoding: i64, bytes: Cow<'b, [u8]> },
    Data(DataPage<'b>),
}

/// A page of values.
pub(super) struct DataPage<'b> {
    /// With the missing ones.
    pub(super) count: usize,
    pub(super) encoding: i64,
    levels: Levels<'b>,
    body: Cow<'b, [u8]>,
}

/// Where a page has what tells which values are missing.
enum Levels<'b> {
    Apart(&'b [u8]),
    /// In front of the values, in this encoding.
    Inside(i64),
}

#[derive(Default)]
struct Header {
    kind: i64,
    unpacked: usize,
    packed: usize,
    count: Option<usize>,
    encoding: i64,
    level_encoding: i64,
    levels: usize,
    repetitions: usize,
    stored: bool,
}

impl<'b> Pages<'b> {
    /// The next page; None after the last one.
    pub(super) fn next(&mut self, room: &mut Room) -> Outcome<Option<Page<'b>>> {
        while !self.bytes.is_empty() {
            let before = self.bytes.len();
            let mut thrift = Thrift::new(self.bytes);
            let header = Header::read(&mut thrift)?;
            let (body, rest) = thrift.rest().split_at_checked(header.packed).ok_or_else(|| {
                format!("a page would be {} bytes, and {} are left", header.packed, thrift.rest().len())
            })?;
            self.bytes = rest;
            room.packed = room
                .packed
                .checked_sub(before - rest.len())
                .ok_or("its pages are those of another column or row group as well")?;
            // pages of an index are passed over
            if let Some(page) = self.page(&header, body, room)? {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    fn page(&self, header: &Header, body: &'b [u8], room: &mut Room) -> Outcome<Option<Page<'b>>> {
        let count = header.count.ok_or("a page does not say how many values it has");
        let encoding = header.encoding;
        Ok(match header.kind {
            0 => {
                let (count, body) = (count?, self.unpack(body, header.unpacked, room)?);
                let levels = Levels::Inside(header.level_encoding);
                Some(Page::Data(DataPage { count, encoding, levels, body }))
            }
            2 => {
                let (count, bytes) = (count?, self.unpack(body, header.unpacked, room)?);
                Some(Page::Dictionary { count, encoding, bytes })
            }
            3 => {
                let split = body.split_at_checked(header.levels).filter(|_| header.repetitions == 0);
                let (levels, values) = split.ok_or("the levels of a page do not fit into it")?;
                let unpacked = header.unpacked.checked_sub(levels.len());
                let unpacked = unpacked.ok_or("the levels of a page are larger than the page")?;
                let body =
                    if header.stored { Cow::Borrowed(values) } else { self.unpack(values, unpacked, room)? };
                Some(Page::Data(DataPage { count: count?, encoding, levels: Levels::Apart(levels), body }))
            }
            _ => None,
        })
    }

    /// The bytes that were packed, `size` of them.
    fn unpack(&self, packed: &'b [u8], size: usize, room: &mut Room) -> Outcome<Cow<'b, [u8]>> {
        if self.codec == 0 {
            return Ok(Cow::Borrowed(packed));
        }
        room.unpacked = room.unpacked.checked_sub(size).ok_or(
            "the file has more bytes without compression than a request may have: send fewer rows at a time",
        )?;
        let bytes = match self.codec {
            1 => snappy(packed, size)?,
            2 => read(MultiGzDecoder::new(packed), size)?,
            6 if packed.is_empty() => Vec::new(),
            6 => {
                let mut decoder = zstd::Decoder::with_buffer(packed).map_err(|e| damaged(&e))?;
                decoder.window_log_max(ZSTD_WINDOW).map_err(|e| damaged(&e))?;
                read(decoder, size)?
            }
            other => {
                let name = ["LZO", "Brotli", "LZ4", "zstd", "LZ4"];
                let name =
                    usize::try_from(other - 3).ok().and_then(|i| name.get(i)).unwrap_or(&"an unknown codec");
                return Err(format!(
                    "it is compressed with {name}: write the file with snappy, gzip, zstd or no compression"
                ));
            }
        };
        match bytes.len() == size {
            true => Ok(Cow::Owned(bytes)),
            false => Err(format!("a page claims {size} bytes, and other than that was compressed")),
        }
    }
}

fn damaged(error: &dyn std::fmt::Display) -> String {
    format!("the bytes of a page cannot be decompressed: {error}")
}

fn snappy(packed: &[u8], size: usize) -> Outcome<Vec<u8>> {
    // the decoder reserves what the bytes claim
    let claimed = snap::raw::decompress_len(packed).map_err(|e| damaged(&e))?;
    if claimed != size || claimed > packed.len().saturating_mul(MOST_SNAPPY) {
        return Err(format!("a page claims {size} bytes, and other than that was compressed"));
    }
    snap::raw::Decoder::new().decompress_vec(packed).map_err(|e| damaged(&e))
}

/// Reads one byte more than there may be, and reserves nothing by what was claimed.
fn read(source: impl Read, size: usize) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(size as u64 + 1).read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
    Ok(bytes)
}

impl DataPage<'_> {
    /// What tells which values are missing, nothing where none can be, and the values.
    pub(super) fn parts(&self, optional: bool) -> Outcome<(&[u8], &[u8])> {
        match self.levels {
            Levels::Apart(levels) => Ok((levels, &self.body)),
            Levels::Inside(_) if !optional => Ok((&[], &self.body)),
            Levels::Inside(3) => split_counted(&self.body),
            Levels::Inside(_) => {
                Err("its definition levels are not in the encoding RLE: write the file again".to_owned())
            }
        }
    }
}

/// Bytes with their number in front, and what comes after.
pub(super) fn split_counted(bytes: &[u8]) -> Outcome<(&[u8], &[u8])> {
    let split = bytes.split_first_chunk::<4>();
    split
        .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize))
        .ok_or_else(|| "a page ends too early".to_owned())
}

impl Header {
    fn read(thrift: &mut Thrift<'_>) -> Outcome<Self> {
        let mut header = Self { kind: -1, ..Self::default() };
        thrift.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, Kind::Integer) => header.kind = thrift.integer()?,
                (2, Kind::Integer) => header.unpacked = thrift.size()?,
                (3, Kind::Integer) => header.packed = thrift.size()?,
                (5 | 7, Kind::Struct) => header.read_values(thrift)?,
                (8, Kind::Struct) => header.read_second(thrift)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        match header.kind {
            0..=3 => Ok(header),
            other => Err(format!("it has a page of the unknown kind {other}")),
        }
    }

    /// The headers of a dictionary and of a page of values in their first form begin alike.
    fn read_values(&mut self, thrift: &mut Thrift<'_>) -> Outcome<()> {
        thrift.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, Kind::Integer) => self.count = Some(thrift.size()?),
                (2, Kind::Integer) => self.encoding = thrift.integer()?,
                (3, Kind::Integer) => self.level_encoding = thrift.integer()?,
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    fn read_second(&mut self, thrift: &mut Thrift<'_>) -> Outcome<()> {
        thrift.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, Kind::Integer) => self.count = Some(thrift.size()?),
                (4, Kind::Integer) => self.encoding = thrift.integer()?,
                (5, Kind::Integer) => self.levels = thrift.size()?,
                (6, Kind::Integer) => self.repetitions = thrift.size()?,
                (7, Kind::False) => self.stored = true,
                _ => return Ok(false),
            }
            Ok(true)
        })
    }
}
