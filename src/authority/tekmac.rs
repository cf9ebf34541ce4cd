//! The field's MAC over a person's keys, by which a JWT stands over them without naming them (spec 7.8.7).
//!
//! The phone draws the MAC's key, gives the provider only the MAC, and sends the key to the origin: the
//! provider never sees the keys. The text under the MAC is that of the field's verification protocol, byte
//! for byte. Whether a JWT says so is read elsewhere.

use core::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::wire::report::SentKey;

/// Bytes of the MAC.
pub const TEKMAC_LEN: usize = 32;

/// The MAC over `keys` with their risks.
#[must_use]
pub fn tekmac(mac_key: &[u8], keys: &[SentKey<'_>]) -> [u8; TEKMAC_LEN] {
    mac_of(mac_key, &text_of(keys, true)).finalize().into_bytes().into()
}

/// Whether `mac` is the MAC over `keys`; if every risk is 0, the form without the risks is as good. Compared
/// in constant time.
#[must_use]
pub fn is_tekmac(mac: &[u8], mac_key: &[u8], keys: &[SentKey<'_>]) -> bool {
    let holds = |with_risk| mac_of(mac_key, &text_of(keys, with_risk)).verify_slice(mac).is_ok();
    holds(true) || (keys.iter().all(|key| key.risk == 0) && holds(false))
}

fn mac_of(mac_key: &[u8], text: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(mac_key).expect("HMAC takes a key of any length");
    mac.chain_update(text)
}

/// `key.start.period.risk` of each key in the order of the keys' base64, joined by commas.
fn text_of(keys: &[SentKey<'_>], with_risk: bool) -> String {
    let mut sorted: Vec<(String, &SentKey<'_>)> =
        keys.iter().map(|key| (STANDARD.encode(key.key), key)).collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut text = String::new();
    for (base64, key) in sorted {
        if !text.is_empty() {
            text.push(',');
        }
        let written = write!(text, "{base64}.{}.{}", key.start, key.period)
            .and_then(|()| if with_risk { write!(text, ".{}", key.risk) } else { Ok(()) });
        written.expect("a String takes all that is written");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC_KEY: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    const TEXT: &str = "dPCphLzfG4uzXneNimkPRQ==.144.144.5,z2Cx9hdz2SlxZ8GEgqTYpA==.1.144.3";
    const WITH_RISKS: &str = "2u1nHt5WWurJytFLF3xitNzM99oNrad2y4YGOL53AeY=";
    const WITH_ZEROS: &str = "mFNI9zhTA17n4ndd1Vu5tsn4XQX0gPrIKyjeh/9noUE=";
    const WITHOUT_RISKS: &str = "J9S7xVebH/66dm14wGsIcAnSUR3PHD4NtDQEOGZbDUo=";

    fn bytes(base64: &str) -> Vec<u8> {
        STANDARD.decode(base64).expect("base64")
    }

    /// The two keys of the field's own vectors.
    fn with_keys<T>(risks: [u8; 2], of: impl FnOnce(&[SentKey<'_>]) -> T) -> T {
        let (one, other) = (bytes("z2Cx9hdz2SlxZ8GEgqTYpA=="), bytes("dPCphLzfG4uzXneNimkPRQ=="));
        of(&[
            SentKey { key: &one, start: 1, period: 144, risk: risks[0] },
            SentKey { key: &other, start: 144, period: 144, risk: risks[1] },
        ])
    }

    #[test]
    fn the_fields_own_vectors_hold() {
        assert_eq!(with_keys([3, 5], |keys| text_of(keys, true)), TEXT);
        assert_eq!(with_keys([3, 5], |keys| tekmac(&MAC_KEY, keys)).to_vec(), bytes(WITH_RISKS));
        assert_eq!(with_keys([0, 0], |keys| tekmac(&MAC_KEY, keys)).to_vec(), bytes(WITH_ZEROS));
        let holds = |risks, mac| with_keys(risks, |keys| is_tekmac(&bytes(mac), &MAC_KEY, keys));
        assert!(holds([3, 5], WITH_RISKS));
        assert!(holds([0, 0], WITH_ZEROS));
        assert!(holds([0, 0], WITHOUT_RISKS));
    }

    #[test]
    fn the_form_without_risks_needs_every_risk_to_be_zero() {
        for risks in [[3, 5], [0, 5], [3, 0]] {
            assert!(!with_keys(risks, |keys| is_tekmac(&bytes(WITHOUT_RISKS), &MAC_KEY, keys)));
        }
    }

    #[test]
    fn another_order_is_the_same_and_anything_else_is_not() {
        with_keys([3, 5], |keys| {
            let mac = tekmac(&MAC_KEY, keys);
            assert!(is_tekmac(&mac, &MAC_KEY, &[keys[1], keys[0]]));
            assert!(!is_tekmac(&mac, &MAC_KEY, &keys[..1]));
            assert!(!is_tekmac(&mac, &MAC_KEY[..15], keys));
            assert!(!is_tekmac(&mac[..31], &MAC_KEY, keys));
            assert!(!is_tekmac(&[], &MAC_KEY, keys));
            let changes: [fn(&mut SentKey<'_>); 4] =
                [|key| key.start += 1, |key| key.period -= 1, |key| key.risk += 1, |key| key.key = &[7; 16]];
            for change in changes {
                let mut changed = [keys[0], keys[1]];
                change(&mut changed[1]);
                assert!(!is_tekmac(&mac, &MAC_KEY, &changed));
            }
        });
    }
}
