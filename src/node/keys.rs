//! The secrets in `DIR/keys`: root key, online keys, seal keys, codes key, cookie secret, TLS key. One file
//! each, mode 0600.
//!
//! The root key signs delegations and nothing else, and should be moved off the machine with `tekctl keys
//! export-root`; the online key signs checkpoints and manifests.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::entropy;
use crate::authority::CodesKey;
use crate::authority::seal::SealSecret;
use crate::engine::Random;
use crate::release::SigningKey;
use crate::store::{Disk, read_file, replace_file};

/// Longest key file in bytes.
const MAX_KEY_FILE: u64 = 4096;
/// The file of the cookie secret, which every server has, and an origin only after its identity.
pub(crate) const COOKIE_KEY: &str = "cookie.key";

/// The file of the root key.
const ROOT_KEY: &str = "root.key";
/// The file that codes come from. Backups leave it out.
const CODES_KEY: &str = "codes.key";
/// How the files of seal keys begin; their ids follow.
const SEAL_PREFIX: &str = "seal-";

/// How often a backup looks at most until it finds the same twice.
const STEADY_LOOKS: usize = 10;

/// Why the secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot {what} {}: {source}", file.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// On which file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no key file.
    #[error("{} is not a key file of tekd ({what}); put it back from a backup", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// TLS material could not be made.
    #[error("cannot make a TLS certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// A secret of 32 bytes as its file holds it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: u32,
    purpose: String,
    secret: String,
}

/// The directory of secrets.
#[derive(Clone)]
pub struct Keys<'d> {
    disk: &'d dyn Disk,
    dir: PathBuf,
}

impl std::fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Certificate chain and private key, both PEM.
#[derive(Clone)]
pub struct TlsFiles {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsFiles")
    }
}

