//! A code: the single-use number on paper or in a message with which a provider lets one person report.
//!
//! Twelve symbols of Crockford's base 32, the last of them a check symbol over GF(32), so that a slip of the
//! pen is told from a guess: a mistyped code costs no budget and its owner hears what is wrong. A code is a
//! secret until it is spent: it has no `Display`, its `Debug` shows nothing, and its text is asked for by
//! name. Which codes exist is the code book's business.

use std::fmt;

/// Symbols of a code (spec 7.8.2).
pub const CODE_SYMBOLS: usize = 12;
/// Symbols of a code that are data; the last one is the check symbol (spec 7.8.3).
pub const CODE_DATA_SYMBOLS: usize = CODE_SYMBOLS - 1;
/// Bits of a symbol.
const SYMBOL_BITS: u32 = 5;
/// Bits of a code's data (spec 7.8.4).
pub const CODE_DATA_BITS: u32 = CODE_DATA_SYMBOLS as u32 * SYMBOL_BITS;
/// Fewest characters of a code as it was typed (spec 7.8.2).
pub const MIN_TYPED: usize = 8;
/// Most characters of a code as it was typed (spec 7.8.2).
pub const MAX_TYPED: usize = 24;

/// The symbols in the order of their numbers.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols between two hyphens.
const GROUP: usize = 4;
/// Characters of a code's text.
const TEXT_LEN: usize = CODE_SYMBOLS + CODE_SYMBOLS / GROUP - 1;
/// The polynomial x⁵ + x² + 1 of the field.
const POLYNOMIAL: u8 = 0b10_0101;
/// The αⁱ repeat after so many.
const ORDER: usize = 31;

const _: () = assert!(ALPHABET.len() == 1 << SYMBOL_BITS && POLYNOMIAL >> SYMBOL_BITS == 1);
const _: () =
    assert!(CODE_SYMBOLS.is_multiple_of(GROUP) && MIN_TYPED <= CODE_SYMBOLS && TEXT_LEN <= MAX_TYPED);
const _: () = assert!(CODE_DATA_BITS < u64::BITS);
// Every single error and every exchange is seen because the αⁱ of the symbols differ and none is zero.
const _: () = {
    assert!(CODE_SYMBOLS <= ORDER);
    let mut i = 1;
    while i < ORDER {
        assert!(times_alpha_to(1, i) != 1 && times_alpha_to(1, i) != 0);
        i += 1;
    }
    assert!(times_alpha_to(1, ORDER) == 1);
};

/// What is wrong with a code as it was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mistyped {
    /// So many characters cannot be a code.
    #[error(
        "{got} characters were typed: a code has {CODE_SYMBOLS} symbols, with blanks and hyphens {MIN_TYPED} to {MAX_TYPED} characters"
    )]
    Typed {
        /// Characters typed, blanks and hyphens included.
        got: usize,
    },
    /// A character that stands in no code.
    #[error("character {place} is '{}': a code has digits and letters only, and no U", found.escape_ascii())]
    Symbol {
        /// Which character of what was typed, from 1.
        place: usize,
        /// The character.
        found: u8,
    },
    /// Symbols are missing, or there are too many.
    #[error("{got} symbols were typed: a code has {CODE_SYMBOLS}")]
    Length {
        /// Symbols typed, without blanks and hyphens.
        got: usize,
    },
    /// A symbol is wrong, or two are exchanged.
    #[error("the check symbol does not fit: a symbol is wrong, or two are exchanged")]
    Check,
}

/// A well-formed code, by its 55 bits of data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(u64);

impl Code {
    /// The code whose data are the first 55 bits of `bytes`, most significant bit first (spec 7.8.4).
    pub const fn from_first_bits(bytes: [u8; 8]) -> Code {
        Code(u64::from_be_bytes(bytes) >> (u64::BITS - CODE_DATA_BITS))
    }

    /// Reads a code as a person typed it: ASCII of any case, look-alikes, blanks and hyphens (spec 7.8.2).
    ///
    /// # Errors
    /// What the person should look at. Only the form is judged: a code that was never issued reads well.
    pub fn parse(text: &[u8]) -> Result<Code, Mistyped> {
        if !(MIN_TYPED..=MAX_TYPED).contains(&text.len()) {
            return Err(Mistyped::Typed { got: text.len() });
        }
        let mut symbols = [0; CODE_SYMBOLS];
        let mut got = 0;
        for (at, &found) in text.iter().enumerate().filter(|(_, byte)| !matches!(byte, b' ' | b'\t' | b'-')) {
            let symbol = symbol_of(found).ok_or(Mistyped::Symbol { place: at + 1, found })?;
            if let Some(slot) = symbols.get_mut(got) {
                *slot = symbol;
            }
            got += 1;
        }
        if got != CODE_SYMBOLS {
            return Err(Mistyped::Length { got });
        }
        if weighted_sum(&symbols) != 0 {
            return Err(Mistyped::Check);
        }
        let data = &symbols[..CODE_DATA_SYMBOLS];
        Ok(Code(data.iter().fold(0, |data, &symbol| data << SYMBOL_BITS | u64::from(symbol))))
    }

