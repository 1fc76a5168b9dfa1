//! Room for as many open files and sockets as the services' own limits add up to.
//!
//! A service may start with 1024 descriptors for history's sake (`select`, which nothing here uses). Running out of
//! them in the middle of a classroom's boot would look like a broken network, so the room is made at the start.

use std::io;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

use super::web::HTTPS_LIMITS;
use crate::boot::{http, tftp::admission::TRANSFERS_MAX};

/// A connection over HTTPS, and a pack of the store that is read or written for it.
const PER_HTTPS_CONNECTION: usize = 2;

/// The database, the clients' logs, the local socket's connections, DHCP, the runtime, the standard streams.
const OTHERS: usize = 512;

/// What the limits of all services add up to.
const NEEDED: usize = HTTPS_LIMITS.connections.in_all * PER_HTTPS_CONNECTION
    + http::LIMITS.connections.in_all
    + TRANSFERS_MAX.in_all
    + OTHERS;

/// Raises this process' limit to what is needed, where it is lower.
pub(super) fn make_room() -> Result<(), DescriptorError> {
    let unknown = |errno: nix::errno::Errno| DescriptorError::Unknown(errno.into());
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(unknown)?;
    let Some((soft, hard)) = raised(soft, hard, NEEDED as rlim_t) else { return Ok(()) };
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).map_err(|errno| DescriptorError::TooFew {
        needed: NEEDED,
        allowed: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard),
        source: errno.into(),
    })
}

/// The limits to set, soft and hard; `None` where they are high enough. Only root may raise the hard one.
fn raised(soft: rlim_t, hard: rlim_t, needed: rlim_t) -> Option<(rlim_t, rlim_t)> {
    (soft < needed).then_some((needed, hard.max(needed)))
}

/// There is no room for what the server is to do.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    #[error("asking how many files may be open")]
    Unknown(#[source] io::Error),
    #[error(
        "{needed} files and sockets may have to be open at once and only {allowed} are allowed: run this as root, or \
         raise the limit (LimitNOFILE={needed} in the service's unit)"
    )]
    TooFew { needed: usize, allowed: rlim_t, source: io::Error },
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::{Resource, getrlimit};

    use super::{NEEDED, make_room, raised};

    #[test]
    fn the_limit_is_raised_as_far_as_needed_and_never_lowered() {
        assert_eq!(raised(1024, 4096, 3000), Some((3000, 4096)));
        assert_eq!(raised(1024, 2000, 3000), Some((3000, 3000)));
        assert_eq!(raised(3000, 4096, 3000), None);
        assert_eq!(raised(1_048_576, 1_048_576, 3000), None);
    }

    #[test]
    fn a_server_has_room_for_all_that_it_admits() {
        make_room().expect("this needs root");
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        assert!(soft >= NEEDED as u64, "{soft}");
    }
}
