//! Thrift's compact protocol, in which Parquet writes its metadata: read in place, field by field. Nothing is reserved
//! by what a count claims, each item takes at least a byte, and what is nested too deeply is refused.
//! What the fields mean is left to `footer.rs` and `page.rs`.

/// Why something cannot be read.
pub(super) type Outcome<T> = Result<T, String>;

/// Structs and lists that are skipped nest no deeper; Parquet's own nest six deep.
const MOST_DEPTH: usize = 24;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    True,
    False,
    Byte,
    Integer,
    Double,
    Binary,
    List,
    Map,
    Struct,
}

impl Kind {
    fn of(code: u8) -> Outcome<Self> {
        Ok(match code {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4..=6 => Self::Integer,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            _ => return Err(format!("its metadata is damaged: there is no type {code} in Thrift")),
        })
    }
}

/// Where reading stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thrift<'b> {
    rest: &'b [u8],
}

impl<'b> Thrift<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'b [u8] {
        self.rest
    }

    fn take(&mut self, count: u64) -> Outcome<&'b [u8]> {
        let split = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let (taken, rest) = split.ok_or("its metadata is cut off or damaged")?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Outcome<u8> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned number, seven bits in each byte.
    pub(super) fn varint(&mut self) -> Outcome<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("its metadata is damaged: a number has too many bytes".to_owned())
    }

    pub(super) fn integer(&mut self) -> Outcome<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A count or a place, which is never negative.
    pub(super) fn size(&mut self) -> Outcome<usize> {
        let value = self.integer()?;
        usize::try_from(value).map_err(|_| format!("its metadata is damaged: a size of {value}"))
    }

    pub(super) fn binary(&mut self) -> Outcome<&'b [u8]> {
        let length = self.varint()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Outcome<&'b str> {
        std::str::from_utf8(self.binary()?).map_err(|_| "its metadata has text that is not UTF-8".to_owned())
    }

    /// Reads a struct: `read` is given the id of each field, and says whether it has read it. Others are skipped.
    pub(super) fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, i64, Kind) -> Outcome<bool>,
    ) -> Outcome<()> {
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            if !read(self, id, kind)? {
                self.skip(kind, 0)?;
            }
        }
        Ok(())
    }

    fn field(&mut self, id: &mut i64) -> Outcome<Option<Kind>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Ok(None);
        }
        *id = match byte >> 4 {
            0 => self.integer()?,
            delta => id.wrapping_add(i64::from(delta)),
        };
        Kind::of(byte & 0x0f).map(Some)
    }

    /// Reads a list of structs; `read` is given the number of each.
    pub(super) fn structs(&mut self, mut read: impl FnMut(&mut Self, usize) -> Outcome<()>) -> Outcome<()> {
        let (count, kind) = self.list()?;
        if count > 0 && kind != Some(Kind::Struct) {
            return Err("its metadata is damaged: a list of something else than structs".to_owned());
        }
        (0..count).try_for_each(|i| read(self, i as usize))
    }

    fn list(&mut self) -> Outcome<(u64, Option<Kind>)> {
        let byte = self.byte()?;
        let count = match byte >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        let kind = if count > 0 { Some(Kind::of(byte & 0x0f)?) } else { None };
        Ok((count, kind))
    }

    fn skip(&mut self, kind: Kind, depth: usize) -> Outcome<()> {
        if depth > MOST_DEPTH {
            return Err("its metadata is nested too deeply".to_owned());
        }
        match kind {
            Kind::True | Kind::False => {}
            Kind::Byte => _ = self.byte()?,
            Kind::Integer => _ = self.varint()?,
            Kind::Double => _ = self.take(8)?,
            Kind::Binary => _ = self.binary()?,
            Kind::List => {
                if let (count, Some(kind)) = self.list()? {
                    (0..count).try_for_each(|_| self.skip_item(kind, depth))?;
                }
            }
            Kind::Map => self.skip_map(depth)?,
            Kind::Struct => self.fields(|thrift, _, kind| thrift.skip(kind, depth + 1).map(|()| true))?,
        }
        Ok(())
    }

    fn skip_map(&mut self, depth: usize) -> Outcome<()> {
        let count = self.varint()?;
        if count == 0 {
            return Ok(());
        }
        let kinds = self.byte()?;
        let (key, value) = (Kind::of(kinds >> 4)?, Kind::of(kinds & 0x0f)?);
        (0..count).try_for_each(|_| self.skip_item(key, depth).and_then(|()| self.skip_item(value, depth)))
    }

    /// Truth values take a byte in lists, and none as fields.
    fn skip_item(&mut self, kind: Kind, depth: usize) -> Outcome<()> {
        match kind {
            Kind::True | Kind::False => self.byte().map(|_| ()),
            _ => self.skip(kind, depth + 1),
        }
    }
}
