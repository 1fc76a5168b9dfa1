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
    observe::Obstacle,
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

const NO_FILE: &str = "nothing, we have no boot file for it";

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
        let (request, beside) = (&heard.request, self.beside(heard, now));
        let Some(file) = beside.file else { return Decision::silence(NO_FILE) };
        if request.speaker == Some(Speaker::Pxe) {
            self.choices.answered_beside(request.mac, beside.leads_to_ipxe);
        }
        self.send(heard, Answer::ProxyOffer, Some(file)).and(self.tell_obstacle(
            request.mac,
            beside.obstacle,
            now,
        ))
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
        let (file, obstacle) = match self.pool.holder(address) {
            // The address is of our pool: our own acknowledgement names us, so GRUB finds us.
            Some((mac, until)) if mac == request.mac && until > now => {
                (self.boot_file(request, heard.loader), None)
            }
            _ => {
                let beside = self.beside(heard, now);
                (beside.file, beside.obstacle)
            }
        };
        let Some(file) = file else { return Decision::silence(NO_FILE) };
        self.send(heard, Answer::ProxyAck, Some(file)).and(self.tell_obstacle(request.mac, obstacle, now))
    }

    /// What a machine can boot whose address is another server's.
    ///
    /// Signed GRUB would look for its configuration on the server that the other's acknowledgement names. Where
    /// that is not us, UEFI machines get iPXE, which Secure Boot refuses: better most machines than none.
    fn beside(&self, heard: &Heard, now: Timestamp) -> Beside {
        let request = &heard.request;
        let through_grub = request.speaker == Some(Speaker::Pxe)
            && matches!(request.architecture, Architecture::UefiX64 | Architecture::UefiArm64)
            && heard.loader == LoaderChoice::Signed;
        let obstacle = self.foreign.obstacle(self.settings.address, now).filter(|_| through_grub);
        let loader = if obstacle.is_some() { LoaderChoice::Ipxe } else { heard.loader };
        let leads_to_ipxe = !through_grub || obstacle.is_some();
        Beside { file: self.boot_file(request, loader), obstacle, leads_to_ipxe }
    }
}

/// What there is for a machine whose address is another server's.
struct Beside {
    file: Option<BootFile>,
    /// What keeps Secure Boot from working.
    obstacle: Option<Obstacle>,
    /// Whether iPXE is heard of next, if the machine boots.
    leads_to_ipxe: bool,
}
