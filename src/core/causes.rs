//! An error told as a whole: each layer says only what it adds, so the sentence is complete with all of them.

use std::{error::Error, iter};

/// An error and everything that led to it, as one line.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::causes;

    #[derive(Debug, thiserror::Error)]
    #[error("reading the list")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("opening {path}")]
    struct Inner {
        path: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn every_cause_is_told_once_the_last_one_last() {
        let source = std::io::Error::other("no such disk");
        let error = Outer(Inner { path: "/list", source });
        assert_eq!(causes(&error), "reading the list: opening /list: no such disk");
    }
}
