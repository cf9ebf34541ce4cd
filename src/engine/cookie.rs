//! Cookies: proof that a source can receive at its address (spec 1.6).
//!
//! A keyed function of zone, hour and address and nothing else, so that all devices behind one address have
//! the same cookie and none can be told by it.

use std::net::IpAddr;

use sha2::Digest;
use siphasher::sip::SipHasher24;

/// The zone of UDP.
pub(crate) const ZONE_UDP: u8 = 0;

const HOUR_S: u64 = 3600;

/// Makes and checks the cookies of one fleet.
#[derive(Clone)]
pub struct Cookies {
    secret: [u8; 32],
    service: [u8; 8],
    hour: u64,
    /// Keyed for the hour before, this one and the next.
    hours: [SipHasher24; 3],
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookies").field("hour", &self.hour).finish_non_exhaustive()
    }
}

/// What a cookie proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nothing.
    None,
    /// The address, in the present hour.
    Present,
    /// The address, in the hour before or after: it is time for a new one.
    Neighbour,
}

impl Cookies {
    /// The cookies of `service` under the fleet's secret.
    pub fn new(secret: [u8; 32], service: [u8; 8]) -> Self {
        let mut cookies = Cookies { secret, service, hour: 0, hours: [SipHasher24::new(); 3] };
        cookies.derive(0);
        cookies
    }

    /// Moves to the hour of `unix` seconds; cheap within the hour.
    pub fn at(&mut self, unix: u64) {
        let hour = unix / HOUR_S;
        if hour != self.hour {
            self.derive(hour);
        }
    }

    fn derive(&mut self, hour: u64) {
        self.hour = hour;
        for (hasher, h) in self.hours.iter_mut().zip([hour.wrapping_sub(1), hour, hour + 1]) {
            let digest = sha2::Sha256::new()
                .chain_update(b"tekd/1 cookie\0")
                .chain_update(self.secret)
                .chain_update(self.service)
                .chain_update(h.to_le_bytes())
                .finalize();
            let (key, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
            *hasher = SipHasher24::new_with_key(key);
        }
    }

    /// The present cookie of an address in its canonical form.
    pub fn make(&self, ip: IpAddr) -> [u8; 8] {
        mac(&self.hours[1], ip).to_le_bytes()
    }

    /// What `cookie` proves about `ip`, an address in its canonical form.
    pub fn check(&self, ip: IpAddr, cookie: [u8; 8]) -> Proof {
        let cookie = u64::from_le_bytes(cookie);
        if cookie == 0 {
            return Proof::None;
        }
        if mac(&self.hours[1], ip) == cookie {
            Proof::Present
        } else if mac(&self.hours[0], ip) == cookie || mac(&self.hours[2], ip) == cookie {
            Proof::Neighbour
        } else {
            Proof::None
        }
    }
}

#[inline]
fn mac(hasher: &SipHasher24, ip: IpAddr) -> u64 {
    let hash = match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            hasher.hash(&[ZONE_UDP, 4, a, b, c, d])
        }
        IpAddr::V6(v6) => {
            let mut bytes = [0; 18];
            bytes[..2].copy_from_slice(&[ZONE_UDP, 6]);
            bytes[2..].copy_from_slice(&v6.octets());
            hasher.hash(&bytes)
        }
    };
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;

    fn cookies(unix: u64) -> Cookies {
        let mut c = Cookies::new([7; 32], *b"service1");
        c.at(unix);
        c
    }

    #[test]
    fn a_cookie_lives_in_its_hour_and_both_neighbours() {
        let ip: IpAddr = "192.0.2.7".parse().unwrap();
        let at = |hour: u64| cookies(hour * HOUR_S + 100);
        let cookie = at(500).make(ip);
        assert_eq!(at(500).check(ip, cookie), Proof::Present);
        assert_eq!(at(499).check(ip, cookie), Proof::Neighbour);
        assert_eq!(at(501).check(ip, cookie), Proof::Neighbour);
        assert_eq!(at(498).check(ip, cookie), Proof::None);
        assert_eq!(at(502).check(ip, cookie), Proof::None);
    }

    #[test]
    fn a_cookie_is_bound_to_its_address() {
        let c = cookies(1_000_000);
        let cookie = c.make("192.0.2.7".parse().unwrap());
        assert_eq!(c.check("192.0.2.8".parse().unwrap(), cookie), Proof::None);
        assert_eq!(c.check("2001:db8::7".parse().unwrap(), cookie), Proof::None);
        assert_eq!(c.check("192.0.2.7".parse().unwrap(), [0; 8]), Proof::None);
    }

    #[test]
    fn the_recommended_construction_is_the_one_of_the_specification() {
        let c = cookies(3600);
        let digest = sha2::Sha256::digest(
            [&b"tekd/1 cookie\0"[..], &[7; 32], b"service1", &1u64.to_le_bytes()].concat(),
        );
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        let mut sip = SipHasher24::new_with_key(&key);
        sip.write(&[0, 4, 192, 0, 2, 7]);
        assert_eq!(c.make("192.0.2.7".parse().unwrap()), sip.finish().max(1).to_le_bytes());
    }
}
