//! The input is the bytes of a package's zip archive.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    portend_fuzz::package(bytes);
});
