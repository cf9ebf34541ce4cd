//! A long list that grows without moving what is in it, so that it can lie on huge pages.

use std::ops::{Index, IndexMut};

use crate::store::Pages;

/// Items by number, in runs of 2^`RUN_BITS`, all but the last of them full.
#[derive(Debug, Clone)]
pub(crate) struct Slab<T, const RUN_BITS: u32 = 17> {
    runs: Vec<Vec<T>>,
    pages: Pages,
}

impl<T, const RUN_BITS: u32> Default for Slab<T, RUN_BITS> {
    fn default() -> Self {
        Slab { runs: vec![Vec::new()], pages: Pages::default() }
    }
}

impl<T, const RUN_BITS: u32> Slab<T, RUN_BITS> {
    const RUN: usize = 1 << RUN_BITS;

    pub(super) fn len(&self) -> usize {
        (self.runs.len() - 1) * Self::RUN + self.last().len()
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.last().len() == Self::RUN {
            let run = Vec::with_capacity(Self::RUN);
            self.pages.under(&run);
            self.runs.push(run);
        }
        let last = self.runs.last_mut().expect("there is always a run");
        if last.len() == last.capacity() {
            // What a run holds moves only while it is little.
            let few = last.len() < Self::RUN / 16;
            last.reserve_exact(if few { last.len().max(4) } else { Self::RUN - last.len() });
            self.pages.under(last);
        }
        last.push(item);
    }

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        self.runs.get((at >> RUN_BITS) as usize)?.get(at as usize & (Self::RUN - 1))
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.runs.get_mut((at >> RUN_BITS) as usize)?.get_mut(at as usize & (Self::RUN - 1))
    }

    /// Takes an item out; the last one gets its number.
    pub(super) fn swap_remove(&mut self, at: u32) {
        if self.last().is_empty() {
            self.runs.pop();
        }
        let item = self.runs.last_mut().and_then(Vec::pop).expect("an item has that number");
        match self.get_mut(at) {
            Some(place) => *place = item,
            None => assert_eq!(at as usize, self.len(), "an item has that number"),
        }
    }

    /// Takes out the items from this number on, and gives back the memory of the runs that they had.
    pub(super) fn truncate(&mut self, len: usize) {
        let before = (len.max(1) - 1) / Self::RUN;
        self.runs.truncate(before + 1);
        if let Some(last) = self.runs.get_mut(before) {
            last.truncate(len - before * Self::RUN);
        }
    }

    /// Memory for what comes from here on is taken in such pages.
    pub(super) fn grow_in(&mut self, pages: Pages) {
        self.pages = pages;
        pages.under(self.last());
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

impl<T, const RUN_BITS: u32> IntoIterator for Slab<T, RUN_BITS> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Vec<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.runs.into_iter().flatten()
    }
}

impl<T, const RUN_BITS: u32> Index<u32> for Slab<T, RUN_BITS> {
    type Output = T;

    #[inline]
    fn index(&self, at: u32) -> &T {
        &self.runs[(at >> RUN_BITS) as usize][at as usize & (Self::RUN - 1)]
    }
}

impl<T, const RUN_BITS: u32> IndexMut<u32> for Slab<T, RUN_BITS> {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.runs[(at >> RUN_BITS) as usize][at as usize & (Self::RUN - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u32 = 1 << 4;

    #[test]
    fn an_item_has_the_number_of_its_turn() {
        let mut slab = Slab::<u32, 4>::default();
        for n in 0..2 * RUN + 5 {
            assert_eq!(slab.len(), n as usize);
            slab.push(n);
        }
        slab[RUN] += 1;
        let expected = |n: u32| n + u32::from(n == RUN);
        for n in [0, 1, RUN - 1, RUN, RUN + 1, 2 * RUN + 4] {
            assert_eq!(slab[n], expected(n));
        }
        assert!(slab.iter().copied().eq((0..2 * RUN + 5).map(expected)));
    }

    #[test]
    fn it_does_what_a_list_does() {
        let (mut slab, mut list) = (Slab::<u32, 3>::default(), Vec::new());
        for step in 0..4000_u32 {
            let die = step.wrapping_mul(2_654_435_761) >> 16;
            match die % 8 {
                0 if step % 97 == 0 => {
                    let len = die as usize % (list.len() + 1);
                    slab.truncate(len);
                    list.truncate(len);
                }
                0..=2 if !list.is_empty() => {
                    let at = die as usize / 8 % list.len();
                    slab.swap_remove(at as u32);
                    list.swap_remove(at);
                }
                _ => {
                    slab.push(step);
                    list.push(step);
                }
            }
            assert!(slab.iter().eq(&list), "step {step}");
            assert_eq!(slab.len(), list.len());
            let end = list.len() as u32;
            assert_eq!(slab.get(end), None);
            assert_eq!(slab.get_mut(end), None);
            assert_eq!(slab.get(end.wrapping_sub(1)), list.last());
        }
        assert!(list.len() > 64, "it has many runs at the end");
        assert!(slab.into_iter().eq(list));
    }
}