    /// The code as it is printed: `XXXX-XXXX-XXXX`. Whoever has this text can report.
    pub fn to_text(self) -> String {
        let mut text = String::with_capacity(TEXT_LEN);
        for (i, &symbol) in self.symbols().iter().enumerate() {
            if i > 0 && i % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(symbol)]));
        }
        text
    }

    /// The numbers of the symbols d₀…d₁₁ (spec 7.8.3).
    fn symbols(self) -> [u8; CODE_SYMBOLS] {
        let mut symbols = [0; CODE_SYMBOLS];
        let mut rest = self.0;
        for symbol in symbols[..CODE_DATA_SYMBOLS].iter_mut().rev() {
            *symbol = (rest & 31) as u8;
            rest >>= SYMBOL_BITS;
        }
        // Σ + α¹¹·d₁₁ = 0, so that d₁₁ = Σ / α¹¹ = Σ · α³¹⁻¹¹.
        symbols[CODE_DATA_SYMBOLS] = times_alpha_to(weighted_sum(&symbols), ORDER - CODE_DATA_SYMBOLS);
        symbols
    }
}

// no-trace: a code that meets a log line, a panic or an assertion leaves nothing there.
impl fmt::Debug for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Code(…)")
    }
}

/// The number of a symbol: either case, `O` for `0`, `I` and `L` for `1` (spec 7.8.2).
fn symbol_of(typed: u8) -> Option<u8> {
    let capital = match typed.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    (0u8..).zip(ALPHABET).find(|&(_, &letter)| letter == capital).map(|(number, _)| number)
}

/// `Σ αⁱ·dᵢ` over GF(32) (spec 7.8.3), by Horner's rule.
fn weighted_sum(symbols: &[u8; CODE_SYMBOLS]) -> u8 {
    symbols.iter().rev().fold(0, |sum, &symbol| times_alpha_to(sum, 1) ^ symbol)
}