impl<'d> Keys<'d> {
    /// The secrets of the data directory `data`, whose `keys` directory is made if need be.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(disk: &'d dyn Disk, data: &Path) -> Result<Self, KeyError> {
        let dir = data.join("keys");
        disk.create_dir(&dir).map_err(|source| KeyError::Disk {
            what: "create",
            file: dir.clone(),
            source,
        })?;
        Ok(Keys { disk, dir })
    }

    /// The secrets that are there already, to be read only: nothing is made.
    pub fn look(disk: &'d dyn Disk, data: &Path) -> Self {
        Keys { disk, dir: data.join("keys") }
    }

    /// The root key, made at first use; `None` once it was moved away.
    ///
    /// # Errors
    /// If the file is unreadable.
    pub fn root(&self) -> Result<Option<SigningKey>, KeyError> {
        Ok(self.secret(ROOT_KEY, "root")?.map(SigningKey::from_secret))
    }

    /// The root key, made if there is none yet.
    ///
    /// # Errors
    /// If the file is unreadable or cannot be written.
    pub fn make_root(&self, random: &mut dyn Random) -> Result<SigningKey, KeyError> {
        self.secret_or_make(ROOT_KEY, "root", random).map(SigningKey::from_secret)
    }

    /// The online key of an epoch, if it is here.
    ///
    /// # Errors
    /// If the file is unreadable.
    pub fn online(&self, epoch: u32) -> Result<Option<SigningKey>, KeyError> {
        Ok(self.secret(&online_name(epoch), "online")?.map(SigningKey::from_secret))
    }

    /// The online key of an epoch, made if there is none yet.
    ///
    /// # Errors
    /// If the file is unreadable or cannot be written.
    pub fn make_online(&self, epoch: u32, random: &mut dyn Random) -> Result<SigningKey, KeyError> {
        self.secret_or_make(&online_name(epoch), "online", random).map(SigningKey::from_secret)
    }

    /// The secret of this node's cookies, made if there is none yet.
    ///
    /// # Errors
    /// If the file is unreadable or cannot be written.
    pub fn cookie_secret(&self, random: &mut dyn Random) -> Result<[u8; 32], KeyError> {
        self.secret_or_make(COOKIE_KEY, "cookie", random)
    }

    /// What codes come from, if it is here.
    ///
    /// # Errors
    /// If the file is unreadable.
    pub fn codes(&self) -> Result<Option<CodesKey>, KeyError> {
        Ok(self.secret(CODES_KEY, "codes")?.map(CodesKey::new))
    }

    /// What codes come from, made if it is not here.
    ///
    /// # Errors
    /// If the file is unreadable or cannot be written.
    pub fn make_codes(&self, random: &mut dyn Random) -> Result<CodesKey, KeyError> {
        self.secret_or_make(CODES_KEY, "codes", random).map(CodesKey::new)
    }

    /// The secret of a seal key, if it is here.
    ///
    /// # Errors
    /// If the file is unreadable.
    pub fn seal(&self, id: [u8; 8]) -> Result<Option<SealSecret>, KeyError> {
        Ok(self.secret(&seal_name(id), "seal")?.as_ref().map(SealSecret::from_bytes))
    }

    /// Keeps `secret` as that of a new seal key.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn keep_seal(&self, secret: &[u8; 32]) -> Result<SealSecret, KeyError> {
        let seal = SealSecret::from_bytes(secret);
        self.write_secret(&seal_name(seal.id()), "seal", secret)?;
        Ok(seal)
    }

    /// Whether the file of a seal key's secret is here, or may be.
    pub fn may_have_seal(&self, id: [u8; 8]) -> bool {
        let found = self.disk.inode(&self.dir.join(seal_name(id)));
        !matches!(found, Err(e) if e.kind() == io::ErrorKind::NotFound)
    }

    /// That the codes key and the secrets of seal keys, as far as they are here, can be read.
    ///
    /// # Errors
    /// For the first one that cannot.
    pub(super) fn are_readable(&self) -> Result<(), KeyError> {
        self.codes()?;
        let seals = self.names()?.into_iter();
        for name in seals.filter(|name| name.starts_with(SEAL_PREFIX) && name.ends_with(".key")) {
            self.secret(&name, "seal")?;
        }
        Ok(())
    }

    /// Removes the secrets of all seal keys but these, whole or half written, and tells the name of each file
    /// that went. One that stays keeps no other.
    ///
    /// # Errors
    /// If the directory is unreadable, or for the first file that cannot be removed for good.
    pub fn forget_seals(&self, kept: &[[u8; 8]], mut removed: impl FnMut(&str)) -> Result<(), KeyError> {
        let kept: Vec<String> = kept.iter().map(|id| seal_name(*id)).collect();
        let over = |name: &String| name.starts_with(SEAL_PREFIX) && !kept.contains(name);
        let mut all = Ok(());
        for name in self.names()?.into_iter().filter(over) {
            let file = self.dir.join(&name);
            match self.disk.remove(&file) {
                Ok(()) => removed(&name),
                Err(source) => all = all.and(Err(KeyError::Disk { what: "remove", file, source })),
            }
        }
        // Also if no name is left: it may be an earlier removal that is not durable yet.
        let synced = self.disk.sync_dir(&self.dir);
        all.and(synced.map_err(|source| KeyError::Disk { what: "sync", file: self.dir.clone(), source }))
    }

    /// Writes the root key to `to`, which must not exist, and removes it here once it is safe there.
    ///
    /// # Errors
    /// If there is none, or a file cannot be written or removed.
    pub fn export_root(&self, to: &Path) -> Result<(), KeyError> {
        let from = self.dir.join(ROOT_KEY);
        self.copy(&from, to)?;
        let removed = self.disk.remove(&from).and_then(|()| self.disk.sync_dir(&self.dir));
        removed.map_err(|source| KeyError::Disk { what: "remove", file: from, source })
    }

    /// Writes what codes come from to `to`, which must not exist; it stays here too.
    ///
    /// # Errors
    /// If there is none, or a file cannot be written.
    pub fn export_codes(&self, to: &Path) -> Result<(), KeyError> {
        self.copy(&self.dir.join(CODES_KEY), to)
    }

    /// Copies a file to `to`, which must not exist, and makes sure that it is safe there.
    fn copy(&self, from: &Path, to: &Path) -> Result<(), KeyError> {
        let fail = |what, file: &Path| {
            let file = file.to_path_buf();
            move |source| KeyError::Disk { what, file, source }
        };
        let bytes = read_file(self.disk, from, MAX_KEY_FILE).map_err(fail("read", from))?;
        let file = self.disk.create(to).map_err(fail("create", to))?;
        file.write_all_at(&bytes, 0).and_then(|()| file.sync()).map_err(fail("write", to))?;
        let parent = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.disk.sync_dir(parent).map_err(fail("sync", parent))?;
        let back = read_file(self.disk, to, MAX_KEY_FILE).map_err(fail("read back", to))?;
        if back != bytes {
            let what = "it is not what was just written".to_owned();
            return Err(KeyError::Damaged { file: to.to_path_buf(), what });
        }
        Ok(())
    }

    /// Certificate and key of TLS, self-made if there are none yet.
    ///
    /// # Errors
    /// If the files are unreadable or cannot be written.
    pub fn tls(&self) -> Result<TlsFiles, KeyError> {
        let (certificate, key) = (self.read("tls-cert.pem")?, self.read("tls-key.pem")?);
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(TlsFiles { certificate, key }),
            _ => self.rotate_tls(),
        }
    }

    /// Makes a new certificate and key of TLS.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn rotate_tls(&self) -> Result<TlsFiles, KeyError> {
        let made = rcgen::generate_simple_self_signed(vec!["tekd.invalid".to_owned()])?;
        // Whatever a crash leaves is a pair or none: a key without its certificate is made anew.
        let old = self.dir.join("tls-cert.pem");
        match self.disk.remove(&old).and_then(|()| self.disk.sync_dir(&self.dir)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(KeyError::Disk { what: "remove", file: old, source });
            }
            _ => {}
        }
        let files = TlsFiles {
            certificate: made.cert.pem().into_bytes(),
            key: made.signing_key.serialize_pem().into_bytes(),
        };
        self.write("tls-key.pem", &files.key)?;
        self.write("tls-cert.pem", &files.certificate)?;
        Ok(files)
    }

    /// Names of the key files here, sorted.
    ///
    /// # Errors
    /// If the directory is unreadable.
    pub fn names(&self) -> Result<Vec<String>, KeyError> {
        let names = self.disk.list(&self.dir).map_err(|source| KeyError::Disk {
            what: "list",
            file: self.dir.clone(),
            source,
        })?;
        Ok(names.iter().filter_map(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned()).collect())
    }

    /// Every file here but the codes key, for a backup: names and bytes as they are at one moment, those of a
    /// pair from one rotation.
    ///
    /// # Errors
    /// If a file is unreadable.
    pub(super) fn for_backup(&self) -> Result<BTreeMap<String, Vec<u8>>, KeyError> {
        let look = || -> Result<BTreeMap<String, Vec<u8>>, KeyError> {
            let mut found = BTreeMap::new();
            for name in self.names()? {
                if name != CODES_KEY
                    && !name.ends_with(".new")
                    && let Some(bytes) = self.read(&name)?
                {
                    found.insert(name, bytes);
                }
            }
            Ok(found)
        };
        let mut last = look()?;
        for _ in 1..STEADY_LOOKS {
            let before = std::mem::replace(&mut last, look()?);
            if before == last {
                break;
            }
        }
        Ok(last)
    }

    fn secret_or_make(
        &self,
        name: &str,
        purpose: &str,
        random: &mut dyn Random,
    ) -> Result<[u8; 32], KeyError> {
        if let Some(secret) = self.secret(name, purpose)? {
            return Ok(secret);
        }
        let secret: [u8; 32] = entropy::bytes(random);
        self.write_secret(name, purpose, &secret)?;
        Ok(secret)
    }

    fn write_secret(&self, name: &str, purpose: &str, secret: &[u8; 32]) -> Result<(), KeyError> {
        let file = KeyFile { format: 1, purpose: purpose.to_owned(), secret: STANDARD.encode(secret) };
        let text = serde_json::to_string(&file).expect("three plain fields are JSON");
        self.write(name, text.as_bytes())
    }

    fn secret(&self, name: &str, purpose: &str) -> Result<Option<[u8; 32]>, KeyError> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        let damaged = |what: String| KeyError::Damaged { file: self.dir.join(name), what };
        // no-trace: what a parser says quotes what it found, and that may be the secret.
        let unread = |e: serde_json::Error| {
            damaged(format!("its JSON cannot be read at line {}, column {}", e.line(), e.column()))
        };
        let file: KeyFile = serde_json::from_slice(&bytes).map_err(unread)?;
        if file.format != 1 || file.purpose != purpose {
            let format = file.format;
            return Err(damaged(format!(
                "it is of format {format} or not for {purpose:?}, format 1 is known"
            )));
        }
        let secret = STANDARD.decode(&file.secret).ok().and_then(|s| <[u8; 32]>::try_from(s).ok());
        secret.map(Some).ok_or_else(|| damaged("its secret is not base64 of 32 bytes".to_owned()))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, KeyError> {
        let file = self.dir.join(name);
        match read_file(self.disk, &file, MAX_KEY_FILE) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeyError::Disk { what: "read", file, source }),
        }
    }

    /// Writes a key file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), KeyError> {
        let file = self.dir.join(name);
        replace_file(self.disk, &file, bytes).map_err(|source| KeyError::Disk { what: "write", file, source })
    }
}

