//! A list that nearly always holds one item: one lies in place, several on the heap.

use std::ops::{Deref, DerefMut};

/// None, one or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    Several(Vec<T>),
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, item: T) {
        match self {
            Few::None => *self = Few::One(item),
            Few::Several(items) => items.push(item),
            Few::One(_) => {
                if let Few::One(first) = std::mem::take(self) {
                    *self = Few::Several(vec![first, item]);
                }
            }
        }
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        match self {
            Few::None => {}
            Few::One(item) if keep(item) => {}
            Few::One(_) => *self = Few::None,
            Few::Several(items) => items.retain(keep),
        }
    }

    /// Makes the item at `at`, which there is, the last.
    pub(crate) fn move_last(&mut self, at: usize) {
        self[at..].rotate_left(1);
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(item) => std::slice::from_ref(item),
            Few::Several(items) => items,
        }
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Few::None => &mut [],
            Few::One(item) => std::slice::from_mut(item),
            Few::Several(items) => items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_list_it_stands_for() {
        let (mut few, mut list) = (Few::default(), Vec::new());
        for step in 0..200_u32 {
            match step.wrapping_mul(2_654_435_761) >> 29 {
                0..4 => {
                    few.push(step);
                    list.push(step);
                }
                4 | 5 if !list.is_empty() => {
                    let at = step as usize % list.len();
                    few.move_last(at);
                    let item = list.remove(at);
                    list.push(item);
                }
                _ => {
                    few.retain(|item| item % 3 == step % 3);
                    list.retain(|item| item % 3 == step % 3);
                }
            }
            assert_eq!(few[..], list[..], "after step {step}");
        }
    }
}
