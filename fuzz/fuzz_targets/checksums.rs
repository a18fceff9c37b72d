//! The input is the checksums.txt of a package.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    portend_fuzz::checksums(bytes);
});
