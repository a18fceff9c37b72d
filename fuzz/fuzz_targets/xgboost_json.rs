//! The input is an XGBoost JSON file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    portend_fuzz::model_file(bytes);
});
