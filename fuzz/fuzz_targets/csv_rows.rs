//! The input is a CSV body.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    portend_fuzz::csv_rows(bytes);
});
