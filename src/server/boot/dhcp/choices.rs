//! Which way firmware is answered beside another DHCP server, learned from what it chose before.
//!
//! In mode `Pxe` there are two ways, and no DISCOVER is answered both ways at once (OVMF, offered both by one server,
//! requests the one without an address, and in vain):
//!
//! - [`Way::Address`]: an address of ours and what to boot. EDK2 prefers this to all else, and signed GRUB needs it.
//! - [`Way::Beside`]: what to boot, and no address, for firmware that takes the first address it hears of and never
//!   looks at ours. It heard nothing of booting then, so it only boots when asked to a second time.
//!
//! ```text
//!           passed our address over               took the other's address, as it should
//! Address ───────────────────────────→ Beside ───────────────────────────────────────────→ Beside, in vain once
//!    ↑                                 │  ↑                                                   │            │
//!    │ took our address                │  └────────────── iPXE asks for its script ───────────┘            │
//!    └─────────────────────────────────┘                                                                   │
//!    └──────────────── asks again, and iPXE was never heard: Secure Boot refused it ───────────────────────┘
//! ```
//!
//! So a machine that missed our offer once, and whose Secure Boot refuses iPXE, is not left on the way on which it
//! cannot boot: the two ways take turns until one of them leads somewhere.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use mimeo_core::ids::MacAddr;

use super::keeper::{Change, Remembered};
use crate::clock::Timestamp;

/// Machines of which a choice is remembered. Those that proved nothing make room first, so that a flood of invented
/// machines costs those that boot this way as little as can be.
const CHOICES_MAX: usize = 4096;
/// How long a choice is remembered that proved nothing: the person before the machine switches it on again.
const MEMORY: Duration = Duration::from_secs(30 * 60);
/// How long a machine is answered as it was when it booted: firmware seldom changes.
const MEMORY_PROVED: Duration = Duration::from_secs(30 * 24 * 3600);
/// Boots in vain after which the other way is tried.
const IN_VAIN_MAX: u8 = 1;
/// The same for a machine that booted this way before: one boot is cut short by its user sooner than its firmware changes.
const IN_VAIN_MAX_PROVED: u8 = 2;

/// How firmware is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Address,
    Beside,
}

/// What the machines that passed our address over did since.
#[derive(Debug, Default)]
pub(super) struct Choices {
    by_mac: HashMap<MacAddr, Choice>,
    /// What is remembered of these is to be kept anew.
    changed: HashSet<MacAddr>,
}

#[derive(Debug, Clone, Copy)]
struct Choice {
    /// It was answered beside, with a file after which iPXE is to be heard of.
    awaits_ipxe: bool,
    /// Boots since iPXE was last heard of.
    in_vain: u8,
    /// iPXE was heard of once.
    proved: bool,
    last: Timestamp,
}

impl Choice {
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.last) >= if self.proved { MEMORY_PROVED } else { MEMORY }
    }

    fn leads_nowhere(&self) -> bool {
        self.in_vain >= if self.proved { IN_VAIN_MAX_PROVED } else { IN_VAIN_MAX }
    }
}

impl Choices {
    /// Takes in what was kept before a restart, as far as it is not over. The clock may have been set back since.
    pub(super) fn remember(&mut self, mut kept: Vec<Remembered>, now: Timestamp) {
        kept.sort_by_key(|kept| std::cmp::Reverse((kept.proved, kept.last)));
        for Remembered { mac, in_vain, proved, last } in kept {
            let choice = Choice { awaits_ipxe: false, in_vain, proved, last: last.min(now) };
            if choice.is_over(now) || self.by_mac.len() >= CHOICES_MAX {
                self.changed.insert(mac);
            } else {
                self.by_mac.insert(mac, choice);
            }
        }
    }

