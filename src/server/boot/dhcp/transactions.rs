//! What firmware asked lately, to know another server's answer to it when it is heard.

use std::collections::VecDeque;

use mimeo_core::ids::MacAddr;

/// Questions that are remembered. An answer follows within seconds, and one lost among more is heard next time.
const QUESTIONS_MAX: usize = 1024;

/// The latest questions of PXE firmware.
///
/// A machine's card is not enough to know it by: its installed system asks with the same card, and is answered otherwise.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    latest: VecDeque<(MacAddr, u32)>,
}

impl Transactions {
    pub(super) fn asked(&mut self, mac: MacAddr, xid: u32) {
        // Firmware repeats a question under one number.
        if self.latest.back() == Some(&(mac, xid)) {
            return;
        }
        if self.latest.len() >= QUESTIONS_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back((mac, xid));
    }

    /// Whether this transaction is one of firmware.
    pub(super) fn is_firmwares(&self, mac: MacAddr, xid: u32) -> bool {
        self.latest.contains(&(mac, xid))
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::ids::MacAddr;

    use super::{QUESTIONS_MAX, Transactions};

    #[test]
    fn the_latest_questions_are_known_by_card_and_number() {
        let mut transactions = Transactions::default();
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        transactions.asked(mac, 7);
        assert!(transactions.is_firmwares(mac, 7));
        assert!(!transactions.is_firmwares(mac, 8), "its installed system asks under another number");
        for xid in 0..2 * QUESTIONS_MAX as u32 {
            transactions.asked(MacAddr([2, 0, 0, 0, 0, 2]), xid);
        }
        assert_eq!(transactions.latest.len(), QUESTIONS_MAX);
        assert!(!transactions.is_firmwares(mac, 7));
    }
}
