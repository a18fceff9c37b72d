//! Parquet files that lie: whatever one claims, it is refused with the column and what is wrong, or read, in bounded
//! memory.

mod made;

use std::fs;
use std::io::Write;

use portend_model::Model;
use portend_model::frame::{Frame, Keep};
use portend_model::runtime::Output;

use super::{golden, peak_mib};
use made::{Fields, File, Page, column, numbers, root, varint};

const LIMIT: usize = 1 << 20;

/// What all files of a test together may make the process grow by.
const MOST_GROWTH_MIB: u64 = 100;

fn model() -> Model {
    Model::load(&golden("lgb_penguins/package"), "penguins").unwrap()
}

/// A column that the model reads, whose pages are read, is no table yet: the model needs others.
const READ: &str = "column 'island' is missing: the model needs it";

fn refused(model: &Model, bytes: &[u8]) -> String {
    let start = std::time::Instant::now();
    let error = model.decode_parquet(bytes, LIMIT).unwrap_err().to_string();
    assert!(start.elapsed() < super::PATIENCE, "{error}");
    error
}

/// Changes a good file, and expects a text that is said of its column.
fn check(change: impl FnOnce(&mut File), expected: &str) {
    let mut file = File::good();
    change(&mut file);
    let found = refused(&model(), &file.bytes());
    assert_eq!(found, format!("column 'year' of the Parquet file cannot be read: {expected}"));
}

/// The same, said of the file.
fn check_file(bytes: &[u8], expected: &str) {
    assert_eq!(refused(&model(), bytes), format!("the Parquet file cannot be read: {expected}"));
}

fn changed(change: impl FnOnce(&mut File)) -> Vec<u8> {
    let mut file = File::good();
    change(&mut file);
    file.bytes()
}

/// The file with the footer `fields`.
fn with_footer(fields: Vec<u8>) -> Vec<u8> {
    changed(|f| f.footer = Some(fields))
}

#[test]
fn a_file_that_was_made_by_hand_is_read() {
    assert_eq!(refused(&model(), &File::good().bytes()), READ);
    // a run as long as numbers allow ends with its page
    for head in [u64::from(u32::MAX), u64::from(u32::MAX) << 1, u64::MAX, u64::MAX << 1] {
        let file = changed(|f| {
            let body = [vec![1], varint(head), vec![0]].concat();
            let indices = Page { encoding: 8, ..Page::values(4, body) };
            f.pages = vec![Page::dictionary(4, numbers()), indices];
        });
        assert_eq!(refused(&model(), &file), READ);
    }
}

#[test]
fn what_is_no_file_is_told_as_such() {
    let not = "it is not a Parquet file, which begins and ends with the bytes PAR1";
    for bytes in [&b"PAR1"[..], b"a,b\n1,2\n", b"PK\x03\x04 and so on", b"PAR1 cut off"] {
        check_file(bytes, not);
    }
    check_file(b"PAR1 secret \x05\0\0\0PARE", "it is encrypted: write it without encryption");
    let empty = refused(&model(), b"");
    assert_eq!(empty, "the request body is empty: send a header line and rows, or a list of records");
    for claimed in [1 << 20, u32::MAX] {
        let reason = format!(
            "its metadata would be {claimed} bytes, more than the file has: it is cut off or damaged"
        );
        check_file(&changed(|f| f.footer_length = Some(claimed)), &reason);
    }
}

