//! Keys encrypted in the old form of PEM: a `DEK-Info` header names the cipher and its start value, and the cipher's
//! key is the passphrase through rounds of MD5. Weak, still common, and read for that.

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use des::TdesEde3;
use md5::{Digest, Md5};
use pkcs8::SecretDocument;

use super::TlsError;

/// The length of the salt, which is the beginning of the start value.
const SALT: usize = 8;

/// What a block with this header holds.
pub(super) fn decrypt(header: &str, bytes: &[u8], password: &[u8]) -> Result<SecretDocument, TlsError> {
    let unreadable = || TlsError::Encryption(format!("DEK-Info: {header}"));
    let (cipher, start) = header.split_once(',').ok_or_else(unreadable)?;
    let start = hexadecimal(start.trim()).filter(|start| start.len() >= SALT).ok_or_else(unreadable)?;
    let key = |length| key(password, &start[..SALT], length);
    let plain = match cipher.trim() {
        "AES-128-CBC" => cbc::<Aes128>(&key(16), &start, bytes),
        "AES-192-CBC" => cbc::<Aes192>(&key(24), &start, bytes),
        "AES-256-CBC" => cbc::<Aes256>(&key(32), &start, bytes),
        "DES-EDE3-CBC" => cbc::<TdesEde3>(&key(24), &start, bytes),
        _ => return Err(unreadable()),
    };
    // one wrong passphrase in 256 leaves a padding that looks right, but no DER
    let plain = plain.ok_or_else(unreadable)?.ok_or(TlsError::PasswordWrong)?;
    SecretDocument::try_from(plain).map_err(|_| TlsError::PasswordWrong)
}

/// The plain bytes; None within when the padding is wrong, None when key or start value do not fit the cipher.
fn cbc<C: BlockCipherDecrypt + KeyInit>(key: &[u8], start: &[u8], bytes: &[u8]) -> Option<Option<Vec<u8>>> {
    let decryptor = Decryptor::<C>::new_from_slices(key, start).ok()?;
    Some(decryptor.decrypt_padded_vec::<Pkcs7>(bytes).ok())
}

/// OpenSSL's EVP_BytesToKey with MD5 and one round a block.
fn key(password: &[u8], salt: &[u8], length: usize) -> Vec<u8> {
    let mut key = Vec::new();
    let mut block = Vec::new();
    while key.len() < length {
        block = Md5::new().chain_update(&block).chain_update(password).chain_update(salt).finalize().to_vec();
        key.extend_from_slice(&block);
    }
    key.truncate(length);
    key
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect()
}
