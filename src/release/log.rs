//! The checkpoint log of a set: an RFC 6962 Merkle tree whose leaves are checkpoints (spec 3.4.5).
//!
//! All hashes of complete subtrees are kept, 64 bytes per leaf in all, so that a root and a proof take a
//! logarithmic number of steps and a proof is written into the caller's buffer without allocating. It stores
//! no checkpoint.

use sha2::{Digest, Sha256};

/// Root of the log without leaves: `H("")`.
pub const EMPTY_ROOT: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Most leaves: one per serial of an incarnation and the bridge from the one before.
const MAX_LEAVES: u64 = 1 << 32;
/// Most hashes of any proof in a log of at most 2³² leaves.
pub const MAX_PROOF_HASHES: usize = 33;

const _: () = assert!(MAX_LEAVES.ilog2() as usize + 1 == MAX_PROOF_HASHES);
const _: () = assert!(64 + MAX_PROOF_HASHES * 32 <= 1232, "every proof fits one datagram");

/// Hash of a leaf: `H(0x00 ‖ bytes)`.
#[must_use]
pub fn log_leaf_hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

/// Hash of an inner node: `H(0x01 ‖ left ‖ right)`.
#[must_use]
pub fn log_node_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// An append-only Merkle tree. `levels[k][i]` is the hash of the leaves `i·2ᵏ .. (i+1)·2ᵏ`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogTree {
    levels: Vec<Vec<[u8; 32]>>,
}

impl LogTree {
    /// The log without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: [u8; 32]) {
        let mut hash = leaf;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let row = &mut self.levels[level];
            row.push(hash);
            match row.as_slice() {
                [.., left, right] if row.len().is_multiple_of(2) => hash = log_node_hash(left, right),
                _ => return,
            }
        }
    }

    /// Number of leaves.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.leaves().len() as u64
    }

    /// Whether there are no leaves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// The hashes of all leaves in order.
    #[must_use]
    pub fn leaves(&self) -> &[[u8; 32]] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// Root over all leaves.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.range(0, self.len())
    }

    /// Root over the first `size` leaves; `None` if there are fewer.
    #[must_use]
    pub fn root_at(&self, size: u64) -> Option<[u8; 32]> {
        (size <= self.len()).then(|| self.range(0, size))
    }

    /// Writes the inclusion proof of leaf `index` in the tree of the first `size` leaves (RFC 6962 §2.1.1)
    /// into `out` and gives its length in hashes. `None` if the leaf is not in it, the log is shorter, or
    /// `out` too small; [`MAX_PROOF_HASHES`] always suffice.
    pub fn inclusion(&self, index: u64, size: u64, out: &mut [[u8; 32]]) -> Option<usize> {
        if index >= size || size > self.len() {
            return None;
        }
        let mut proof = Proof { out, len: 0 };
        let (mut start, mut end) = (0, size);
        let mut walk = Descent::default();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                walk.push((middle, end));
                end = middle;
            } else {
                walk.push((start, middle));
                start = middle;
            }
        }
        self.siblings(&walk, &mut proof)
    }

    /// Writes the proof that the tree of the first `old` leaves is a beginning of that of the first `new`
    /// (RFC 6962 §2.1.2) into `out` and gives its length in hashes; empty for `old` 0 and `old` = `new`.
    /// `None` if `old > new`, the log is shorter, or `out` too small; [`MAX_PROOF_HASHES`] always suffice.
    pub fn consistency(&self, old: u64, new: u64, out: &mut [[u8; 32]]) -> Option<usize> {
        if old > new || new > self.len() {
            return None;
        }
        if old == 0 || old == new {
            return Some(0);
        }
        let mut proof = Proof { out, len: 0 };
        let (mut start, mut end) = (0, new);
        let mut walk = Descent::default();
        while end != old {
            let middle = start + split(end - start);
            if old <= middle {
                walk.push((middle, end));
                end = middle;
            } else {
                walk.push((start, middle));
                start = middle;
            }
        }
        if start > 0 {
            proof.push(self.range(start, end))?;
        }
        self.siblings(&walk, &mut proof)
    }

    fn siblings(&self, walk: &Descent, proof: &mut Proof<'_>) -> Option<usize> {
        for &(start, end) in walk.as_slice().iter().rev() {
            proof.push(self.range(start, end))?;
        }
        Some(proof.len)
    }

    /// Hash of the leaves `start..end`, a range as the splitting of RFC 6962 gives it: `start` is a multiple
    /// of the greatest power of two in its length. Its complete subtrees stand from great to small; fold them
    /// from the right.
    fn range(&self, start: u64, end: u64) -> [u8; 32] {
        let (mut length, mut end, mut hash) = (end - start, end, None);
        while length > 0 {
            let level = length.trailing_zeros();
            let complete = &self.levels[level as usize][((end >> level) - 1) as usize];
            hash = Some(hash.map_or(*complete, |right| log_node_hash(complete, &right)));
            length &= length - 1;
            end -= 1 << level;
        }
        hash.unwrap_or(EMPTY_ROOT)
    }
}