#[test]
fn a_footer_that_lies_is_refused() {
    let cut = "its metadata is cut off or damaged";
    check_file(&changed(|f| f.footer_length = Some(3)), cut);
    check_file(&with_footer(Vec::new()), cut);
    check_file(&with_footer(Fields::default().end()), "its metadata does not say how many rows there are");
    let deep = [vec![0x1c; 100_000], vec![0; 100_000]].concat();
    check_file(&with_footer([vec![0x7c], deep].concat()), "its metadata is nested too deeply");
    let lists = vec![0x19; 100_000];
    check_file(&with_footer([vec![0x79], lists].concat()), "its metadata is nested too deeply");
    let claimed = [vec![0xfc], varint(u64::from(u32::MAX) >> 1)].concat();
    let nameless = "its schema is damaged: a column has no name";
    check_file(&with_footer(Fields::default().raw(2, 9, &claimed).end()), nameless);
    check_file(&with_footer(Fields::default().raw(8, 9, &claimed).end()), cut);
    let text = varint(u64::MAX);
    check_file(&with_footer(Fields::default().raw(6, 8, &text).end()), cut);
    let long = vec![0xff; 20];
    check_file(
        &with_footer(Fields::default().raw(3, 6, &long).end()),
        "its metadata is damaged: a number has too many bytes",
    );
    check_file(&with_footer(vec![0x3e]), "its metadata is damaged: there is no type 14 in Thrift");
    let truths = [vec![0xf1], varint(u64::from(u32::MAX))].concat();
    check_file(&with_footer(Fields::default().raw(8, 9, &truths).end()), cut);
    check_file(
        &with_footer(Fields::default().raw(2, 9, &[0x15, 2]).end()),
        "its metadata is damaged: a list of something else than structs",
    );
    check_file(&changed(|f| f.rows = -1), "its metadata is damaged: a size of -1");
    for rows in [i64::MAX, LIMIT as i64 + 1] {
        let error = refused(&model(), &changed(|f| f.rows = rows));
        assert!(error.starts_with(&format!("the Parquet file has {rows} rows: ")), "{error}");
    }
}

#[test]
fn a_schema_that_lies_is_refused() {
    let tree = "its schema is damaged: a column has another number of children than it says";
    let year = || column(b"year", 2, 0);
    let schema = |schema: &[Fields]| changed(|f| f.schema = schema.to_vec());
    check_file(&schema(&[root(2), year()]), tree);
    check_file(&schema(&[root(0), year()]), tree);
    let group = |children: i64| Fields::default().text(4, b"group").int(5, children);
    check_file(&schema(&[root(1), group(2), year()]), tree);
    check_file(&schema(&[root(1), group(i64::MAX), group(i64::MAX), group(i64::MAX), year()]), tree);
    let deep: Vec<Fields> = [root(1)].into_iter().chain(vec![group(1); 100_000]).collect();
    check_file(&schema(&deep), tree);
    check_file(
        &schema(&[root(1), Fields::default().int(1, 2)]),
        "its schema is damaged: a column has no name",
    );
    check_file(&schema(&[root(1), column(b"\xff", 2, 0)]), "its metadata has text that is not UTF-8");
    for name in ["year", "nobody reads this"] {
        let twice = schema(&[root(2), column(name.as_bytes(), 2, 0), column(name.as_bytes(), 2, 0)]);
        assert_eq!(refused(&model(), &twice), format!("column '{name}' occurs more than once"));
    }
    let holds = |what: &str| {
        format!(
            "it holds {what}, which are not read: write numbers, truth values or text, or leave it out if the model can \
             do without"
        )
    };
    let other = "values of a kind that is not read";
    for (physical, repetition, what) in
        [(2, 2, "lists or structs"), (7, 0, "bytes of a fixed length"), (9, 0, other), (-1, 0, other)]
    {
        check(|f| f.schema = vec![root(1), column(b"year", physical, repetition)], &holds(what));
    }
}

#[test]
fn row_groups_that_disagree_are_refused() {
    check_file(&changed(|f| f.groups = vec![4, 4]), "its row groups have more rows than the file");
    check_file(&changed(|f| f.groups = vec![i64::MAX]), "its row groups have more rows than the file");
    check_file(&changed(|f| f.groups = vec![]), "its row groups have 0 rows, and the file claims 4");
    check_file(&changed(|f| f.rows = 5), "its row groups have 4 rows, and the file claims 5");
    let two = [root(2), column(b"island", 6, 1), column(b"year", 2, 0)];
    check_file(&changed(|f| f.schema = two.to_vec()), "a row group does not have all columns of the schema");
    check(|f| f.values = 5, "it has 5 values in a row group of 4 rows");
    check(|f| f.physical = 5, "a row group has it in another type than the schema");
    for (offset, length) in [(1 << 40, 10), (i64::MAX, i64::MAX), (0, 10), (4, 1 << 30)] {
        let reason = format!("its pages would be {length} bytes at {offset}, outside of the file");
        check(|f| (f.offset, f.length) = (offset, Some(length)), &reason);
    }
    check_file(&changed(|f| f.offset = -4), "its metadata is damaged: a size of -4");
    check(
        |f| f.chunk = Fields::default().text(1, b"/etc/passwd"),
        "its pages are in another file: write one file",
    );
    check(|f| f.more = Some((8, Fields::default())), "it is encrypted: write the file without encryption");
    check(
        |f| {
            (f.rows, f.groups) = (400, vec![4; 100]);
        },
        "its pages are those of another column or row group as well",
    );
}

