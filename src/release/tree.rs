//! The bucket tree: a Merkle tree over the live entries of a set, whose root a checkpoint signs
//! (protocol-spec 3.3), and the proof of one bucket against it (2.4.4).
//!
//! Leaves are buckets of keys that share their first *b* bits. No serial is in a hash, so a bucket
//! that did not change keeps its hash from version to version. Whoever has all entries computes the
//! root; whoever has one bucket computes it with the siblings on the way.

use sha2::{Digest, Sha256};

use super::schema::Schema;

/// Greatest depth of a tree (3.3.1).
pub const MAX_DEPTH: u8 = 28;

/// Most levels that a bucket's answer may cover below its prefix (2.4.2).
pub const MAX_LEVELS_BELOW: u8 = 12;

/// Length of a hash in bytes.
pub const HASH_LEN: usize = 32;

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// A tree of depth 0 has fewer live entries than this; others have depth ⌊log₂ n⌋ − 2.
const FIRST_SPLIT: u64 = 8;

const _: () = assert!(depth(FIRST_SPLIT - 1) == 0 && depth(FIRST_SPLIT) == 1 && depth(u64::MAX) == MAX_DEPTH);
const _: () = assert!(MAX_DEPTH < 32 && MAX_LEVELS_BELOW <= MAX_DEPTH);

/// A SHA-256 digest.
pub type Hash = [u8; HASH_LEN];

/// Why the bytes of a bucket prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// Depth, prefix and held levels do not fit together, or too much is asked for.
    #[error("prefix of {bits} bits with {held} held in a tree of depth {b}")]
    Shape {
        /// Depth of the tree.
        b: u8,
        /// Length of the prefix in bits.
        bits: u8,
        /// Levels of the tree that the verifier holds.
        held: u8,
    },
    /// The entries are not a whole number of public entries.
    #[error("{found} bytes of entries of {entry} bytes")]
    Entries {
        /// Bytes given.
        found: usize,
        /// Length of an entry.
        entry: usize,
    },
    /// The path has another length than the levels it leads over.
    #[error("path of {found} bytes where {expected} lead up")]
    Path {
        /// Bytes given.
        found: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// An entry is out of order or does not begin with the prefix.
    #[error("entry {0} is out of order or outside the prefix")]
    Order(usize),
    /// The hashes lead to another node than the one held.
    #[error("the bucket does not lead to the node held")]
    Root,
}

/// The depth *b* of the tree of `n` live entries (3.3.1).
#[must_use]
pub const fn depth(n: u64) -> u8 {
    if n < FIRST_SPLIT {
        return 0;
    }
    let b = n.ilog2() as u8 - 2;
    if b < MAX_DEPTH { b } else { MAX_DEPTH }
}

/// The number that the first `bits` bits of a key spell, at most 32; what is shorter than four
/// bytes counts as zero-padded.
#[must_use]
#[inline]
pub fn prefix_of(key: &[u8], bits: u8) -> u32 {
    let head = match key.first_chunk() {
        Some(four) => u32::from_be_bytes(*four),
        None => key.iter().zip([24, 16, 8]).map(|(&byte, shift)| u32::from(byte) << shift).sum(),
    };
    head.checked_shr(32 - u32::from(bits)).unwrap_or(0)
}

/// Hash of leaf `p` of a tree of depth `b`: `count` live public entries in key order (3.3.2).
#[must_use]
pub fn leaf_hash(b: u8, p: u32, count: u32, entries: &[u8]) -> Hash {
    let mut head = [0; 10];
    head[0] = LEAF;
    head[1] = b;
    head[2..6].copy_from_slice(&p.to_le_bytes());
    head[6..].copy_from_slice(&count.to_le_bytes());
    Sha256::new().chain_update(head).chain_update(entries).finalize().into()
}

/// Hash of an inner node (3.3.3).
#[must_use]
pub fn node_hash(left: &[u8], right: &[u8]) -> Hash {
    Sha256::new().chain_update([NODE]).chain_update(left).chain_update(right).finalize().into()
}

