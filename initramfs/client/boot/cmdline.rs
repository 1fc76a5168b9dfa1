//! The two words on the kernel command line that are ours. Everything else the server tells over TLS.

use std::net::SocketAddr;

use mimeo_core::ids::Secret;

/// What the boot script handed to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootOrders {
    /// Where the server listens for clients: an address and a port, never a name (there may be no DNS).
    pub server: SocketAddr,
    /// Proves that this machine fetched that boot script.
    pub token: Secret,
}

/// A kernel command line that our boot scripts did not write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmdlineError {
    #[error("the kernel command line has no {0}, so this kernel was not started by Mimeo's boot script")]
    Missing(&'static str),
    #[error("the kernel command line has {name}= with a value that cannot be read")]
    Unreadable { name: &'static str },
}

impl BootOrders {
    /// Finds our words among the kernel's own. The last one counts where a word is repeated, as with the kernel.
    pub fn parse(cmdline: &str) -> Result<Self, CmdlineError> {
        Ok(Self { server: word(cmdline, "mimeo.server")?, token: word(cmdline, "mimeo.token")? })
    }
}

fn word<T: std::str::FromStr>(cmdline: &str, name: &'static str) -> Result<T, CmdlineError> {
    let values =
        cmdline.split_ascii_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let value = values.last().ok_or(CmdlineError::Missing(name))?;
    value.parse().map_err(|_| CmdlineError::Unreadable { name })
}

#[cfg(test)]
mod tests {
    use super::{BootOrders, CmdlineError};

    #[test]
    fn our_words_are_found_among_the_kernel_s() {
        let token = "ab".repeat(32);
        let cmdline =
            format!("initrd=initramfs quiet mimeo.server=10.77.0.1:443 console=ttyS0 mimeo.token={token}\n");
        let orders = BootOrders::parse(&cmdline).expect("both words are there");
        assert_eq!(orders.server, "10.77.0.1:443".parse().expect("an address"));
        assert_eq!(orders.token.reveal(), token);
    }

    #[test]
    fn a_missing_or_unreadable_word_is_named_and_its_value_is_not_repeated() {
        assert_eq!(BootOrders::parse("quiet"), Err(CmdlineError::Missing("mimeo.server")));
        assert_eq!(
            BootOrders::parse("mimeo.server=example.org"),
            Err(CmdlineError::Unreadable { name: "mimeo.server" })
        );
        assert_eq!(
            BootOrders::parse("mimeo.server=10.0.0.1:443 mimeo.token=short"),
            Err(CmdlineError::Unreadable { name: "mimeo.token" })
        );
        assert_eq!(BootOrders::parse("mimeo.serverless=1"), Err(CmdlineError::Missing("mimeo.server")));
    }
}
