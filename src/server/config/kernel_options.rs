//! Options for the client's kernel, as an administrator writes them.

/// Longest text. x86 kernels take a command line of 2048 bytes; what we and the loaders add needs some of it.
const BYTES_MAX: usize = 1024;

/// What may stand in an option beside letters and digits: nothing that iPXE or GRUB give a meaning to.
const SIGNS: &str = "_-.,:=/+@%";

/// What is allowed, for people.
pub(super) const ALLOWED: &str = "at most 1024 bytes: words of letters, digits and _-.,:=/+@%, none of which begins with \
                                  mimeo. or initrd=";

/// Words that both boot loaders hand to the kernel as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelOptions(Vec<String>);

impl KernelOptions {
    /// Reads words; `None` for what a boot loader would misread, and for options that are the appliance's own to set.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || SIGNS.contains(c);
        let own = |word: &str| word.starts_with("mimeo.") || word.starts_with("initrd=");
        let words = text.split_ascii_whitespace().map(|word| {
            let plain = word.chars().all(allowed) && !own(word);
            plain.then(|| word.to_owned())
        });
        if text.len() <= BYTES_MAX { words.collect::<Option<_>>().map(Self) } else { None }
    }

    pub fn words(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::KernelOptions;

    #[test]
    fn options_have_no_meaning_to_a_boot_loader() {
        let words = |text: &str| KernelOptions::parse(text).map(|options| options.0);
        assert_eq!(words("  quiet   nomodeset "), Some(vec!["quiet".into(), "nomodeset".into()]));
        assert_eq!(words(""), Some(vec![]));
        for bad in ["a;b", "$(x)", "${x}", "a\"", "a'", "#", "a&b", "a|b", "x{", "\\", "é"] {
            assert_eq!(words(bad), None, "{bad}");
            assert_eq!(words(&format!("quiet {bad}")), None, "{bad}");
        }
        assert_eq!(words("mimeo.server=1.2.3.4"), None);
        assert_eq!(words("quiet initrd=/x"), None);
        assert!(words(&"x".repeat(1024)).is_some() && words(&"x".repeat(1025)).is_none());
    }
}
