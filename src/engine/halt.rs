//! Why the engine ends before its work is done.

use mimeo_core::failure::FailureCause;

/// An end before the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Somebody cancelled the session: not a failure.
    Stopped,
    Failed(FailureCause),
}

impl From<FailureCause> for Halt {
    fn from(cause: FailureCause) -> Self {
        Self::Failed(cause)
    }
}
