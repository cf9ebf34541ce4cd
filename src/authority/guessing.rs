//! The arithmetic of guessing (spec 7.8.4), from the constants the server runs with: whoever changes one of
//! them has this fail.

use super::budget::{Budgets, Level, TOTAL_BUDGET};
use super::code::{CODE_DATA_BITS, CODE_DATA_SYMBOLS, CODE_SYMBOLS, Code, Mistyped};
use super::code_book::MAX_LIVE_CODES;
use proptest::prelude::*;

const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const HOURS_OF_A_YEAR: u64 = 24 * 365;

proptest! {
    #[test]
    fn eleven_symbols_are_free_and_the_twelfth_follows(
        free in prop::collection::vec(0usize..32, CODE_DATA_SYMBOLS),
    ) {
        // spec 7.8.3, 7.8.4: of all texts with these eleven symbols exactly one is a code, and it keeps them.
        let texts = ALPHABET.iter().map(|&check| {
            let data = free.iter().map(|&number| ALPHABET[number]);
            data.chain([check]).collect::<Vec<u8>>()
        });
        let (codes, others): (Vec<_>, Vec<_>) =
            texts.map(|text| (Code::parse(&text), text)).partition(|(code, _)| code.is_ok());
        prop_assert_eq!((codes.len(), others.len()), (1, 31));
        prop_assert!(others.iter().all(|(mistake, _)| *mistake == Err(Mistyped::Check)));
        let (code, text) = &codes[0];
        prop_assert_eq!(code.expect("parted so").to_text().replace('-', "").into_bytes(), text.clone());
    }

    #[test]
    fn every_55_bits_are_a_code_of_their_own(one in 0u64..1 << 55, other in 0u64..1 << 55) {
        let code = |data: u64| Code::from_first_bits((data << 9).to_be_bytes());
        prop_assert_eq!(one == other, code(one) == code(other));
        prop_assert_eq!(one == other, code(one).to_text() == code(other).to_text());
    }
}

#[test]
fn a_guess_succeeds_once_in_two_to_the_35_with_the_most_codes_alive() {
    // spec 7.8.4
    assert_eq!(CODE_SYMBOLS, CODE_DATA_SYMBOLS + 1);
    let space = 32u128.pow(CODE_DATA_SYMBOLS as u32);
    assert_eq!(space, 1 << CODE_DATA_BITS);
    assert_eq!(space, 1 << 55);
    assert_eq!(MAX_LIVE_CODES, 1 << 20);
    assert_eq!(space / u128::from(MAX_LIVE_CODES), 1 << 35);
}

#[test]
fn guessing_without_work_succeeds_once_in_more_than_6_000_years() {
    // spec 7.8.4
    let a_year = TOTAL_BUDGET.refill * HOURS_OF_A_YEAR;
    assert_eq!(a_year, 5_256_000);
    let guesses_for_one = (1u64 << CODE_DATA_BITS) / u64::from(MAX_LIVE_CODES);
    let years = guesses_for_one / a_year;
    assert!(years > 6_000, "{years} years");
    assert_eq!(years, 6_537);
}

#[test]
fn who_guesses_whenever_no_puzzle_is_asked_has_600_guesses_an_hour_and_1_000_before() {
    // spec 7.5.3, 7.8.4
    let hours = 24 * 7;
    let mut budgets = Budgets::new();
    let mut guesses = 0;
    for second in 0..hours * 3_600 {
        while budgets.level(second, None) < (Level::Puzzle { bits: 0 }) {
            budgets.fail(second, None);
            guesses += 1;
        }
    }
    assert!(guesses <= TOTAL_BUDGET.size + hours * TOTAL_BUDGET.refill, "{guesses} guesses");
    assert!(guesses >= hours * TOTAL_BUDGET.refill, "{guesses} guesses");
}