#[test]
fn pages_that_lie_are_refused() {
    let page = |change: &dyn Fn(&mut Page)| {
        let mut page = Page::values(4, numbers());
        change(&mut page);
        move |f: &mut File| f.pages = vec![page]
    };
    check(page(&|p| p.packed = Some(1 << 30)), "a page would be 1073741824 bytes, and 32 are left");
    check(page(&|p| p.kind = 9), "it has a page of the unknown kind 9");
    check(page(&|p| p.kind = 1), "its pages end 4 rows before the row group does");
    check(page(&|p| p.count = 5), "its pages have more values than the row group has rows");
    check(page(&|p| p.count = i64::from(i32::MAX)), "its pages have more values than the row group has rows");
    check(page(&|p| p.count = 3), "its pages end 1 rows before the row group does");
    check(page(&|p| p.body.truncate(31)), "a page ends before its last value");
    check(page(&|p| (p.kind, p.levels) = (3, 33)), "the levels of a page do not fit into it");
    check(page(&|p| (p.kind, p.repetitions) = (3, 2)), "the levels of a page do not fit into it");
    check(|f| f.pages = vec![], "its pages end 4 rows before the row group does");
    check(|f| f.length = Some(3), "its metadata is cut off or damaged");
    let optional = |f: &mut File| f.schema = vec![root(1), column(b"year", 2, 1)];
    check(optional, "a page ends too early");
    let name = "is not read: write it with pyarrow's default encodings, a dictionary or PLAIN";
    for (encoding, known) in [
        (3, "RLE of other values than truth values"),
        (4, "BIT_PACKED"),
        (7, "DELTA_BYTE_ARRAY"),
        (77, "number 77"),
    ] {
        check(page(&|p| p.encoding = encoding), &format!("its encoding {known} {name}"));
    }
}

#[test]
fn dictionaries_that_lie_are_refused() {
    let indices = |body: &[u8]| Page { encoding: 8, ..Page::values(4, body.to_vec()) };
    let pages = |pages: &[Page]| {
        let pages = pages.to_vec();
        move |f: &mut File| f.pages = pages
    };
    let dictionary = || Page::dictionary(4, numbers());
    let good = indices(&[2, 3, 0b11_10_01_00, 0]);
    check(
        pages(std::slice::from_ref(&good)),
        "its values are places in a dictionary, and there is none before them",
    );
    let claims = |count: i64| format!("its dictionary claims {count} values, and has not as many");
    for count in [5, i64::from(i32::MAX)] {
        check(pages(&[Page::dictionary(count, numbers()), good.clone()]), &claims(count));
    }
    check(
        pages(&[Page { encoding: 8, ..dictionary() }, good.clone()]),
        "its dictionary is not in the encoding PLAIN: write the file again",
    );
    check(
        pages(&[dictionary(), good.clone(), dictionary()]),
        "it has a dictionary that is not its first page",
    );
    check(pages(&[dictionary(), indices(&[8, 8, 4])]), "a value is number 4 of a dictionary of 4");
    check(
        pages(&[dictionary(), indices(&[33, 8, 4])]),
        "a page has numbers of 33 bits where at most 32 are possible",
    );
    check(pages(&[dictionary(), indices(&[2, 3])]), "a page ends before its last value");
    check(pages(&[dictionary(), indices(&[2, 0, 0, 0, 0])]), "a page ends before its last value");
    check(pages(&[dictionary()]), "its pages end 4 rows before the row group does");
    let text = |f: &mut File| {
        f.schema = vec![root(1), column(b"year", 6, 0)];
        f.physical = 6;
        f.pages = vec![Page::dictionary(2, vec![1, 0, 0, 0, b'a', 255, 255, 255, 255]), good.clone()];
    };
    check(text, &claims(2));
    let bytes = changed(|f| {
        f.schema = vec![root(1), column(b"year", 6, 0)];
        f.physical = 6;
        f.pages = vec![Page::values(4, [1, 0, 0, 0, 255].repeat(4))];
    });
    assert_eq!(refused(&model(), &bytes), "column 'year', row 0: the bytes are not UTF-8 text");
}

