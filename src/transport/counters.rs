//! How a transport counts: relaxed atomics that one side adds to and any side reads.
//!
//! A declaration makes two structs of the same fields: the live one, shared through an
//! `Arc`, and the plain one, a reading of it. No totals are kept here and no metric is
//! named here; `node` collects.

/// Declares a struct of live counters and its plain twin.
macro_rules! counters {
    ($(#[$live_attr:meta])* $vis:vis $live:ident, $(#[$plain_attr:meta])* $plain:ident {
        $($(#[$doc:meta])* $field:ident,)+
    }) => {
        $(#[$live_attr])*
        #[derive(Debug, Default)]
        #[repr(align(128))]
        $vis struct $live {
            $($(#[$doc])* $vis $field: std::sync::atomic::AtomicU64,)+
        }

        $(#[$plain_attr])*
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        $vis struct $plain {
            $($(#[$doc])* $vis $field: u64,)+
        }

        impl $live {
            /// Reads every counter. Each is exact, the whole is not one instant.
            $vis fn snapshot(&self) -> $plain {
                $plain { $($field: self.$field.load(std::sync::atomic::Ordering::Relaxed),)+ }
            }

            /// Adds what one batch or one event came to. Of what is 0 where it is called nothing is left.
            #[inline(always)]
            pub(super) fn add(&self, amounts: &$plain) {
                $(if amounts.$field != 0 {
                    self.$field.fetch_add(amounts.$field, std::sync::atomic::Ordering::Relaxed);
                })+
            }
        }

        impl $plain {
            /// Every counter with its name, in the order of declaration.
            $vis fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)+].into_iter()
            }
        }

        impl std::ops::AddAssign for $plain {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)+
            }
        }
    };
}

pub(super) use counters;

#[cfg(test)]
mod tests {
    counters! {
        /// Two counters.
        Live,
        /// Their reading.
        Plain {
            /// First.
            left,
            /// Second.
            right,
        }
    }

    #[test]
    fn a_reading_is_the_sum_of_what_was_added() {
        let live = Live::default();
        live.add(&Plain { left: 2, right: 0 });
        live.add(&Plain { left: 3, right: 7 });
        let mut total = live.snapshot();
        assert_eq!(total, Plain { left: 5, right: 7 });
        total += Plain { left: 1, right: 1 };
        assert_eq!(total.named().collect::<Vec<_>>(), [("left", 6), ("right", 8)]);
    }
}