/// `element · αⁿ` in GF(32).
const fn times_alpha_to(element: u8, n: usize) -> u8 {
    let mut product = element;
    let mut i = 0;
    while i < n {
        product <<= 1;
        if product >> SYMBOL_BITS == 1 {
            product ^= POLYNOMIAL;
        }
        i += 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codes() -> impl Strategy<Value = Code> {
        any::<[u8; 8]>().prop_map(Code::from_first_bits)
    }

    /// The twelve characters of a code, without hyphens.
    fn typed(code: Code) -> Vec<u8> {
        code.to_text().into_bytes().into_iter().filter(|&byte| byte != b'-').collect()
    }

    #[test]
    fn a_code_is_printed_with_the_check_symbol_of_the_specification() {
        // spec 7.8.3: the check symbols were found by trying all 32 with tables of logarithms.
        assert_eq!(Code(0).to_text(), "0000-0000-0000");
        assert_eq!(Code(1).to_text(), "0000-0000-001J");
        assert_eq!(Code((1 << CODE_DATA_BITS) - 1).to_text(), "ZZZZ-ZZZZ-ZZZ5");
        assert_eq!(Code(0x0001_2345_6789_ABCD).to_text(), "0938-NKRK-AYDX");
    }

    #[test]
    fn every_error_of_one_symbol_and_every_exchange_leaves_a_sum() {
        // spec 7.8.3: the sum is linear, so that errors alone decide; all of them, on the code of zeros
        let mut seen = 0;
        for at in 0..CODE_SYMBOLS {
            for wrong in 1..32 {
                let mut symbols = [0; CODE_SYMBOLS];
                symbols[at] = wrong;
                assert_ne!(weighted_sum(&symbols), 0, "{wrong} at {at}");
                for other in at + 1..CODE_SYMBOLS {
                    let mut exchanged = symbols;
                    exchanged[other] = wrong;
                    assert_ne!(weighted_sum(&exchanged), 0, "difference {wrong} between {at} and {other}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 31 * CODE_SYMBOLS * (CODE_SYMBOLS - 1) / 2);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let told = |text: &str| Code::parse(text.as_bytes()).expect_err(text);
        assert_eq!(told("0000000"), Mistyped::Typed { got: 7 });
        assert_eq!(told("0000-0000-0000-0000-00000"), Mistyped::Typed { got: 25 });
        assert_eq!(told("00000000"), Mistyped::Length { got: 8 });
        assert_eq!(told("0000-0000-000"), Mistyped::Length { got: 11 });
        assert_eq!(told("000000000000000000000000"), Mistyped::Length { got: 24 });
        assert_eq!(told("            "), Mistyped::Length { got: 0 });
        assert_eq!(told("0000-U000-0000"), Mistyped::Symbol { place: 6, found: b'U' });
        assert_eq!(told("0000-0000-000u"), Mistyped::Symbol { place: 14, found: b'u' });
        assert_eq!(told("0000+0000+0000"), Mistyped::Symbol { place: 5, found: b'+' });
        assert_eq!(told("0000 0000 0001"), Mistyped::Check);
        assert_eq!(
            Code::parse(b"0000\xff00000000").expect_err("not ASCII").to_string(),
            "character 5 is '\\xff': a code has digits and letters only, and no U"
        );
        assert!(told("0000-U000-0000").to_string().starts_with("character 6 is 'U'"));
    }

    #[test]
    fn a_code_leaves_nothing_in_a_log_line() {
        assert_eq!(format!("{:?}", Code::from_first_bits([0xA5; 8])), "Code(…)");
    }

    proptest! {
        #[test]
        fn a_code_reads_as_it_is_printed(code in codes()) {
            let text = code.to_text();
            prop_assert_eq!(text.len(), TEXT_LEN);
            prop_assert_eq!(Code::parse(text.as_bytes()), Ok(code));
            prop_assert_eq!(Code::parse(&typed(code)), Ok(code));
            prop_assert_eq!(Code::parse(text.to_lowercase().replace('-', " ").as_bytes()), Ok(code));
        }

        #[test]
        fn look_alikes_are_read_as_what_they_look_like(code in codes(), picks in any::<[u8; 12]>()) {
            let mut text = typed(code);
            for (byte, pick) in text.iter_mut().zip(picks) {
                let alike: &[u8] = match byte { b'0' => b"0Oo", b'1' => b"1IiLl", _ => continue };
                *byte = alike[usize::from(pick) % alike.len()];
            }
            prop_assert_eq!(Code::parse(&text), Ok(code));
        }

        #[test]
        fn blanks_and_hyphens_mean_nothing(
            code in codes(),
            places in prop::collection::vec((0usize..=12, 0usize..3), 0..=12),
        ) {
            let mut text = typed(code);
            for (place, filler) in places {
                text.insert(place, b" -\t"[filler]);
            }
            prop_assert_eq!(Code::parse(&text), Ok(code));
        }

        #[test]
        fn every_wrong_symbol_is_recognised(code in codes()) {
            let right = typed(code);
            for at in 0..CODE_SYMBOLS {
                for &symbol in ALPHABET.iter().filter(|&&symbol| symbol != right[at]) {
                    let mut wrong = right.clone();
                    wrong[at] = symbol;
                    prop_assert_eq!(Code::parse(&wrong), Err(Mistyped::Check));
                }
            }
        }

        #[test]
        fn every_exchange_of_two_different_symbols_is_recognised(code in codes()) {
            let right = typed(code);
            for (a, b) in (0..CODE_SYMBOLS).flat_map(|a| (a + 1..CODE_SYMBOLS).map(move |b| (a, b))) {
                let mut wrong = right.clone();
                wrong.swap(a, b);
                let same = right[a] == right[b];
                prop_assert_eq!(Code::parse(&wrong), if same { Ok(code) } else { Err(Mistyped::Check) });
            }
        }

        #[test]
        fn bytes_from_strangers_read_as_a_code_or_as_a_mistake(
            text in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Ok(code) = Code::parse(&text) {
                prop_assert_eq!(Code::parse(code.to_text().as_bytes()), Ok(code));
            }
        }

        #[test]
        fn only_the_first_55_bits_are_data(mut bytes: [u8; 8]) {
            let code = Code::from_first_bits(bytes);
            bytes[6] ^= 1;
            bytes[7] = !bytes[7];
            prop_assert_eq!(Code::from_first_bits(bytes), code);
            bytes[6] ^= 2;
            prop_assert_ne!(Code::from_first_bits(bytes), code);
        }
    }
}
