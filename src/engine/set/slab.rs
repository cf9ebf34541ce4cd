//! A long list that grows without moving what is in it, so that it can lie on huge pages.

use std::ops::{Index, IndexMut};

use crate::store::on_huge_pages;

/// Items of a run, as a power of two.
const RUN_BITS: u32 = 17;
const RUN: usize = 1 << RUN_BITS;

/// Items by number, in runs of [`RUN`], all but the last of them full.
#[derive(Debug, Clone)]
pub(super) struct Slab<T> {
    runs: Vec<Vec<T>>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { runs: vec![Vec::new()] }
    }
}

impl<T> Slab<T> {
    pub(super) fn len(&self) -> usize {
        (self.runs.len() - 1) * RUN + self.last().len()
    }

    pub(super) fn push(&mut self, item: T) {
        if self.last().len() == RUN {
            let run = Vec::with_capacity(RUN);
            on_huge_pages(&run);
            self.runs.push(run);
        }
        let last = self.runs.last_mut().expect("there is always a run");
        last.push(item);
    }

    /// All items in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.runs.iter().flatten()
    }

    /// The runs, in the order of the numbers.
    pub(super) fn runs(&self) -> &[Vec<T>] {
        &self.runs
    }

    fn last(&self) -> &Vec<T> {
        self.runs.last().expect("there is always a run")
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: u32) -> &T {
        &self.runs[(at >> RUN_BITS) as usize][at as usize & (RUN - 1)]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.runs[(at >> RUN_BITS) as usize][at as usize & (RUN - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_has_the_number_of_its_turn() {
        let mut slab = Slab::default();
        for n in 0..2 * RUN as u32 + 5 {
            assert_eq!(slab.len(), n as usize);
            slab.push(n);
        }
        slab[RUN as u32] += 1;
        let expected = |n: u32| n + u32::from(n == RUN as u32);
        for n in [0, 1, RUN as u32 - 1, RUN as u32, RUN as u32 + 1, 2 * RUN as u32 + 4] {
            assert_eq!(slab[n], expected(n));
        }
        assert!(slab.iter().copied().eq((0..2 * RUN as u32 + 5).map(expected)));
    }
}
