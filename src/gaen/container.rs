//! The ZIP around a package: two members out of bytes, bytes out of two members.
//!
//! Reading is bounded before anything is unpacked: by the size of the ZIP, by the number of its members, and
//! then by reading at most one byte more than a member may have, whatever its header claims. Writing depends
//! on its input alone: fixed date, fixed level, no platform. It knows nothing of what the members mean.

use std::io::{Cursor, Read, Write};

use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

/// Most bytes of a ZIP that is read or written.
pub const MAX_ZIP_BYTES: usize = 64 << 20;
/// Most bytes of `export.bin` once unpacked.
pub const MAX_EXPORT_BYTES: usize = 128 << 20;
/// Most bytes of `export.sig` once unpacked.
pub const MAX_SIGNATURE_BYTES: usize = 64 << 10;
/// Most members of a ZIP. A package has two; some services added a file or two of their own.
pub const MAX_MEMBERS: usize = 16;

const _: () = assert!(MAX_SIGNATURE_BYTES < MAX_EXPORT_BYTES && MAX_ZIP_BYTES <= MAX_EXPORT_BYTES);
const _: () = assert!(MAX_EXPORT_BYTES < u32::MAX as usize, "no member needs ZIP64");
const _: () = assert!(MAX_MEMBERS >= 2);

/// Name of the member with the keys.
pub(super) const EXPORT: &str = "export.bin";
/// Name of the member with the signatures.
pub(super) const SIGNATURE: &str = "export.sig";

/// Signature of a central directory header: every member of a ZIP has one.
const CENTRAL_HEADER: [u8; 4] = *b"PK\x01\x02";
const DEFLATE_LEVEL: i64 = 6;
/// Most characters of a stranger's member name in an error.
const MAX_SHOWN_NAME: usize = 64;

/// Why the bytes are not a ZIP with the members of a package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// The ZIP is longer than [`MAX_ZIP_BYTES`].
    #[error(
        "the package is {bytes} bytes long, at most {limit} are read: split the export into smaller files"
    )]
    ZipTooLarge {
        /// Length of the ZIP.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The bytes are no ZIP archive, or a damaged one.
    #[error("the {bytes} bytes given are not a readable ZIP archive: {cause}; fetch the package again")]
    NotAZip {
        /// Length of what was given.
        bytes: usize,
        /// What the ZIP reader says.
        cause: ZipError,
    },
    /// More members than a package can have.
    #[error(
        "the ZIP has {found} members, an export package has 2 and at most {limit} are looked at: \
             this is some other archive"
    )]
    TooManyMembers {
        /// Central directory headers seen.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Two members have one name, so it is not certain which one is meant.
    #[error("the ZIP has two members of the same name: it is ambiguous and not read; make it again")]
    DuplicateMembers,
    /// There is no `export.bin`.
    #[error("the ZIP has no member export.bin, only [{found}]: it is not an export package")]
    NoExport {
        /// Names of the members there are.
        found: String,
    },
    /// A member cannot be unpacked.
    #[error("member {member} cannot be unpacked: {cause}; fetch the package again")]
    Member {
        /// Name of the member.
        member: &'static str,
        /// What the ZIP reader says.
        cause: ZipError,
    },
    /// A member is longer, once unpacked, than its limit.
    #[error(
        "member {member} unpacks to more than {limit} bytes (it claims {declared}): \
             split the export into smaller files"
    )]
    MemberTooLarge {
        /// Name of the member.
        member: &'static str,
        /// Length stated by the archive.
        declared: u64,
        /// The limit.
        limit: usize,
    },
}

/// The members of a package, unpacked.
pub(super) struct Members {
    pub(super) export: Vec<u8>,
    pub(super) signature: Option<Vec<u8>>,
}

/// Unpacks `export.bin` and, if it is there, `export.sig`. Other members are not touched.
pub(super) fn read_members(zip: &[u8]) -> Result<Members, ContainerError> {
    // bounded: length and number of members before the archive reader makes a table of them.
    if zip.len() > MAX_ZIP_BYTES {
        return Err(ContainerError::ZipTooLarge { bytes: zip.len(), limit: MAX_ZIP_BYTES });
    }
    let found = zip.windows(CENTRAL_HEADER.len()).filter(|window| *window == CENTRAL_HEADER).count();
    if found > MAX_MEMBERS {
        return Err(ContainerError::TooManyMembers { found, limit: MAX_MEMBERS });
    }
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(config, Cursor::new(zip))
        .map_err(|cause| ContainerError::NotAZip { bytes: zip.len(), cause })?;
    if archive.has_duplicate_names() {
        return Err(ContainerError::DuplicateMembers);
    }
    let Some(export) = read_member(&mut archive, EXPORT, MAX_EXPORT_BYTES)? else {
        let shown = |name: &[u8]| name.escape_ascii().take(MAX_SHOWN_NAME).map(char::from).collect();
        let names: Vec<String> = archive.file_names_raw().map(shown).collect();
        return Err(ContainerError::NoExport { found: names.join(", ") });
    };
    let signature = read_member(&mut archive, SIGNATURE, MAX_SIGNATURE_BYTES)?;
    Ok(Members { export, signature })
}

fn read_member(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    member: &'static str,
    limit: usize,
) -> Result<Option<Vec<u8>>, ContainerError> {
    let Some(index) = archive.index_for_name_raw(member.as_bytes()) else {
        return Ok(None);
    };
    let file = archive.by_index(index).map_err(|cause| ContainerError::Member { member, cause })?;
    let declared = file.size();
    if declared > limit as u64 {
        return Err(ContainerError::MemberTooLarge { member, declared, limit });
    }
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| ContainerError::Member { member, cause: ZipError::Io(cause) })?;
    if bytes.len() > limit {
        return Err(ContainerError::MemberTooLarge { member, declared, limit });
    }
    Ok(Some(bytes))
}

/// Packs members in the given order: equal members give equal bytes, on any day and any machine.
pub(super) fn write_members(members: &[(&str, &[u8])]) -> Result<Vec<u8>, ZipError> {
    // state-is-a-fold: a legacy export is a function of its keys, so date, level and system are constants.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(DEFLATE_LEVEL))
        .last_modified_time(DateTime::DEFAULT)
        .system(System::Unix)
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, options)?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}