/// A whole bucket tree, or a branch of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Depth.
    pub b: u8,
    /// Live entries.
    pub count: u64,
    /// The node at the top.
    pub root: Hash,
    /// All its 2^(b+1) − 1 hashes, level by level from the root; of a branch those below its node.
    pub nodes: Vec<u8>,
}

/// Builds a tree, or a branch of one, from live public entries that arrive in key order. Beside the nodes it
/// keeps one bucket.
#[derive(Debug)]
pub struct TreeBuilder {
    b: u8,
    /// Levels from the node at the top to the leaves.
    levels: u8,
    first: u32,
    p: u32,
    count: u64,
    in_bucket: u32,
    bucket: Vec<u8>,
    nodes: Vec<u8>,
}

impl TreeBuilder {
    /// A builder for a set of exactly `count` live entries.
    #[must_use]
    pub fn new(count: u64) -> Self {
        Self::branch(depth(count), 0, 0)
    }

    /// A builder for the part of a tree of depth `b` that lies below one node: that of the prefix of `bits`
    /// ≤ `b` bits. It takes the entries whose keys begin with the prefix.
    #[must_use]
    pub fn branch(b: u8, bits: u8, prefix: u32) -> Self {
        let levels = b - bits;
        let (first, nodes) = (prefix << levels, vec![0; nodes_len(levels)]);
        Self { b, levels, first, p: first, count: 0, in_bucket: 0, bucket: Vec::new(), nodes }
    }

    /// Takes the next public entry; keys must ascend.
    #[inline]
    pub fn push(&mut self, entry: &[u8]) {
        let p = prefix_of(entry, self.b);
        debug_assert!(p >= self.p, "entries come in key order");
        while self.p < p {
            self.close_bucket();
        }
        self.bucket.extend_from_slice(entry);
        self.in_bucket += 1;
        self.count += 1;
    }

    fn close_bucket(&mut self) {
        let hash = leaf_hash(self.b, self.p, self.in_bucket, &self.bucket);
        let at = node_at(self.levels, self.p - self.first);
        self.nodes[at..at + HASH_LEN].copy_from_slice(&hash);
        self.bucket.clear();
        self.in_bucket = 0;
        self.p += 1;
    }

    /// The tree of all entries taken, or the branch.
    #[must_use]
    pub fn finish(mut self) -> Tree {
        debug_assert!(self.levels < self.b || depth(self.count) == self.b, "as many entries as announced");
        while (self.p - self.first) >> self.levels == 0 {
            self.close_bucket();
        }
        close_above(&mut self.nodes, self.levels);
        Tree::of(self.b, self.count, self.nodes)
    }
}

impl Tree {
    fn of(b: u8, count: u64, nodes: Vec<u8>) -> Self {
        let root = *nodes.first_chunk().expect("a tree has a root");
        Self { b, count, root, nodes }
    }

    /// The tree of depth `b` of all its branches below the nodes of prefixes of `bits` bits, in order.
    ///
    /// # Panics
    /// If they are not 2^`bits` branches of such a tree.
    #[must_use]
    pub fn join(b: u8, bits: u8, branches: &[Tree]) -> Self {
        assert_eq!(branches.len(), 1 << bits, "a tree has all its branches");
        let mut nodes = vec![0; nodes_len(b)];
        for level in bits..=b {
            let within = level - bits;
            let len = HASH_LEN << within;
            let out = nodes[node_at(level, 0)..].chunks_exact_mut(len);
            for (out, branch) in out.zip(branches) {
                out.copy_from_slice(&branch.nodes[node_at(within, 0)..][..len]);
            }
        }
        close_above(&mut nodes, bits);
        Self::of(b, branches.iter().map(|branch| branch.count).sum(), nodes)
    }
}

/// Hashes the nodes of every level above `level` of those below them.
fn close_above(nodes: &mut [u8], level: u8) {
    for level in (0..level).rev() {
        let (upper, lower) = nodes.split_at_mut(node_at(level + 1, 0));
        let parents = upper[node_at(level, 0)..].chunks_exact_mut(HASH_LEN);
        for (parent, pair) in parents.zip(lower.chunks_exact(2 * HASH_LEN)) {
            let (left, right) = pair.split_at(HASH_LEN);
            parent.copy_from_slice(&node_hash(left, right));
        }
    }
}

