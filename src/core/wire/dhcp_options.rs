//! The options of a DHCP datagram as codes and bytes: a checked walk of our own, for the server's side and the client's.
//!
//! `dhcproto` stops without a word at the first option it cannot read, keeps only the last of several options with
//! one code, and does not know option overload. So the walk is done here, and whole, well-formed values are
//! handed to it afterwards (see `docs/adr/0004-dhcproto-under-our-own-option-walk.md`).

use std::collections::BTreeMap;

const PAD: u8 = 0;
const OVERLOAD: u8 = 52;
const END: u8 = 255;

/// Options by code. The parts of an option that came in several pieces are joined in the order in which RFC 3396
/// section 7 reads them: the options field, then `file`, then `sname`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<u8, Vec<u8>>);

/// Bytes that are no list of options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    #[error("option {code} in {field} at byte {at} says {length} bytes, {left} are left")]
    Truncated { field: &'static str, code: u8, at: usize, length: usize, left: usize },
    #[error("option {code} in {field} at byte {at} has no length")]
    NoLength { field: &'static str, code: u8, at: usize },
    #[error("option overload says {found}, expected 1, 2 or 3 in one byte")]
    BadOverload { found: String },
}

impl Options {
    /// Walks the options field and, where option 52 says that they hold options too (RFC 2132 section 9.3),
    /// the header's `file` and `sname`.
    ///
    /// A field without an end mark is accepted, as every client does; an option that reaches past its field is
    /// not: what follows it would be read out of step. The size of the datagram bounds the work and the memory.
    pub fn parse(options: &[u8], file: &[u8], sname: &[u8]) -> Result<(Self, Overload), OptionsError> {
        let mut found = Self::default();
        found.walk(options, "options")?;
        let overload = match found.0.remove(&OVERLOAD).as_deref() {
            None => Overload { file: false, sname: false },
            Some(&[bits @ 1..=3]) => Overload { file: bits & 1 != 0, sname: bits & 2 != 0 },
            Some(other) => {
                return Err(OptionsError::BadOverload { found: hex::encode(&other[..other.len().min(8)]) });
            }
        };
        if overload.file {
            found.walk(file, "file")?;
        }
        if overload.sname {
            found.walk(sname, "sname")?;
        }
        // An overload inside an overloaded field means nothing.
        found.0.remove(&OVERLOAD);
        Ok((found, overload))
    }

    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.get(&code).map(Vec::as_slice)
    }

    fn walk(&mut self, bytes: &[u8], field: &'static str) -> Result<(), OptionsError> {
        let mut at = 0;
        while let Some(&code) = bytes.get(at) {
            match code {
                PAD => at += 1,
                END => return Ok(()),
                code => {
                    let Some(&length) = bytes.get(at + 1) else {
                        return Err(OptionsError::NoLength { field, code, at });
                    };
                    let (start, length) = (at + 2, usize::from(length));
                    let Some(value) = bytes.get(start..start + length) else {
                        return Err(OptionsError::Truncated {
                            field,
                            code,
                            at,
                            length,
                            left: bytes.len() - start,
                        });
                    };
                    self.0.entry(code).or_default().extend_from_slice(value);
                    at = start + length;
                }
            }
        }
        Ok(())
    }
}

/// Which header fields held options and therefore hold no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overload {
    pub file: bool,
    pub sname: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    use super::{Options, OptionsError};

    fn parse(options: &[u8]) -> Result<Options, OptionsError> {
        Options::parse(options, &[0; 128], &[0; 64]).map(|(options, _)| options)
    }

    #[test]
    fn parts_of_an_option_are_joined_across_others_and_across_fields() {
        let options = [52, 1, 3, 77, 2, b'i', b'P', 12, 1, b'h', 77, 1, b'X', 255, 77, 1, b'!'];
        let file = [77, 1, b'E', 255];
        let sname = [0, 77, 1, b'2', 52, 1, 1, 255];
        let (options, overload) = Options::parse(&options, &file, &sname).expect("well formed");
        assert_eq!(options.get(77), Some(b"iPXE2".as_slice()));
        assert_eq!(options.get(12), Some(b"h".as_slice()));
        assert_eq!(options.get(52), None);
        assert!(overload.file && overload.sname);
    }

    #[test]
    fn what_is_malformed_is_named_with_its_place() {
        let table: [(&[u8], &str); 4] = [
            (&[53, 1, 1, 93, 9, 0], "option 93 in options at byte 3 says 9 bytes, 1 are left"),
            (&[0, 0, 60], "option 60 in options at byte 2 has no length"),
            (&[52, 1, 4, 255], "option overload says 04, expected 1, 2 or 3 in one byte"),
            (&[52, 0, 255], "option overload says , expected 1, 2 or 3 in one byte"),
        ];
        for (bytes, expect) in table {
            assert_eq!(parse(bytes).map_err(|e| e.to_string()), Err(expect.to_owned()));
        }
    }

    #[test]
    fn an_end_mark_may_be_missing_and_ends_all_where_it_is() {
        assert_eq!(parse(&[53, 1, 1]).expect("no end mark").get(53), Some([1].as_slice()));
        assert_eq!(parse(&[53, 1, 1, 255, 54, 200]).expect("rubbish after the end").get(54), None);
    }

    proptest! {
        #[test]
        fn any_list_of_options_is_read_back(
            list in proptest::collection::vec((any::<u8>().prop_filter("not a mark", |code| ![0, 52, 255].contains(code)),
                proptest::collection::vec(any::<u8>(), 0..=40)), 0..40)
        ) {
            let mut bytes = Vec::new();
            let mut expect = Options::default();
            for (code, value) in &list {
                bytes.extend([*code, value.len() as u8]);
                bytes.extend(value);
                expect.0.entry(*code).or_default().extend(value);
            }
            prop_assert_eq!(parse(&bytes), Ok(expect));
        }

        #[test]
        fn no_bytes_make_the_walk_fail_otherwise_than_by_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            let (file, rest) = bytes.split_at(bytes.len() / 3);
            let (sname, options) = rest.split_at(rest.len() / 2);
            if let Ok((options, _)) = Options::parse(options, file, sname) {
                let kept: usize = options.0.values().map(Vec::len).sum();
                assert!(kept <= bytes.len());
            }
        }
    }
}
