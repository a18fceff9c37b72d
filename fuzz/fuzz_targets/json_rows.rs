//! The input is a JSON body.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    portend_fuzz::json_rows(bytes);
});
