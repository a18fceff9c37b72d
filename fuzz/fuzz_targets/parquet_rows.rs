//! The input is a Parquet file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    portend_fuzz::parquet_rows(bytes);
});