#[test]
fn compressed_pages_that_lie_are_refused() {
    let packed = |codec: i64, body: Vec<u8>, unpacked: i64| {
        move |f: &mut File| {
            f.codec = codec;
            f.pages = vec![Page { unpacked: Some(unpacked), ..Page::values(4, body) }];
        }
    };
    let zeros = vec![0; 1 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&zeros).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&zeros[..], 1).unwrap();
    let snappy = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
    let other = |size: usize| format!("a page claims {size} bytes, and other than that was compressed");
    for (codec, bomb) in [(1, &snappy), (2, &gzip), (6, &zstd)] {
        check(packed(codec, bomb.clone(), 32), &other(32));
        let room =
            "the file has more bytes without compression than a request may have: send fewer rows at a time";
        check(packed(codec, bomb.clone(), LIMIT as i64 + 1), room);
        check(packed(codec, bomb.clone(), i64::MAX), room);
        let file = changed(packed(codec, bomb[..bomb.len() - 9].to_vec(), 1 << 20));
        assert!(refused(&model(), &file).contains("'year'"));
        let noise = changed(packed(codec, vec![0x55; 40], 1 << 16));
        assert!(refused(&model(), &noise).contains("'year'"));
    }
    // a head that claims four GiB
    let claims = [varint(u64::from(u32::MAX)), vec![0; 20]].concat();
    check(packed(1, claims, 32), &other(32));
    let claims = [varint(1 << 20), vec![0; 20]].concat();
    check(packed(1, claims, 1 << 20), &other(1 << 20));
    for (codec, name) in [(3, "LZO"), (4, "Brotli"), (5, "LZ4"), (7, "LZ4"), (8, "an unknown codec")] {
        let reason =
            format!("it is compressed with {name}: write the file with snappy, gzip, zstd or no compression");
        check(packed(codec, vec![0; 4], 4), &reason);
    }
}

/// Scores what was read.
fn score(model: &Model, frame: &Frame) {
    let rows = frame.rows();
    assert_eq!(model.score(frame, 0..rows, Output::Prediction).rows().count(), rows);
}

#[test]
fn a_file_that_is_cut_off_or_damaged_anywhere_is_refused_or_read() {
    let model = model();
    let folder = golden("../parquet");
    let before = peak_mib();
    let (mut read, mut refused) = (0, 0);
    let mut decode = |bytes: &[u8]| match model.decode_parquet(bytes, LIMIT) {
        Ok(frame) => {
            score(&model, &frame);
            read += 1;
        }
        Err(error) => {
            assert!(error.to_string().len() < 1000, "{error}");
            refused += 1;
        }
    };
    for name in ["default", "second_pages_gzip", "truths_second_pages", "required"] {
        let mut bytes = fs::read(folder.join(format!("{name}.parquet"))).unwrap();
        for end in 0..bytes.len() {
            assert!(model.decode_parquet(&bytes[..end], LIMIT).is_err(), "{name} cut to {end} bytes is read");
        }
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                bytes[at] ^= flip;
                decode(&bytes);
                bytes[at] ^= flip;
            }
        }
    }
    let grown = peak_mib().saturating_sub(before);
    assert!(grown < MOST_GROWTH_MIB, "{grown} MiB");
    println!("{read} damaged files were read, {refused} were refused, and {grown} MiB were taken");
    let whole = fs::read(folder.join("default.parquet")).unwrap();
    let records = fs::read_to_string(folder.join("rows.json")).unwrap();
    assert_eq!(
        model.decode_parquet(&whole, LIMIT).unwrap().rows(),
        model.decode_json(&records, &Keep::None).unwrap().rows()
    );
}