fn online_name(epoch: u32) -> String {
    format!("online-{epoch}.key")
}

fn seal_name(id: [u8; 8]) -> String {
    format!("{SEAL_PREFIX}{}.key", hex::encode(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Fault, MemoryDisk, OperationKind};

    #[test]
    fn a_rotation_of_the_certificate_that_fails_leaves_a_pair_or_none() {
        for nth in 1.. {
            let disk = MemoryDisk::new();
            let keys = Keys::open(&disk, Path::new("/data")).unwrap();
            let before = keys.tls().unwrap();
            disk.fail(OperationKind::Rename, nth, Fault::Eio);
            if keys.rotate_tls().is_ok() {
                assert_eq!(nth, 3, "two files are named");
                break;
            }
            let after = keys.tls().unwrap();
            assert!(after.certificate != before.certificate && after.key != before.key, "fault {nth}");
        }
    }

    #[test]
    fn a_damaged_key_file_is_named_and_not_quoted() {
        let disk = MemoryDisk::new();
        let keys = Keys::open(&disk, Path::new("/data")).unwrap();
        let secret = STANDARD.encode([0xa7; 32]);
        for (text, told) in [
            (format!("\"{secret}\""), "line 1, column"),
            (format!("{{\"format\":1,\n\"purpose\":\"codes\",\"{secret}\":\"\"}}"), "line 2, column"),
            (format!("{{\"format\":\"{secret}\"}}"), "line 1, column"),
            (format!("{{\"format\":1,\"purpose\":\"{secret}\",\"secret\":\"codes\"}}"), "not for \"codes\""),
            (format!("{{\"format\":1,\"purpose\":\"codes\",\"secret\":\"{secret}{secret}\"}}"), "base64"),
        ] {
            keys.write(CODES_KEY, text.as_bytes()).unwrap();
            let error = keys.codes().unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains(told) && said.contains("codes.key"), "{said}");
            assert!(!said.contains(&secret[..4]), "{said}");
        }
    }
}
