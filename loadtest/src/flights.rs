//! Questions that are out: when they were due, when they left, which of them are lost.
//!
//! Pure and bounded: a ring of [`CAPACITY`] places, numbered as the questions are. Questions leave in order,
//! so the oldest place is the first to time out.

use std::time::Duration;

use crate::pace::{MAX_RATE, MAX_WINDOW};

/// Questions out at once, at most.
pub const CAPACITY: usize = 1 << 20;

// bounded: at the highest rate the ring holds a second and more of questions.
const _: () = assert!(CAPACITY.is_power_of_two() && CAPACITY as u64 >= MAX_RATE);
const _: () = assert!(CAPACITY >= MAX_WINDOW as usize);

#[derive(Debug, Clone, Copy)]
struct Flight {
    due: Duration,
    left: Duration,
    open: bool,
}

const GROUNDED: Flight = Flight { due: Duration::ZERO, left: Duration::ZERO, open: false };

/// The questions that are out.
#[derive(Debug)]
pub struct Flights {
    ring: Box<[Flight]>,
    /// All before it are answered or lost.
    oldest: u64,
    next: u64,
    open: u64,
}

impl Default for Flights {
    fn default() -> Self {
        Flights { ring: vec![GROUNDED; CAPACITY].into_boxed_slice(), oldest: 0, next: 0, open: 0 }
    }
}

impl Flights {
    /// The number that the next question gets; also how many have left.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many are out.
    pub fn open(&self) -> u64 {
        self.open
    }

    /// How many left since the oldest that is out, it included.
    pub fn span(&self) -> u64 {
        self.next - self.oldest
    }

    /// How many more the ring has room for.
    pub fn room(&self) -> u64 {
        CAPACITY as u64 - self.span()
    }

    /// The next question, due at `due`, left at `left`.
    ///
    /// # Panics
    /// If there is no room.
    pub fn leave(&mut self, due: Duration, left: Duration) {
        assert!(self.room() > 0, "the caller asks for room before it sends");
        *self.place(self.next) = Flight { due, left, open: true };
        self.next += 1;
        self.open += 1;
    }

    /// Whether question `seq` is out.
    pub fn is_open(&self, seq: u64) -> bool {
        (self.oldest..self.next).contains(&seq) && self.ring[index(seq)].open
    }

    /// The answer to `seq` is here: when it was due, if it was out.
    pub fn land(&mut self, seq: u64) -> Option<Duration> {
        if !self.is_open(seq) {
            return None;
        }
        let place = self.place(seq);
        place.open = false;
        let due = place.due;
        self.open -= 1;
        self.pass_landed();
        Some(due)
    }

    /// Gives up every question that left `patience` or longer before `now`; returns how many.
    pub fn give_up(&mut self, now: Duration, patience: Duration) -> u64 {
        let mut lost = 0;
        while self.oldest < self.next && self.ring[index(self.oldest)].left + patience <= now {
            let place = self.place(self.oldest);
            lost += u64::from(std::mem::take(&mut place.open));
            self.oldest += 1;
        }
        self.open -= lost;
        self.pass_landed();
        lost
    }

    /// When the oldest question that is out will have been out for `patience`.
    pub fn next_given_up(&self, patience: Duration) -> Option<Duration> {
        (self.open > 0).then(|| self.ring[index(self.oldest)].left + patience)
    }

    fn pass_landed(&mut self) {
        while self.oldest < self.next && !self.ring[index(self.oldest)].open {
            self.oldest += 1;
        }
    }

    fn place(&mut self, seq: u64) -> &mut Flight {
        &mut self.ring[index(seq)]
    }
}

fn index(seq: u64) -> usize {
    (seq & (CAPACITY as u64 - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn three() -> Flights {
        let mut flights = Flights::default();
        for n in 0..3 {
            flights.leave(ms(n), ms(10 * n));
        }
        flights
    }

    #[test]
    fn an_answer_lands_once_and_gives_the_moment_it_was_due() {
        let mut flights = three();
        assert_eq!(flights.land(1), Some(ms(1)));
        assert_eq!(flights.land(1), None, "a second answer");
        assert_eq!(flights.land(3), None, "never asked");
        assert_eq!((flights.open(), flights.next()), (2, 3));
    }

    #[test]
    fn what_is_late_is_lost_and_never_lands() {
        let mut flights = three();
        flights.land(1);
        assert_eq!(flights.next_given_up(ms(100)), Some(ms(100)));
        assert_eq!(flights.give_up(ms(99), ms(100)), 0);
        assert_eq!(flights.give_up(ms(115), ms(100)), 1, "the first; the second has landed");
        assert_eq!(flights.land(0), None);
        assert_eq!(flights.next_given_up(ms(100)), Some(ms(120)));
        assert_eq!(flights.give_up(ms(120), ms(100)), 1);
        assert_eq!((flights.open(), flights.next_given_up(ms(100))), (0, None));
        assert_eq!(flights.room(), CAPACITY as u64);
    }

    #[test]
    fn the_ring_is_bounded_and_its_places_are_used_again() {
        let mut flights = Flights::default();
        for seq in 0..CAPACITY as u64 {
            flights.leave(ms(seq), ms(seq));
        }
        assert_eq!(flights.room(), 0);
        assert!(flights.land(0).is_some());
        assert_eq!(flights.room(), 1);
        flights.leave(ms(7), ms(7));
        assert!(!flights.is_open(0) && flights.is_open(CAPACITY as u64));
        assert_eq!(flights.land(CAPACITY as u64), Some(ms(7)));
    }
}