/// Bytes of all nodes of so many levels below one.
const fn nodes_len(levels: u8) -> usize {
    (HASH_LEN << (levels + 1)) - HASH_LEN
}

/// The tree of the entries of a sorted history that are live in the release of `serial` (3.2.3);
/// the history must hold no expired entry.
#[must_use]
pub fn build_tree(schema: Schema, history: &[u8], serial: u32) -> Tree {
    let live = || schema.views(history).filter(|entry| entry.live_at(serial));
    let mut builder = TreeBuilder::new(live().count() as u64);
    for entry in live() {
        builder.push(entry.public);
    }
    builder.finish()
}

/// Where node `index` of a level lies in the bytes of all nodes.
const fn node_at(level: u8, index: u32) -> usize {
    ((1 << level) - 1 + index as usize) * HASH_LEN
}

/// Node `index` of `level` in all nodes of a tree, if the tree has it.
#[must_use]
pub fn node(nodes: &[u8], level: u8, index: u32) -> Option<&Hash> {
    if level > MAX_DEPTH || u64::from(index) >> level != 0 {
        return None;
    }
    nodes.get(node_at(level, index)..)?.first_chunk()
}

/// The siblings on the way from the node of a prefix of `bits` bits up to depth `held + 1`,
/// deepest first (2.4.3). `prefix` is the number those bits spell. Nothing is allocated.
///
/// # Errors
/// [`BucketError::Shape`] if the question is not one of 2.4.2 for a tree of depth `b`, or `nodes`
/// are not those of such a tree.
pub fn bucket_path(
    nodes: &[u8],
    b: u8,
    bits: u8,
    held: u8,
    prefix: u32,
) -> Result<impl ExactSizeIterator<Item = &Hash>, BucketError> {
    check_shape(b, bits, held, prefix)?;
    if nodes.len() != nodes_len(b) {
        return Err(BucketError::Shape { b, bits, held });
    }
    let (hashes, _) = nodes.as_chunks();
    Ok((0..bits - held).map(move |up| {
        let sibling = (prefix >> up) ^ 1;
        // The shape was checked against the nodes.
        &hashes[node_at(bits - up, sibling) / HASH_LEN]
    }))
}

fn check_shape(b: u8, bits: u8, held: u8, prefix: u32) -> Result<(), BucketError> {
    let fits = b <= MAX_DEPTH
        && bits <= b
        && b - bits <= MAX_LEVELS_BELOW
        && held <= bits
        && u64::from(prefix) >> bits == 0;
    if fits { Ok(()) } else { Err(BucketError::Shape { b, bits, held }) }
}

/// Verifies the answer to a BUCKET question (2.4.4): the entries are all live entries whose keys
/// begin with the prefix, in the tree of depth `b` whose node at depth `held` above them is `node`.
///
/// `prefix` is the number that the `bits` bits spell ([`prefix_of`]); with `held` = 0 `node` is the
/// root of a verified checkpoint, and `b` must be that checkpoint's. At most 2^12 leaves are hashed.
///
/// # Errors
/// What does not fit; nothing is proved then.
#[expect(clippy::too_many_arguments, reason = "the parts of one answer, each as it arrived")]
pub fn verify_bucket(
    node: &Hash,
    b: u8,
    bits: u8,
    held: u8,
    prefix: u32,
    schema: Schema,
    entries: &[u8],
    path: &[u8],
) -> Result<(), BucketError> {
    check_shape(b, bits, held, prefix)?;
    let expected = usize::from(bits - held) * HASH_LEN;
    if path.len() != expected {
        return Err(BucketError::Path { found: path.len(), expected });
    }
    let mut hash = subtree(b, bits, prefix, schema, entries)?;
    for (up, sibling) in path.chunks_exact(HASH_LEN).enumerate() {
        let right = prefix >> up & 1 == 1;
        hash = if right { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) };
    }
    if hash == *node { Ok(()) } else { Err(BucketError::Root) }
}

