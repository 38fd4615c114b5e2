//! The Merkle tree of RFC 9162 (section 2.1): one hash that stands for a list of events, and short proofs that an event is
//! in it, which show nothing of the others. Pure.

use aws_lc_rs::digest::{Context, SHA256, digest};

use super::hex::hex_text;

/// A SHA-256 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; HASH_LENGTH]);

hex_text!(Hash);

/// Octets in a hash.
pub const HASH_LENGTH: usize = 32;

impl Hash {
    /// Of these octets.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        Self::made(digest(&SHA256, octets))
    }

    /// Of a leaf of the tree (RFC 9162, 2.1.1).
    #[must_use]
    pub fn of_leaf(content: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[0]);
        context.update(content);
        Self::made(context.finish())
    }

    fn of_node(left: Self, right: Self) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[1]);
        context.update(&left.0);
        context.update(&right.0);
        Self::made(context.finish())
    }

    fn made(digest: aws_lc_rs::digest::Digest) -> Self {
        Self::from_octets(digest.as_ref()).unwrap_or(Self([0; HASH_LENGTH]))
    }
}

/// A tree that grows leaf by leaf: all that is kept are the roots of its complete subtrees, at most one for each bit of
/// its size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrowingTree {
    size: u64,
    /// The largest first.
    subtrees: Vec<Hash>,
}

impl GrowingTree {
    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = Hash::of_node(left, hash);
            }
        }
        self.subtrees.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// The hash of all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        let smallest_first = self.subtrees.iter().rev().copied();
        smallest_first.reduce(|right, left| Hash::of_node(left, right)).unwrap_or_else(|| Hash::of(&[]))
    }
}

/// A tree of which every hash is known.
#[derive(Debug)]
pub struct WholeTree {
    /// The leaves, and above them what each pair makes; one that has no partner goes up as it is.
    levels: Vec<Vec<Hash>>,
}

impl WholeTree {
    /// The tree of these leaves.
    #[must_use]
    pub fn of(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|below| below.len() > 1) {
            let pairs = below.chunks(2).map(|pair| match pair {
                [left, right] => Hash::of_node(*left, *right),
                rest => rest.first().copied().unwrap_or(Hash([0; HASH_LENGTH])),
            });
            let above = pairs.collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The hash of all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        let top = self.levels.last().and_then(|top| top.first());
        top.copied().unwrap_or_else(|| Hash::of(&[]))
    }

    /// The hashes that lead from a leaf to the root (RFC 9162, 2.1.3.1), the nearest first. `None`: there is no such leaf.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<Vec<Hash>> {
        self.levels.first()?.get(index)?;
        let beside = |(height, level): (usize, &Vec<Hash>)| level.get((index >> height) ^ 1).copied();
        Some(self.levels.iter().enumerate().filter_map(beside).collect())
    }
}

/// The root to which a path leads from a leaf (RFC 9162, 2.1.3.2). `None`: no tree of that size has such a path.
#[must_use]
pub fn root_by_path(leaf: Hash, (index, size): (u64, u64), path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut place, mut last, mut root) = (index, size.saturating_sub(1), leaf);
    for hash in path {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            root = Hash::of_node(*hash, root);
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            root = Hash::of_node(root, *hash);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The leaves and roots that the tests of Certificate Transparency use.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let mut tree = GrowingTree::default();
        assert_eq!(
            tree.root().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let roots = leaves.map(|leaf| {
            tree.push(Hash::of_leaf(leaf));
            tree.root().to_string()
        });
        assert_eq!(roots[0], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(roots[1], "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
        assert_eq!(roots[2], "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77");
        assert_eq!(roots[7], "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    fn u64_of(count: usize) -> u64 {
        u64::try_from(count).expect("a number")
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|number| Hash::of_leaf(&number.to_be_bytes())).collect()
    }

    fn grown(leaves: &[Hash]) -> GrowingTree {
        let mut tree = GrowingTree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree
    }

    proptest! {
        #[test]
        fn every_leaf_has_a_path_to_the_root_and_no_other_has(count in 1_usize..200, index in 0_usize..200) {
            let leaves = leaves(count);
            let (tree, index) = (WholeTree::of(leaves.clone()), index % count);
            let (root, path) = (tree.root(), tree.path(index).expect("a leaf"));
            prop_assert_eq!(root, grown(&leaves).root());
            prop_assert_eq!(tree.path(count), None);
            let place = (u64_of(index), u64_of(count));
            prop_assert_eq!(root_by_path(leaves[index], place, &path), Some(root));
            prop_assert_ne!(root_by_path(Hash::of(b"another"), place, &path), Some(root));
            prop_assert_eq!(root_by_path(leaves[index], (place.1, place.1), &path), None);
            if let Some((_, shorter)) = path.split_last() {
                prop_assert_ne!(root_by_path(leaves[index], place, shorter), Some(root));
            }
            let longer = [path.as_slice(), &[root]].concat();
            prop_assert_eq!(root_by_path(leaves[index], place, &longer), None);
        }
    }

    #[test]
    fn hashes_are_read_as_they_are_written() {
        let hash = Hash::of(b"x");
        assert_eq!(Hash::from_hex(&hash.to_string()), Some(hash));
        for wrong in ["", "00", &"g".repeat(64), &"é".repeat(32), &"0".repeat(66)] {
            assert_eq!(Hash::from_hex(wrong), None, "{wrong}");
        }
    }
}
