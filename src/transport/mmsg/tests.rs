//! The safe parts, on bytes: the send loop, names, control messages.

use std::io::ErrorKind::{Interrupted, Other, WouldBlock};

use proptest::prelude::*;

use super::*;

/// Runs the send loop over scripted results; returns what it did and the indices it asked for.
fn run(total: usize, script: &[Result<usize, io::ErrorKind>]) -> ((usize, usize), Vec<usize>) {
    let (mut asked, mut script) = (Vec::new(), script.iter());
    let result = send_all(total, |from| {
        asked.push(from);
        script.next().expect("the loop asks no more often than scripted").map_err(io::Error::from)
    });
    (result, asked)
}

#[test]
fn a_batch_taken_whole_is_one_call() {
    assert_eq!(run(64, &[Ok(64)]), ((64, 0), vec![0]));
    assert_eq!(run(0, &[]), ((0, 0), vec![]));
}

#[test]
fn a_partial_send_goes_on_where_it_stopped() {
    assert_eq!(run(10, &[Ok(3), Ok(6), Ok(1)]), ((10, 0), vec![0, 3, 9]));
}

#[test]
fn a_message_with_an_error_is_skipped_and_the_rest_is_sent() {
    assert_eq!(run(5, &[Ok(2), Err(Other), Ok(2)]), ((4, 1), vec![0, 2, 3]));
}

#[test]
fn no_room_gives_up_the_rest() {
    assert_eq!(run(9, &[Ok(4), Err(WouldBlock)]), ((4, 5), vec![0, 4]));
}

#[test]
fn signals_repeat_the_call_but_not_for_ever() {
    assert_eq!(run(2, &[Err(Interrupted), Ok(2)]), ((2, 0), vec![0, 0]));
    let endless = vec![Err(Interrupted); MAX_INTERRUPTIONS + 1];
    assert_eq!(run(1, &endless).0, (0, 1));
}

#[test]
fn a_kernel_that_takes_nothing_ends_the_loop() {
    assert_eq!(run(2, &[Ok(0), Ok(0)]).0, (0, 2));
}

proptest! {
    #[test]
    fn every_message_is_asked_for_once_and_accounted_for(
        total in 0usize..=64,
        script in proptest::collection::vec((0usize..80, 0u8..4), 200),
    ) {
        let (mut script, mut last) = (script.into_iter(), 0);
        let (sent, failed) = send_all(total, |from| {
            assert!(from < total && from >= last);
            last = from;
            match script.next() {
                Some((count, 0 | 1)) => Ok(count),
                Some((_, 2)) => Err(Interrupted.into()),
                _ => Err(Other.into()),
            }
        });
        prop_assert_eq!(sent + failed, total);
    }

    #[test]
    fn a_message_is_cut_into_all_of_its_datagrams_in_order(
        bytes in proptest::collection::vec(any::<u8>(), 0..5000),
        car in 1usize..6000,
    ) {
        let cars: Vec<&[u8]> = Datagrams { rest: Some(&bytes), car }.collect();
        prop_assert_eq!(cars.concat(), bytes.clone());
        prop_assert_eq!(cars.len(), bytes.len().div_ceil(car).max(1));
        prop_assert!(cars.iter().rev().skip(1).all(|one| one.len() == car));
    }

    #[test]
    fn answers_form_trains_that_the_kernel_cuts_where_they_end(
        answers in proptest::collection::vec((0u8..3, prop_oneof![Just(96u16), Just(64), Just(1232)]), 1..64),
        cars_max in 1usize..=CARS_MAX,
    ) {
        let queued: Vec<Queued> =
            answers.iter().map(|&(message, length)| Queued { lane: 0, message, length }).collect();
        let mut rest = &queued[..];
        while !rest.is_empty() {
            let cars = train(rest, cars_max);
            let (now, after) = rest.split_at(cars);
            prop_assert!((1..=cars_max).contains(&cars));
            prop_assert!(now.iter().all(|q| q.message == now[0].message));
            prop_assert!(now[..cars - 1].iter().all(|q| q.length == now[0].length));
            prop_assert!(now[cars - 1].length <= now[0].length);
            let bytes: usize = now.iter().map(|q| usize::from(q.length)).sum();
            prop_assert!(cars == 1 || bytes <= TRAIN_BYTES);
            rest = after;
        }
    }
}

#[test]
fn a_train_takes_all_that_fit_it() {
    let of = |lengths: &[u16]| -> Vec<Queued> {
        lengths.iter().map(|&length| Queued { lane: 0, message: 1, length }).collect()
    };
    assert_eq!(train(&of(&[96; 64]), CARS_MAX), 64);
    assert_eq!(train(&of(&[96, 96, 64, 96]), CARS_MAX), 3, "a shorter one is the last");
    assert_eq!(train(&of(&[64, 96]), CARS_MAX), 1, "a longer one begins another");
    assert_eq!(train(&of(&[1232; 64]), CARS_MAX), TRAIN_BYTES / 1232);
    assert_eq!(train(&of(&[0; 64]), CARS_MAX), 64);
    assert_eq!(train(&[], CARS_MAX), 0);
}
