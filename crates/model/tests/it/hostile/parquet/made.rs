//! Parquet files made byte by byte, so that each of their claims can be a lie.

/// A struct in Thrift's compact protocol.
#[derive(Clone, Default)]
pub(super) struct Fields {
    bytes: Vec<u8>,
    last: u8,
}

pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

impl Fields {
    /// A field whose bytes are given; ids grow by less than 16.
    pub(super) fn raw(mut self, id: u8, kind: u8, bytes: &[u8]) -> Self {
        self.bytes.push((id - self.last) << 4 | kind);
        self.bytes.extend(bytes);
        self.last = id;
        self
    }

    pub(super) fn int(self, id: u8, value: i64) -> Self {
        self.raw(id, 6, &varint((value << 1 ^ value >> 63) as u64))
    }

    pub(super) fn text(self, id: u8, text: &[u8]) -> Self {
        self.raw(id, 8, &[varint(text.len() as u64), text.to_vec()].concat())
    }

    pub(super) fn item(self, id: u8, item: &Fields) -> Self {
        self.raw(id, 12, &item.end())
    }

    pub(super) fn list(self, id: u8, items: &[Fields]) -> Self {
        let items_bytes = items.iter().flat_map(Fields::end);
        let bytes: Vec<u8> =
            [0xfc].into_iter().chain(varint(items.len() as u64)).chain(items_bytes).collect();
        self.raw(id, 9, &bytes)
    }

    pub(super) fn end(&self) -> Vec<u8> {
        [&self.bytes[..], &[0]].concat()
    }
}

/// A page with its header. `packed` and `unpacked` are what it claims.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) kind: i64,
    pub(super) count: i64,
    pub(super) encoding: i64,
    pub(super) levels: i64,
    pub(super) repetitions: i64,
    pub(super) packed: Option<i64>,
    pub(super) unpacked: Option<i64>,
    pub(super) body: Vec<u8>,
}

impl Page {
    /// Values in the first form, plain.
    pub(super) fn values(count: i64, body: Vec<u8>) -> Self {
        let (kind, encoding) = (0, 0);
        Self { kind, count, encoding, levels: 0, repetitions: 0, packed: None, unpacked: None, body }
    }

    pub(super) fn dictionary(count: i64, body: Vec<u8>) -> Self {
        Self { kind: 2, ..Self::values(count, body) }
    }

    fn bytes(&self) -> Vec<u8> {
        let length = self.body.len() as i64;
        let values = Fields::default().int(1, self.count).int(2, self.encoding);
        let header = Fields::default()
            .int(1, self.kind)
            .int(2, self.unpacked.unwrap_or(length))
            .int(3, self.packed.unwrap_or(length));
        let header = match self.kind {
            2 => header.item(7, &values),
            3 => {
                let second = Fields::default().int(1, self.count).int(4, self.encoding);
                header.item(8, &second.int(5, self.levels).int(6, self.repetitions))
            }
            _ => header.item(5, &values.int(3, 3).int(4, 3)),
        };
        [header.end(), self.body.clone()].concat()
    }
}

/// A file with one column, `year`, of four required whole numbers of 64 bits, and every claim that it makes.
#[derive(Clone)]
pub(super) struct File {
    pub(super) pages: Vec<Page>,
    pub(super) rows: i64,
    /// Rows of each row group; all of them have the same pages.
    pub(super) groups: Vec<i64>,
    pub(super) values: i64,
    pub(super) codec: i64,
    pub(super) offset: i64,
    pub(super) length: Option<i64>,
    pub(super) schema: Vec<Fields>,
    pub(super) physical: i64,
    /// Put in front of the other fields of a chunk, and after them.
    pub(super) chunk: Fields,
    pub(super) more: Option<(u8, Fields)>,
    pub(super) footer: Option<Vec<u8>>,
    pub(super) footer_length: Option<u32>,
}

pub(super) fn column(name: &[u8], physical: i64, repetition: i64) -> Fields {
    Fields::default().int(1, physical).int(3, repetition).text(4, name)
}

pub(super) fn root(children: i64) -> Fields {
    Fields::default().text(4, b"schema").int(5, children)
}

pub(super) fn numbers() -> Vec<u8> {
    [2007_i64, 2008, 2009, 2007].map(i64::to_le_bytes).concat()
}

impl File {
    pub(super) fn good() -> Self {
        Self {
            pages: vec![Page::values(4, numbers())],
            rows: 4,
            groups: vec![4],
            values: 4,
            codec: 0,
            offset: 4,
            length: None,
            schema: vec![root(1), column(b"year", 2, 0)],
            physical: 2,
            chunk: Fields::default(),
            more: None,
            footer: None,
            footer_length: None,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let pages: Vec<u8> = self.pages.iter().flat_map(Page::bytes).collect();
        let length = self.length.unwrap_or(pages.len() as i64);
        let metadata = Fields::default()
            .int(1, self.physical)
            .int(4, self.codec)
            .int(5, self.values)
            .int(7, length)
            .int(9, self.offset);
        let mut chunk = self.chunk.clone().item(3, &metadata);
        if let Some((id, item)) = &self.more {
            chunk = chunk.item(*id, item);
        }
        let groups: Vec<Fields> = self
            .groups
            .iter()
            .map(|rows| Fields::default().list(1, std::slice::from_ref(&chunk)).int(3, *rows))
            .collect();
        let footer = Fields::default().int(1, 2).list(2, &self.schema).int(3, self.rows).list(4, &groups);
        let footer = self.footer.clone().unwrap_or_else(|| footer.end());
        let claimed = self.footer_length.unwrap_or(footer.len() as u32).to_le_bytes();
        [&b"PAR1"[..], &pages, &footer, &claimed, b"PAR1"].concat()
    }
}
