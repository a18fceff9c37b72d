//! The input is the portend.json of a package.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    portend_fuzz::manifest(bytes);
});
