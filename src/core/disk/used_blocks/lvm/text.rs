//! The language in which LVM describes a group: sections, and keys with numbers, strings or lists of them.
//!
//! ```text
//! vg { seqno = 8   status = ["READ", "WRITE"]   logical_volumes { root { … } } }   # comment
//! ```
//!
//! Source: `libdm/libdm-config.c` of LVM2. What the metadata of a group never has (fractions, tags, paths as keys) is
//! not understood here.

use crate::disk::used_blocks::UsedBlocksError;

/// How deep sections stand in each other: a segment stands in a volume, in the list of volumes, in the group.
const DEPTH_MAX: u32 = 8;
/// Most keys and values. A volume has twenty, so these are ten thousand volumes, and 20 MiB of memory.
const NODES_MAX: u32 = 200_000;

/// What stands between two braces, by key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section<'a>(Vec<(&'a [u8], Value<'a>)>);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Section(Section<'a>),
    Scalar(Scalar<'a>),
    List(Vec<Scalar<'a>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    Number(i64),
    /// As it stands between its quotation marks: names and words of LVM need no escapes.
    Text(&'a [u8]),
}

impl<'a> Section<'a> {
    /// Reads a whole text.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, UsedBlocksError> {
        Reader { text, at: 0, nodes: 0 }.section(0)
    }

    pub(super) fn entries(&self) -> &[(&'a [u8], Value<'a>)] {
        &self.0
    }

    pub(super) fn sections(&self) -> impl Iterator<Item = (&'a [u8], &Section<'a>)> {
        self.0.iter().filter_map(|(key, value)| match value {
            Value::Section(section) => Some((*key, section)),
            _ => None,
        })
    }

    fn get(&self, key: &str) -> Option<&Value<'a>> {
        let index = self.0.binary_search_by_key(&key.as_bytes(), |(key, _)| *key).ok()?;
        Some(&self.0[index].1)
    }

    pub(super) fn section(&self, key: &str) -> Option<&Section<'a>> {
        match self.get(key)? {
            Value::Section(section) => Some(section),
            _ => None,
        }
    }

    /// A number of at most 32 bits, as are all that are asked for here.
    pub(super) fn number(&self, key: &str) -> Result<u64, UsedBlocksError> {
        let number = match self.get(key) {
            Some(&Value::Scalar(Scalar::Number(number))) => u32::try_from(number).ok(),
            _ => None,
        };
        let none = || UsedBlocksError::Unsupported { what: format!("the group's description has no {key}") };
        number.map(u64::from).ok_or_else(none)
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a [u8]> {
        match self.get(key)? {
            Value::Scalar(Scalar::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A list, which is empty where there is none.
    pub(super) fn list(&self, key: &str) -> &[Scalar<'a>] {
        match self.get(key) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    nodes: u32,
}

impl<'a> Reader<'a> {
    /// Reads up to the brace that closes the section, at depth 0 up to the end.
    fn section(&mut self, depth: u32) -> Result<Section<'a>, UsedBlocksError> {
        let mut entries = Vec::new();
        loop {
            match self.peek() {
                None if depth == 0 => break,
                Some(b'}') if depth > 0 => {
                    self.at += 1;
                    break;
                }
                _ => {}
            }
            let key = self.key()?;
            self.count()?;
            let value = match self.take() {
                Some(b'{') if depth < DEPTH_MAX => Value::Section(self.section(depth + 1)?),
                Some(b'=') => self.value()?,
                _ => return Err(self.unreadable("neither a section nor a value follows the key")),
            };
            entries.push((key, value));
        }
        entries.sort_by_key(|(key, _)| *key);
        match entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            true => Err(self.unreadable("a key stands twice in the section that ends here")),
            false => Ok(Section(entries)),
        }
    }

    fn key(&mut self) -> Result<&'a [u8], UsedBlocksError> {
        let is_key = |byte: &u8| byte.is_ascii_graphic() && !b"{}[]=,#\"'@/".contains(byte);
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|byte| is_key(byte)).count();
        if length == 0 {
            return Err(self.unreadable("a key is expected"));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn value(&mut self) -> Result<Value<'a>, UsedBlocksError> {
        if self.peek() != Some(b'[') {
            return Ok(Value::Scalar(self.scalar()?));
        }
        self.at += 1;
        let mut list = Vec::new();
        while self.peek() != Some(b']') {
            self.count()?;
            list.push(self.scalar()?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {}
                _ => return Err(self.unreadable("a list has no end")),
            }
        }
        self.at += 1;
        Ok(Value::List(list))
    }

    fn scalar(&mut self) -> Result<Scalar<'a>, UsedBlocksError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote).map(Scalar::Text),
            _ => self.integer().map(Scalar::Number),
        }
    }

    fn string(&mut self, quote: u8) -> Result<&'a [u8], UsedBlocksError> {
        let start = self.at + 1;
        let mut end = start;
        loop {
            match self.text.get(end) {
                Some(&byte) if byte == quote => break,
                Some(b'\\') if quote == b'"' => end += 2,
                Some(_) => end += 1,
                None => return Err(self.unreadable("a string has no end")),
            }
        }
        self.at = end + 1;
        Ok(&self.text[start..end])
    }

    /// LVM reads `010` as 8, and never writes it.
    fn integer(&mut self) -> Result<i64, UsedBlocksError> {
        let rest = &self.text[self.at..];
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let word = &rest[..rest.iter().take_while(is_part).count()];
        let number = str::from_utf8(word).ok().and_then(|word| word.parse::<i64>().ok());
        match number.filter(|number| word == number.to_string().as_bytes()) {
            Some(number) => {
                self.at += word.len();
                Ok(number)
            }
            None => Err(self.unreadable("neither a string nor a whole number")),
        }
    }

    /// The next byte behind white space and comments.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.get(self.at)? {
                b'#' => {
                    let line = self.text[self.at..].iter().position(|&byte| byte == b'\n');
                    self.at = line.map_or(self.text.len(), |length| self.at + length);
                }
                byte if byte.is_ascii_whitespace() => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn count(&mut self) -> Result<(), UsedBlocksError> {
        self.nodes += 1;
        match self.nodes {
            0..=NODES_MAX => Ok(()),
            _ => Err(self.unreadable("more keys and values than are read")),
        }
    }

    fn unreadable(&self, what: &str) -> UsedBlocksError {
        let what = format!("the group's description, byte {}: {what}", self.at);
        UsedBlocksError::Unsupported { what }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{NODES_MAX, Scalar, Section, UsedBlocksError};

    fn refused(text: &[u8]) {
        let read = Section::parse(text);
        assert!(matches!(read, Err(UsedBlocksError::Unsupported { .. })), "{read:?}");
    }

    #[test]
    fn what_lvm_writes_is_read() {
        let text = b"vg {\n\tid = \"a-b\"\n\tseqno = 8 # changes\n\tstatus = [\"READ\", \"WRITE\"]\n\tflags = []\n\
            lv.1 {\n\t\tstripes = [\n\"pv0\", 0,\n\"pv1\", -4\n]\n}\n}\n# a \"remark\" {\nx = \"q\\\"} \\\\\"\nversion = 1\n";
        let all = Section::parse(text).expect("a text of LVM's");
        let group = all.section("vg").expect("the group");
        assert_eq!((group.text("id"), group.number("seqno").ok()), (Some(&b"a-b"[..]), Some(8)));
        assert_eq!(group.list("status"), [Scalar::Text(b"READ"), Scalar::Text(b"WRITE")]);
        assert!(group.list("flags").is_empty() && group.list("none").is_empty());
        let pairs = [Scalar::Text(b"pv0"), Scalar::Number(0), Scalar::Text(b"pv1"), Scalar::Number(-4)];
        assert_eq!(group.section("lv.1").expect("inside").list("stripes"), pairs);
        assert_eq!(all.text("x"), Some(&b"q\\\"} \\\\"[..]));
        assert_eq!(all.number("version").ok(), Some(1));
    }

    #[test]
    fn what_lvm_does_not_write_is_not_understood() {
        for text in [
            "a",
            "a {",
            "}",
            "a = ",
            "a = [1",
            "a = [1 2]",
            "a = [,]",
            "a = \"b",
            "a = \"b\\\"",
            "a = 010",
            "a = 1.5",
            "a = 0x8",
            "a = @b",
            "a = 99999999999999999999",
            "a = 1 a = 2",
            "= 1",
            "a 1",
            "a/b = 1",
            "a = [[1]]",
            "\"a\" = 1",
        ] {
            refused(text.as_bytes());
        }
        refused("a { ".repeat(20).as_bytes());
        let many: String = (0..=NODES_MAX).map(|number| format!("k{number}=1\n")).collect();
        refused(many.as_bytes());
        let list = format!("a = [{}]", "1,".repeat(NODES_MAX as usize));
        refused(list.as_bytes());
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(
            words in prop::collection::vec(prop::sample::select(
                vec!["a", "bc", "=", "{", "}", "[", "]", ",", "\"", "'", "\\", "#", "\n", " ", "1", "-", ".", "/"]), 0..60),
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let _ = Section::parse(words.concat().as_bytes()).is_ok();
            let _ = Section::parse(&bytes).is_ok();
        }
    }
}