/// The root of the tree of sorted live public entries, without keeping its nodes.
///
/// # Errors
/// If the bytes are not whole entries, or not in the order of their buckets.
pub fn root_of(schema: Schema, entries: &[u8]) -> Result<Hash, BucketError> {
    subtree(depth((entries.len() / schema.public_len()) as u64), 0, 0, schema, entries)
}

/// The node at depth `bits` over the leaves of a prefix, computed from all entries below it.
fn subtree(b: u8, bits: u8, prefix: u32, schema: Schema, entries: &[u8]) -> Result<Hash, BucketError> {
    let public_len = schema.public_len();
    if !entries.len().is_multiple_of(public_len) {
        return Err(BucketError::Entries { found: entries.len(), entry: public_len });
    }
    let first = prefix << (b - bits);
    let mut lefts = [[0; HASH_LEN]; MAX_DEPTH as usize + 1];
    let mut rest = entries;
    for leaf in 0..1_u32 << (b - bits) {
        let p = first + leaf;
        let count = rest.chunks_exact(public_len).take_while(|entry| prefix_of(entry, b) == p).count();
        let (bucket, after) = rest.split_at(count * public_len);
        rest = after;
        let mut hash = leaf_hash(b, p, count as u32, bucket);
        let complete = leaf.trailing_ones() as usize;
        for left in &lefts[..complete] {
            hash = node_hash(left, &hash);
        }
        lefts[complete] = hash;
    }
    if !rest.is_empty() {
        return Err(BucketError::Order((entries.len() - rest.len()) / public_len));
    }
    Ok(lefts[usize::from(b - bits)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::schema::{Fields, LIVE};

    const SCHEMA: Schema = Schema::GaenMinimal;
    const PUBLIC: usize = SCHEMA.public_len();

    /// A sorted history of `n` entries, every fourth of them withdrawn by release 5.
    fn history(n: u64) -> Vec<u8> {
        let mut keys: Vec<[u8; 32]> = (0..n).map(|i| Sha256::digest(i.to_le_bytes()).into()).collect();
        keys.sort_unstable();
        let mut history = Vec::new();
        for (i, key) in keys.iter().enumerate() {
            let del = if i % 4 == 3 { 5 } else { LIVE };
            SCHEMA.history_entry(
                &key[..16],
                &Fields { period: 144, ..Fields::default() },
                2,
                del,
                &mut history,
            );
        }
        history
    }

    fn live(history: &[u8], serial: u32) -> Vec<u8> {
        SCHEMA.views(history).filter(|e| e.live_at(serial)).flat_map(|e| e.public.to_vec()).collect()
    }

    fn bucket(live: &[u8], bits: u8, prefix: u32) -> Vec<u8> {
        live.chunks_exact(PUBLIC)
            .filter(|entry| prefix_of(entry, bits) == prefix)
            .flatten()
            .copied()
            .collect()
    }

    #[test]
    fn buckets_hold_four_to_eight_keys_on_average() {
        for (n, b) in [(0, 0), (7, 0), (8, 1), (15, 1), (16, 2), (1 << 30, 28), (1 << 31, 28), (1 << 40, 28)]
        {
            assert_eq!(depth(n), b, "{n} entries");
        }
    }

    #[test]
    fn the_root_of_an_empty_set_is_one_empty_leaf() {
        let tree = build_tree(SCHEMA, &[], 1);
        assert_eq!((tree.b, tree.count, tree.root), (0, 0, leaf_hash(0, 0, 0, &[])));
        assert_eq!(tree.nodes, tree.root);
    }

    #[test]
    fn the_root_is_the_same_with_and_without_the_nodes() {
        let history = history(300);
        for serial in [1, 2, 4, 5, 9] {
            let tree = build_tree(SCHEMA, &history, serial);
            let live = live(&history, serial);
            assert_eq!(tree.count as usize, live.len() / PUBLIC);
            assert_eq!(Ok(tree.root), root_of(SCHEMA, &live));
            assert_eq!(tree.nodes.len(), ((2 << tree.b) - 1) * HASH_LEN);
        }
    }

    #[test]
    fn a_tree_of_branches_is_the_tree() {
        for n in [0, 8, 100, 3000] {
            let history = history(n);
            let whole = build_tree(SCHEMA, &history, 9);
            let live = live(&history, 9);
            for bits in 0..=whole.b.min(4) {
                let branch = |prefix| {
                    let mut builder = TreeBuilder::branch(whole.b, bits, prefix);
                    bucket(&live, bits, prefix).chunks_exact(PUBLIC).for_each(|entry| builder.push(entry));
                    builder.finish()
                };
                let branches: Vec<Tree> = (0..1 << bits).map(branch).collect();
                assert_eq!(branches[0].root, *node(&whole.nodes, bits, 0).unwrap());
                assert_eq!(Tree::join(whole.b, bits, &branches), whole, "{n} entries, {bits} bits");
            }
        }
    }

    #[test]
    fn every_bucket_proves_itself_from_every_node_held() {
        let history = history(300);
        let tree = build_tree(SCHEMA, &history, 2);
        let live = live(&history, 2);
        for bits in 0..=tree.b {
            for prefix in 0..1 << bits {
                let entries = bucket(&live, bits, prefix);
                for held in 0..=bits {
                    let path: Vec<u8> = bucket_path(&tree.nodes, tree.b, bits, held, prefix)
                        .unwrap()
                        .flatten()
                        .copied()
                        .collect();
                    let top = node(&tree.nodes, held, prefix >> (bits - held)).unwrap();
                    let proof = verify_bucket(top, tree.b, bits, held, prefix, SCHEMA, &entries, &path);
                    assert_eq!(proof, Ok(()), "{bits} bits, {held} held, prefix {prefix}");
                }
            }
        }
    }

    #[test]
    fn a_bucket_with_anything_changed_proves_nothing() {
        let history = history(100);
        let tree = build_tree(SCHEMA, &history, 2);
        let (b, bits, prefix) = (tree.b, 3, 5);
        let entries = bucket(&live(&history, 2), bits, prefix);
        let path: Vec<u8> =
            bucket_path(&tree.nodes, b, bits, 0, prefix).unwrap().flatten().copied().collect();
        let check = |b, bits, held, prefix, entries: &[u8], path: &[u8]| {
            verify_bucket(&tree.root, b, bits, held, prefix, SCHEMA, entries, path)
        };
        assert_eq!(check(b, bits, 0, prefix, &entries, &path), Ok(()));
        assert_eq!(check(b, bits, 0, prefix, &entries[PUBLIC..], &path), Err(BucketError::Root));
        assert_eq!(check(b, bits, 0, 4, &[], &path), Err(BucketError::Root));
        assert_eq!(check(b, bits, 0, 4, &entries, &path), Err(BucketError::Order(0)));
        assert_eq!(
            check(b, bits, 0, prefix, &entries, &path[32..]),
            Err(BucketError::Path { found: 64, expected: 96 })
        );
        assert_eq!(
            check(b, bits, 0, prefix, &entries[1..], &path),
            Err(BucketError::Entries { found: entries.len() - 1, entry: PUBLIC })
        );
        let mut swapped = entries.clone();
        swapped.rotate_left(PUBLIC);
        assert!(check(b, bits, 0, prefix, &swapped, &path).is_err());
        for shape in [(29, 20, 0), (b, b + 1, 0), (20, 7, 0), (b, 3, 4)] {
            let (b, bits, held) = shape;
            assert_eq!(check(b, bits, held, 0, &[], &[]), Err(BucketError::Shape { b, bits, held }));
        }
        assert_eq!(check(b, 1, 0, 2, &[], &path[..32]), Err(BucketError::Shape { b, bits: 1, held: 0 }));
        assert!(bucket_path(&tree.nodes, b + 1, bits, 0, prefix).is_err());
    }

    #[test]
    fn prefixes_are_read_from_the_most_significant_bit() {
        let key = [0b1010_0000, 0, 0, 1];
        assert_eq!([0, 1, 3, 4, 32].map(|bits| prefix_of(&key, bits)), [0, 1, 5, 10, 0xA000_0001]);
        assert_eq!(prefix_of(&[0x80], 2), 2);
    }
}