/// Whether `proof` shows that `leaf` is leaf `index` of the tree with `size` leaves and this root (RFC 9162
/// §2.1.3.2).
#[must_use]
pub fn verify_inclusion(leaf: &[u8; 32], index: u64, size: u64, proof: &[[u8; 32]], root: &[u8; 32]) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = log_node_hash(step, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = log_node_hash(&hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree with `old` leaves and `old_root` is a beginning of the one with `new`
/// leaves and `new_root` (RFC 9162 §2.1.4.2). Everything begins with the empty tree, equal sizes with
/// themselves: no proof then.
#[must_use]
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &[u8; 32],
    new_root: &[u8; 32],
    proof: &[[u8; 32]],
) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == EMPTY_ROOT;
    }
    let seeded = if old.is_power_of_two() { Some((old_root, proof)) } else { proof.split_first() };
    let Some((seed, steps)) = seeded else { return false };
    let shift = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut old_hash, mut new_hash) = (*seed, *seed);
    for step in steps {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = log_node_hash(step, &old_hash);
            new_hash = log_node_hash(step, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = log_node_hash(&new_hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// The greatest power of two below `length`, which is at least 2.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

/// The ranges passed by on the way down, at most one per level.
struct Descent {
    ranges: [(u64, u64); 64],
    len: usize,
}

impl Default for Descent {
    fn default() -> Self {
        Self { ranges: [(0, 0); 64], len: 0 }
    }
}

impl Descent {
    fn push(&mut self, range: (u64, u64)) {
        self.ranges[self.len] = range;
        self.len += 1;
    }

    fn as_slice(&self) -> &[(u64, u64)] {
        &self.ranges[..self.len]
    }
}

struct Proof<'a> {
    out: &'a mut [[u8; 32]],
    len: usize,
}

impl Proof<'_> {
    fn push(&mut self, hash: [u8; 32]) -> Option<()> {
        *self.out.get_mut(self.len)? = hash;
        self.len += 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962 §2.1 to the letter.
    fn naive_root(leaves: &[[u8; 32]]) -> [u8; 32] {
        match leaves {
            [] => EMPTY_ROOT,
            [leaf] => *leaf,
            _ => {
                let k = split(leaves.len() as u64) as usize;
                log_node_hash(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
            }
        }
    }

    /// RFC 6962 §2.1.1 to the letter.
    fn naive_path(m: usize, leaves: &[[u8; 32]]) -> Vec<[u8; 32]> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
        let (mut path, sibling) = if m < left.len() {
            (naive_path(m, left), right)
        } else {
            (naive_path(m - left.len(), right), left)
        };
        path.push(naive_root(sibling));
        path
    }

    /// RFC 6962 §2.1.2 to the letter.
    fn naive_subproof(m: usize, leaves: &[[u8; 32]], whole: bool) -> Vec<[u8; 32]> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { vec![naive_root(leaves)] };
        }
        let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
        let (mut proof, sibling) = if m <= left.len() {
            (naive_subproof(m, left, whole), right)
        } else {
            (naive_subproof(m - left.len(), right, false), left)
        };
        proof.push(naive_root(sibling));
        proof
    }

    fn tree_of(size: usize) -> LogTree {
        let mut tree = LogTree::new();
        for i in 0..size {
            tree.push(log_leaf_hash(&i.to_le_bytes()));
        }
        tree
    }

    const TO: usize = 130;

    #[test]
    fn roots_are_those_of_the_naive_tree() {
        let tree = tree_of(TO);
        for size in 0..=TO {
            let expected = naive_root(&tree.leaves()[..size]);
            assert_eq!(tree.root_at(size as u64), Some(expected), "size {size}");
            assert_eq!(tree_of(size).root(), expected, "size {size}");
        }
        assert_eq!(tree.root_at(TO as u64 + 1), None);
        assert_eq!(LogTree::new().root(), EMPTY_ROOT);
        assert_eq!(EMPTY_ROOT, <[u8; 32]>::from(Sha256::digest(b"")));
    }

    #[test]
    fn inclusion_proofs_are_the_naive_ones_and_verify_only_for_their_leaf() {
        let tree = tree_of(TO);
        let mut out = [[0; 32]; MAX_PROOF_HASHES];
        for size in 1..=TO {
            let root = tree.root_at(size as u64).unwrap();
            for index in 0..size {
                let (i, n) = (index as u64, size as u64);
                let len = tree.inclusion(i, n, &mut out).unwrap();
                let proof = &out[..len];
                assert_eq!(proof, naive_path(index, &tree.leaves()[..size]), "leaf {index} of {size}");
                let leaf = &tree.leaves()[index];
                assert!(verify_inclusion(leaf, i, n, proof, &root), "leaf {index} of {size}");
                assert!(!verify_inclusion(leaf, i ^ 1, n, proof, &root) || size == 1);
                assert!(!verify_inclusion(&[7; 32], i, n, proof, &root));
                assert!(!verify_inclusion(&root, i, n, &[], &root) || size == 1, "the root is no leaf");
                assert!(!verify_inclusion(leaf, i, n, &out[..len + 1], &root), "one hash too many");
                assert!(len == 0 || !verify_inclusion(leaf, i, n, &proof[1..], &root), "one hash too few");
                assert!(len == 0 || tree.inclusion(i, n, &mut [[0; 32]; 33][..len - 1]).is_none());
            }
        }
        assert_eq!(tree.inclusion(5, 5, &mut out), None);
        assert_eq!(tree.inclusion(0, TO as u64 + 1, &mut out), None);
        assert!(!verify_inclusion(&[0; 32], 0, 0, &[], &EMPTY_ROOT));
    }

    #[test]
    fn consistency_proofs_are_the_naive_ones_and_verify_only_for_their_roots() {
        let tree = tree_of(TO);
        let mut out = [[0; 32]; MAX_PROOF_HASHES];
        for new in 0..=TO {
            let new_root = tree.root_at(new as u64).unwrap();
            for old in 0..=new {
                let (m, n) = (old as u64, new as u64);
                let old_root = tree.root_at(m).unwrap();
                let len = tree.consistency(m, n, &mut out).unwrap();
                let proof = &out[..len];
                let naive =
                    if old == 0 { Vec::new() } else { naive_subproof(old, &tree.leaves()[..new], true) };
                assert_eq!(proof, naive, "{old} to {new}");
                assert!(verify_consistency(m, n, &old_root, &new_root, proof), "{old} to {new}");
                assert!(!verify_consistency(m, n, &[7; 32], &new_root, proof), "{old} to {new}");
                assert!(old == 0 || !verify_consistency(m, n, &old_root, &[7; 32], proof), "{old} to {new}");
                assert!(!verify_consistency(m, n, &old_root, &new_root, &out[..len + 1]), "{old} to {new}");
                assert!(len == 0 || !verify_consistency(m, n, &old_root, &new_root, &proof[1..]));
                let same = verify_consistency(m, n, &new_root, &new_root, &[]);
                assert_eq!(same, old == new, "equal roots prove no growth, {old} to {new}");
                assert!(old == new || !verify_consistency(n, m, &new_root, &old_root, proof), "backwards");
            }
        }
        assert_eq!(tree.consistency(3, 2, &mut out), None);
        assert_eq!(tree.consistency(3, TO as u64 + 1, &mut out), None);
    }

    #[test]
    fn verifiers_take_any_sizes_without_panic() {
        let proof = [[1; 32]; 66];
        for a in [0, 1, 2, 63, 64, u64::MAX - 1, u64::MAX] {
            for b in [0, 1, 2, 63, 64, u64::MAX - 1, u64::MAX] {
                for len in [0, 1, 64, 65, 66] {
                    assert!(!verify_inclusion(&[0; 32], a, b, &proof[..len], &[2; 32]));
                    assert!(!verify_consistency(a, b, &[2; 32], &[3; 32], &proof[..len]));
                }
            }
        }
    }

    /// The leaves and roots that implementations of RFC 6962 have in common.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = LogTree::new();
        for (leaf, root) in leaves.iter().zip(roots) {
            tree.push(log_leaf_hash(&hex::decode(leaf).unwrap()));
            assert_eq!(hex::encode(tree.root()), root, "after leaf {leaf:?}");
        }
    }
}