    /// What is to be kept, or no longer, since this was last asked.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let change = |mac| match self.by_mac.get(&mac) {
            Some(&Choice { in_vain, proved, last, .. }) => {
                Change::Keep(Remembered { mac, in_vain, proved, last })
            }
            None => Change::Forget(mac),
        };
        self.changed.drain().map(change).collect()
    }

    /// Changes that could not be kept will be among the next.
    pub(super) fn put_back(&mut self, changes: &[Change]) {
        self.changed.extend(changes.iter().map(Change::mac));
        // What was forgotten meanwhile is dropped at the next start as well, and a flood of machines must not pile up.
        if self.changed.len() > 2 * CHOICES_MAX {
            self.changed.retain(|mac| self.by_mac.contains_key(mac));
        }
    }

    /// How the machine's DISCOVER is to be answered.
    pub(super) fn way(&mut self, mac: MacAddr, now: Timestamp) -> Way {
        match self.by_mac.get(&mac) {
            None => Way::Address,
            Some(choice) if choice.is_over(now) || choice.leads_nowhere() => {
                self.forget(mac);
                Way::Address
            }
            Some(_) => Way::Beside,
        }
    }

    /// The machine was answered beside. `with_ipxe` tells whether iPXE is to be heard of where that leads anywhere;
    /// shim and GRUB ask DHCP for nothing.
    pub(super) fn answered_beside(&mut self, mac: MacAddr, with_ipxe: bool) {
        if let Some(choice) = self.by_mac.get_mut(&mac) {
            choice.awaits_ipxe = with_ipxe;
        }
    }

    /// The firmware requested another server's address. `passed_over` tells whether ours was set aside for it then.
    pub(super) fn took_another(&mut self, mac: MacAddr, passed_over: bool, now: Timestamp) {
        match self.by_mac.get_mut(&mac) {
            Some(choice) => {
                // The request may be repeated: it counts once for each answer.
                choice.in_vain = choice.in_vain.saturating_add(u8::from(choice.awaits_ipxe));
                choice.awaits_ipxe = false;
                choice.last = now;
                self.changed.insert(mac);
            }
            None if passed_over => {
                self.make_room();
                let choice = Choice { awaits_ipxe: false, in_vain: 0, proved: false, last: now };
                self.by_mac.insert(mac, choice);
                self.changed.insert(mac);
            }
            None => {}
        }
    }

    /// The firmware requested our address.
    pub(super) fn took_ours(&mut self, mac: MacAddr) {
        self.forget(mac);
    }

    /// iPXE speaks on the machine: the way led somewhere.
    pub(super) fn ipxe_speaks(&mut self, mac: MacAddr, now: Timestamp) {
        if let Some(choice) = self.by_mac.get_mut(&mac) {
            *choice = Choice { awaits_ipxe: false, in_vain: 0, proved: true, last: now };
            self.changed.insert(mac);
        }
    }

    fn make_room(&mut self) {
        if self.by_mac.len() < CHOICES_MAX {
            return;
        }
        let first = self.by_mac.iter().min_by_key(|(_, choice)| (choice.proved, choice.last));
        if let Some(mac) = first.map(|(mac, _)| *mac) {
            self.forget(mac);
        }
    }

    fn forget(&mut self, mac: MacAddr) {
        if self.by_mac.remove(&mac).is_some() {
            self.changed.insert(mac);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use mimeo_core::ids::MacAddr;

    use super::{CHOICES_MAX, Change, Choices, MEMORY, MEMORY_PROVED, Remembered, Way};
    use crate::clock::Timestamp;

    type Book = HashMap<MacAddr, Remembered>;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Discover(Way),
        AnsweredWithIpxe,
        AnsweredWithShim,
        PassesOver,
        TakesAnother,
        TakesOurs,
        IpxeSpeaks,
    }

    /// Plays steps at their seconds; each DISCOVER names the way on which it is to be answered.
    fn check(case: &str, steps: &[(u64, Step)]) {
        let mut choices = Choices::default();
        for (seconds, step) in steps {
            let now = Timestamp(1).plus(Duration::from_secs(*seconds));
            match step {
                Step::Discover(way) => assert_eq!(choices.way(MAC, now), *way, "{case}, second {seconds}"),
                Step::AnsweredWithIpxe => choices.answered_beside(MAC, true),
                Step::AnsweredWithShim => choices.answered_beside(MAC, false),
                Step::PassesOver => choices.took_another(MAC, true, now),
                Step::TakesAnother => choices.took_another(MAC, false, now),
                Step::TakesOurs => choices.took_ours(MAC),
                Step::IpxeSpeaks => choices.ipxe_speaks(MAC, now),
            }
        }
    }

    use Step::{
        AnsweredWithIpxe, AnsweredWithShim, Discover, IpxeSpeaks, PassesOver, TakesAnother, TakesOurs,
    };
    use Way::{Address, Beside};

    #[test]
    fn firmware_that_takes_the_first_address_is_answered_beside_from_its_second_boot_on() {
        let later = MEMORY.as_secs() * 2;
        let boot = |at: u64| {
            [
                (at, Discover(Beside)),
                (at, AnsweredWithIpxe),
                (at + 1, TakesAnother),
                (at + 1, TakesAnother),
                (at + 9, IpxeSpeaks),
            ]
        };
        let mut steps = vec![(0, Discover(Address)), (1, PassesOver)];
        steps.extend(boot(60));
        steps.extend(boot(later));
        steps.push((later + MEMORY_PROVED.as_secs() + 9, Discover(Address)));
        check("booted by iPXE", &steps);
    }

    #[test]
    fn secure_boot_that_missed_our_offer_once_is_offered_our_address_again() {
        let steps = [
            (0, Discover(Address)),
            (4, PassesOver),
            (60, Discover(Beside)),
            (60, AnsweredWithIpxe),
            (64, Discover(Beside)),
            (64, AnsweredWithIpxe),
            (70, TakesAnother),
            (72, TakesAnother),
            (130, Discover(Address)),
            (134, TakesOurs),
            (200, Discover(Address)),
        ];
        check("refused iPXE", &steps);
    }

    #[test]
    fn one_boot_cut_short_changes_nothing_for_a_machine_that_booted_so_before() {
        let start = [
            (0, PassesOver),
            (1, Discover(Beside)),
            (1, AnsweredWithIpxe),
            (2, TakesAnother),
            (9, IpxeSpeaks),
        ];
        let cut = |at| [(at, Discover(Beside)), (at, AnsweredWithIpxe), (at + 1, TakesAnother)];
        let once = [&start[..], &cut(100), &[(200, Discover(Beside))]].concat();
        check("once", &once);
        check("twice", &[&start[..], &cut(100), &cut(200), &[(300, Discover(Address))]].concat());
    }

    #[test]
    fn where_the_other_server_names_us_no_ipxe_is_waited_for() {
        let boot = |at| [(at, Discover(Beside)), (at, AnsweredWithShim), (at + 1, TakesAnother)];
        check("shim", &[&[(0, PassesOver)][..], &boot(100), &boot(200), &boot(300)].concat());
    }

    #[test]
    fn a_choice_made_without_our_offer_says_nothing_and_one_long_ago_no_more() {
        check("no offer", &[(0, TakesAnother), (1, Discover(Address))]);
        check("long ago", &[(0, PassesOver), (MEMORY.as_secs(), Discover(Address))]);
    }

    /// What a book has after these changes, and what a server that starts with it knows.
    fn restarted(book: &mut Book, choices: &mut Choices, now: Timestamp) -> Choices {
        for change in choices.take_changes() {
            match change {
                Change::Keep(kept) => drop(book.insert(kept.mac, kept)),
                Change::Forget(mac) => drop(book.remove(&mac)),
            }
        }
        let mut choices = Choices::default();
        choices.remember(book.values().copied().collect(), now);
        choices
    }

    #[test]
    fn what_was_learned_outlives_a_restart_at_any_moment() {
        let (mut book, mut choices) = (Book::new(), Choices::default());
        let second = |seconds| Timestamp(1).plus(Duration::from_secs(seconds));
        choices.took_another(MAC, true, second(0));
        let mut choices = restarted(&mut book, &mut choices, second(30));
        assert_eq!(choices.way(MAC, second(60)), Beside, "it need not fail again");
        choices.answered_beside(MAC, true);
        choices.took_another(MAC, false, second(61));
        choices.ipxe_speaks(MAC, second(70));
        let day = 24 * 3600;
        let mut choices = restarted(&mut book, &mut choices, second(day));
        assert_eq!(choices.way(MAC, second(day)), Beside);
        for boot in [1, 2] {
            choices.answered_beside(MAC, true);
            choices.took_another(MAC, false, second(day + boot));
            choices = restarted(&mut book, &mut choices, second(day + boot));
        }
        assert_eq!(choices.way(MAC, second(day + 9)), Address, "boots in vain are counted across restarts");
        assert_eq!(restarted(&mut book, &mut choices, second(day + 9)).by_mac.len(), 0);
        assert!(book.is_empty(), "what is forgotten is not kept");
    }

    #[test]
    fn what_is_kept_is_bounded_in_age_and_number_and_a_change_that_failed_comes_again() {
        let now = Timestamp(1).plus(MEMORY_PROVED);
        let kept = |card: u32, proved, last| {
            let [a, b, c, d] = card.to_be_bytes();
            Remembered { mac: MacAddr([2, 0, a, b, c, d]), in_vain: 0, proved, last }
        };
        let old = [kept(0, true, Timestamp(1)), kept(1, false, Timestamp(1).plus(MEMORY_PROVED - MEMORY))];
        let ahead = kept(2, true, now.plus(MEMORY_PROVED));
        let many = (3..2 * CHOICES_MAX as u32).map(|card| kept(card, false, now));
        let mut choices = Choices::default();
        choices.remember(old.into_iter().chain([ahead]).chain(many).collect(), now);
        assert_eq!(choices.by_mac.len(), CHOICES_MAX);
        assert_eq!(choices.by_mac[&ahead.mac].last, now, "a clock that was set back makes nobody immortal");
        let changes = choices.take_changes();
        assert_eq!(changes.len(), CHOICES_MAX, "the rest is forgotten");
        assert!(old.iter().all(|old| changes.contains(&Change::Forget(old.mac))));
        assert_eq!(choices.take_changes(), []);
        choices.put_back(&changes);
        assert_eq!(choices.take_changes().len(), changes.len());
    }

    #[test]
    fn a_flood_of_machines_makes_those_forgotten_that_proved_nothing() {
        let mut choices = Choices::default();
        choices.took_another(MAC, true, Timestamp(1));
        choices.ipxe_speaks(MAC, Timestamp(1));
        for number in 0..2 * CHOICES_MAX as u32 {
            let [a, b, c, d] = number.to_be_bytes();
            choices.took_another(MacAddr([6, 0, a, b, c, d]), true, Timestamp(2));
        }
        assert_eq!(choices.by_mac.len(), CHOICES_MAX);
        assert_eq!(choices.way(MAC, Timestamp(3)), Way::Beside);
    }
}
