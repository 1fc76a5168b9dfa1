//! What to boot, told beside whoever gives the addresses: ProxyDHCP and the PXE boot server (PXE 2.1 section 2.2).
//!
//! ```text
//! machine                     foreign DHCP          us
//!   DISCOVER  ── broadcast ──→    ·        ──→  67
//!          ←──  OFFER address ──  ·
//!          ←──  OFFER what to boot, no address ──
//!   REQUEST   ── broadcast ──→    ·        ──→  67   learn the address, say nothing
//!          ←──  ACK ────────────  ·
//!   REQUEST   ── unicast ────────────────→  4011     (UEFI, and whoever saw no option 43)
//!          ←──  ACK what to boot ────────
//! ```

use super::{
    decide::{Decision, Heard, Server},
    packet::Ask,
    reply::Answer,
};
use crate::{
    boot::{
        firmware::{Architecture, BootFile, Speaker},
        target::LoaderChoice,
    },
    clock::Timestamp,
};

impl Server {
    /// Answers on port 67 without an address.
    pub(super) fn answer_proxy(&mut self, heard: &Heard, now: Timestamp) -> Decision {
        match heard.request.ask {
            Ask::Discover => self.offer_proxy(heard, now),
            Ask::Request => Decision::silence("nothing, its address is another's business"),
            Ask::Decline | Ask::Release | Ask::Inform => {
                Decision::silence("nothing, that is another's business")
            }
        }
    }

    /// Offers what to boot, and tells of an obstacle to Secure Boot where there is one.
    pub(super) fn offer_proxy(&mut self, heard: &Heard, now: Timestamp) -> Decision {
        let (file, tell) = self.file_beside(heard, now);
        let Some(file) = file else { return Decision::silence("nothing, we have no boot file for it") };
        let mut decision = self.send(heard, Answer::ProxyOffer, Some(file));
        decision.actions.extend(tell.actions);
        decision
    }

    /// Answers on port 4011: a machine that has its address from wherever asks what to boot.
    pub(super) fn answer_boot_server(&mut self, heard: &Heard, now: Timestamp) -> Decision {
        let request = &heard.request;
        if request.speaker.is_none() {
            return Decision::silence("nothing, no boot client");
        }
        if !matches!(request.ask, Ask::Request | Ask::Inform) {
            return Decision::silence("nothing, boot servers are not asked that");
        }
        let address = request.client_address.unwrap_or(*heard.from.ip());
        let holder = self.pool.holder(address);
        let (file, tell) = match holder {
            // The address is of our pool: our own acknowledgement names us, so GRUB finds us.
            Some((mac, until)) if mac == request.mac && until > now => {
                (self.boot_file(request, heard.loader), Decision::silence(""))
            }
            _ => self.file_beside(heard, now),
        };
        let Some(file) = file else { return Decision::silence("nothing, we have no boot file for it") };
        self.send(heard, Answer::ProxyAck, Some(file)).and(tell)
    }

    /// The boot file for a machine whose address is another server's, with what is to be told about it.
    ///
    /// Signed GRUB would look for its configuration on the server that the other's acknowledgement names. Where
    /// that is not us, UEFI machines get iPXE, which Secure Boot refuses: better most machines than none.
    fn file_beside(&mut self, heard: &Heard, now: Timestamp) -> (Option<BootFile>, Decision) {
        let request = &heard.request;
        let through_grub = request.speaker == Some(Speaker::Pxe)
            && matches!(request.architecture, Architecture::UefiX64 | Architecture::UefiArm64)
            && heard.loader == LoaderChoice::Signed;
        let obstacle = self.foreign.obstacle(self.settings.address, now).filter(|_| through_grub);
        let loader = if obstacle.is_some() { LoaderChoice::Ipxe } else { heard.loader };
        let tell = obstacle.and_then(|found| self.tell_obstacle(request.mac, found, now));
        (self.boot_file(request, loader), Decision::new("", tell.into_iter().collect()))
    }
}
