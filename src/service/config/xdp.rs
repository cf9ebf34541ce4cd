//! Which interfaces are served past the kernel's network stack, and how.

use std::str::FromStr;

/// Interfaces named, at most.
pub const MAX_XDP_INTERFACES: usize = 16;
/// Bytes of an interface's name, at most: one less than the kernel's IFNAMSIZ.
pub const MAX_INTERFACE_NAME: usize = 15;

/// The interfaces whose datagrams are answered by AF_XDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Xdp {
    /// None.
    Off,
    /// Every network card that can.
    Auto,
    /// These, each once; at least one, at most [`MAX_XDP_INTERFACES`].
    Interfaces(Vec<String>),
}

impl FromStr for Xdp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => return Ok(Xdp::Off),
            "auto" => return Ok(Xdp::Auto),
            _ => {}
        }
        let mut names: Vec<String> = Vec::new();
        for name in text.split(',').map(str::trim) {
            if !is_name(name) {
                return Err(format!(
                    "`{name}` is not the name of an interface; write \"off\", \"auto\", or names like \"eth0,eth1\""
                ));
            }
            if names.iter().any(|known| known == name) {
                return Err(format!("`{name}` is named twice"));
            }
            names.push(name.to_owned());
        }
        if names.len() > MAX_XDP_INTERFACES {
            return Err(format!("{} interfaces, at most {MAX_XDP_INTERFACES} are possible", names.len()));
        }
        Ok(Xdp::Interfaces(names))
    }
}

/// Whether an interface may be called this: what the kernel allows, without what is not text.
fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b',' | b'"');
    (1..=MAX_INTERFACE_NAME).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed)
}

/// How frames come to AF_XDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpMode {
    /// The kernel copies each into memory of the process.
    Copy,
    /// The card writes them there, where its driver can.
    ZeroCopy,
}

impl FromStr for XdpMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "copy" => Ok(XdpMode::Copy),
            "zero-copy" => Ok(XdpMode::ZeroCopy),
            other => Err(format!("`{other}` is not one of copy, zero-copy")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_the_kernel_allows_them() {
        let named = |names: &[&str]| Ok(Xdp::Interfaces(names.iter().map(|&name| name.to_owned()).collect()));
        assert_eq!("off".parse(), Ok(Xdp::Off));
        assert_eq!("auto".parse(), Ok(Xdp::Auto));
        assert_eq!("eth0".parse(), named(&["eth0"]));
        assert_eq!("eth0, enp1s0f0.7@x".parse(), named(&["eth0", "enp1s0f0.7@x"]));
    }

    #[test]
    fn what_is_no_name_or_too_many_is_refused() {
        for bad in ["", ",", "eth0,", "a/b", "..", "eth 0", "eth0:1", "sixteen-letters-", "ethé"] {
            assert!(bad.parse::<Xdp>().is_err(), "{bad}");
        }
        assert_eq!("eth0,eth0".parse::<Xdp>(), Err("`eth0` is named twice".to_owned()));
        let many = |count: usize| (0..count).map(|i| format!("eth{i}")).collect::<Vec<_>>().join(",");
        assert!(many(MAX_XDP_INTERFACES).parse::<Xdp>().is_ok());
        let refused = many(MAX_XDP_INTERFACES + 1).parse::<Xdp>().expect_err("one too many");
        assert_eq!(refused, "17 interfaces, at most 16 are possible");
    }
}
