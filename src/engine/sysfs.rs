//! Facts that the kernel shows as small files, one fact a file.

use std::{fs, path::Path, str::FromStr};

use mimeo_core::machine::printable;

/// What the file says, as the server keeps it; `None` where it is absent or says nothing. Manufacturers put bytes into
/// their names that are no text: a name is shown without them, not left out.
pub fn word(path: &Path) -> Option<String> {
    printable::word(&String::from_utf8_lossy(&fs::read(path).ok()?))
}

/// The number in the file; `None` where it is absent or no number of this kind.
pub fn number<T: FromStr>(path: &Path) -> Option<T> {
    word(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{number, word};

    #[test]
    fn a_file_is_read_whatever_stands_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fact");
        assert_eq!(word(&path), None);
        for (content, says) in
            [(&b" 42 \n"[..], Some("42")), (b"S\xff1\0\0", Some("S\u{fffd}1")), (b"\n", None)]
        {
            fs::write(&path, content).expect("written");
            assert_eq!(word(&path).as_deref(), says);
        }
        fs::write(&path, "-7\n").expect("written");
        assert_eq!((number::<i32>(&path), number::<u32>(&path)), (Some(-7), None));
    }
}
