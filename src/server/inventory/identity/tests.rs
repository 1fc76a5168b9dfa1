use std::collections::BTreeSet;

use mimeo_core::{
    ids::{ComputerId, MacAddr},
    machine::{Identity, IdentityFacts},
};
use proptest::{
    prelude::{Strategy, any, prop, proptest},
    sample::select,
};

use super::{
    Candidate, Recognition,
    Recognition::{Ambiguous, New, Recognised},
    Sight, Traits, recognise, swapped,
};

const U1: &str = "4c4c4544-0044-3510-8052-b4c04f564432";
const U2: &str = "5a5a5a01-1111-2222-8333-b4c04f564499";
const JUNK: &str = "03000200-0400-0500-0006-000700080009";
const DOCK: u8 = 99;

/// A machine by uuid, system, board and chassis serial, as its firmware prints them, and its cards.
fn machine(texts: [&str; 4], cards: &[u8]) -> Traits {
    let [uuid, system, board, chassis] = texts.map(|text| Some(text.to_owned()));
    let identity = Identity {
        system_uuid: uuid,
        system_serial: system,
        board_serial: board,
        chassis_serial: chassis,
        ..Identity::default()
    };
    let macs = cards.iter().map(|&card| MacAddr([0x52, 0x54, 0, 0, 0, card])).collect();
    Traits { facts: identity.facts(), macs, ..Traits::default() }
}

/// The machine with these disks.
fn with_disks(disks: &[&str], traits: Traits) -> Traits {
    Traits { disks: disks.iter().map(|&disk| disk.to_owned()).collect(), ..traits }
}

/// The machine with a dock's card on USB beside its own.
fn on_dock(traits: Traits) -> Traits {
    let dock = MacAddr([0x52, 0x54, 0, 0, 0, DOCK]);
    let with = |macs: &BTreeSet<MacAddr>| macs.iter().copied().chain([dock]).collect();
    Traits { macs: with(&traits.macs), usb_macs: with(&traits.usb_macs), ..traits }
}

fn known(computers: &[Traits]) -> Vec<Candidate> {
    (1..)
        .zip(computers)
        .map(|(id, traits)| Candidate { id: ComputerId(id), traits: traits.clone() })
        .collect()
}

#[track_caller]
fn check(seen: Traits, computers: &[Traits], expect: Recognition) {
    assert_eq!(recognise(&seen, Sight::Report, &known(computers)), expect);
}

#[test]
fn a_computer_keeps_its_identity_when_its_card_is_swapped() {
    let first = ComputerId(1);
    check(machine([U1, "", "", ""], &[2]), &[machine([U1, "", "", ""], &[1])], Recognised(first));
    check(machine([U1, "S1", "B1", "S1"], &[2]), &[machine([U1, "S1", "B1", "S1"], &[1])], Recognised(first));
    // Junk UUID, but two serials.
    check(machine([JUNK, "S1", "B1", ""], &[2]), &[machine([JUNK, "S1", "B1", ""], &[1])], Recognised(first));
}

#[test]
fn a_junk_uuid_confuses_nobody() {
    check(machine([JUNK, "", "", ""], &[2]), &[machine([JUNK, "", "", ""], &[1])], New);
    // A shared UUID that nobody has listed yet: the serials tell.
    check(machine([U1, "S2", "", ""], &[2]), &[machine([U1, "S1", "", ""], &[1])], New);
}

#[test]
fn identical_machines_with_the_same_placeholder_serials_stay_two() {
    let placeholder = ["To be filled by O.E.M.", "Default string", "Default string"];
    let [a, b, c] = placeholder;
    check(machine([U2, a, b, c], &[2]), &[machine([U1, a, b, c], &[1])], New);
    check(machine([JUNK, a, b, c], &[2]), &[machine([JUNK, a, b, c], &[1])], New);
    // The same with a placeholder that nobody has listed yet, in one field, in three, and beside true UUIDs.
    check(machine(["", "Chassis-X", "", ""], &[2]), &[machine(["", "Chassis-X", "", ""], &[1])], New);
    let everywhere = |card| machine(["", "Asset-X", "Asset-X", "Asset-X"], &[card]);
    check(everywhere(2), &[everywhere(1)], New);
    check(machine([U2, "SX", "BX", "CX"], &[2]), &[machine([U1, "SX", "BX", "CX"], &[1])], New);
}

#[test]
fn a_card_alone_is_enough_only_where_nobody_has_another_fact() {
    let nothing = ["", "0000", "None", "N/A"];
    check(machine(nothing, &[1]), &[machine(nothing, &[1])], Recognised(ComputerId(1)));
    check(machine(nothing, &[1, 2]), &[machine(nothing, &[1])], Recognised(ComputerId(1)));
    // Each has a card that the other lacks: a dock in common says nothing.
    check(machine(nothing, &[2, DOCK]), &[machine(nothing, &[1, DOCK])], New);
    check(machine([U1, "", "", ""], &[1]), &[machine(nothing, &[1])], New);
}

#[test]
fn a_dock_that_two_computers_use_decides_nothing() {
    let laptop = |uuid, card| machine([uuid, "", "", ""], &[card, DOCK]);
    // The second laptop's first visit.
    check(laptop(U2, 2), &[laptop(U1, 1)], New);
    // Later, with both known.
    check(laptop(U2, 2), &[laptop(U1, 1), laptop(U2, 2)], Recognised(ComputerId(2)));
    check(machine([U1, "", "", ""], &[DOCK]), &[laptop(U1, 1), laptop(U2, 2)], Recognised(ComputerId(1)));
}

#[test]
fn a_batch_with_one_unlisted_uuid_stays_a_batch() {
    let pc = |card, disk| with_disks(&[disk], machine([U1, "", "", ""], &[card]));
    check(pc(2, "d2"), &[pc(1, "d1")], New);
    // Both known, and one with another card: its disk says which.
    let both = [pc(1, "d1"), pc(2, "d2")];
    check(pc(1, "d1"), &both, Recognised(ComputerId(1)));
    check(pc(3, "d2"), &both, Recognised(ComputerId(2)));
    check(pc(2, "new"), &both, Recognised(ComputerId(2)));
}

#[test]
fn a_new_disk_alone_makes_no_new_computer() {
    let pc = |disk, card, uuid| with_disks(&[disk], machine([uuid, "", "", ""], &[card]));
    check(pc("d2", 1, U1), &[pc("d1", 1, U1)], Recognised(ComputerId(1)));
    // Nothing but placeholders, and a card of its own.
    check(pc("d2", 1, JUNK), &[pc("d1", 1, JUNK)], Recognised(ComputerId(1)));
    // A disk that was moved takes nobody's name along.
    check(pc("d1", 2, U2), &[pc("d1", 1, U1)], New);
    check(pc("d1", 2, JUNK), &[pc("d1", 1, JUNK)], New);
}

#[test]
fn two_laptops_that_share_a_dock_and_every_placeholder_are_never_taken_for_each_other() {
    let laptop = |disk, board| with_disks(&[disk], on_dock(machine(["", "", board, ""], &[])));
    // Nothing but the dock, and a placeholder that nobody has listed.
    check(laptop("d2", ""), &[laptop("d1", "")], Ambiguous(vec![ComputerId(1)]));
    check(laptop("d2", "Board-X"), &[laptop("d1", "Board-X")], Ambiguous(vec![ComputerId(1)]));
    check(laptop("d1", ""), &[laptop("d1", "")], Recognised(ComputerId(1)));
}

#[test]
fn what_nothing_can_tell_from_another_is_not_registered_again_and_again() {
    let nothing = ["", "", "", ""];
    let users = [machine([U1, "", "", ""], &[1, DOCK]), machine([U2, "", "", ""], &[2, DOCK])];
    check(machine(nothing, &[DOCK]), &users, Ambiguous(vec![ComputerId(1), ComputerId(2)]));
    check(machine(nothing, &[1]), &users[..1], Ambiguous(vec![ComputerId(1)]));
}

#[test]
fn a_tie_is_no_opinion() {
    let twin = |card| machine(["", "S1", "B1", ""], &[card]);
    check(twin(3), &[twin(1), twin(2)], New);
    check(twin(2), &[twin(1), twin(2)], Recognised(ComputerId(2)));
}

#[test]
fn a_changed_serial_speaks_against_but_can_be_outvoted() {
    // A repaired board: its serial is another, everything else is as it was.
    check(
        machine([U1, "S1", "B2", "C1"], &[1]),
        &[machine([U1, "S1", "B1", "C1"], &[1])],
        Recognised(ComputerId(1)),
    );
    check(machine(["", "S1", "B2", "C2"], &[2]), &[machine(["", "S1", "B1", "C1"], &[1])], New);
}

#[test]
fn a_uuid_in_the_other_byte_order_is_the_same_uuid() {
    let other = swapped(U1).expect("a uuid");
    assert_eq!(other, "44454c4c-4400-1035-8052-b4c04f564432");
    check(machine([&other, "", "", ""], &[2]), &[machine([U1, "", "", ""], &[1])], Recognised(ComputerId(1)));
    for text in
        ["", "4c4c4544", "4c4c4544-0044-3510-8052", "zz4c4544-0044-3510-8052-b4c04f564432", "a-b-c-d-e"]
    {
        assert_eq!(swapped(text), None, "{text}");
    }
}

#[test]
fn while_it_boots_a_machine_is_known_by_its_card() {
    let computers = known(&[machine([U1, "S1", "", ""], &[1])]);
    let glimpse = |uuid, card| recognise(&machine([uuid, "", "", ""], &[card]), Sight::Glimpse, &computers);
    assert_eq!(glimpse("", 1), Recognised(ComputerId(1)));
    assert_eq!(glimpse(U1, 7), Recognised(ComputerId(1)));
    assert_eq!(glimpse(U2, 1), New);
}

fn any_traits() -> impl Strategy<Value = Traits> {
    let fact = || select(vec![None, Some("a1"), Some("b2"), Some("c3")]);
    let uuid = select(vec![None, Some(U1), Some(U2)]);
    (uuid, fact(), fact(), fact(), prop::collection::btree_set(1u8..6, 1..4)).prop_map(
        |(uuid, system, board, chassis, cards)| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            Traits {
                facts: IdentityFacts {
                    system_uuid: owned(uuid),
                    system_serial: owned(system),
                    board_serial: owned(board),
                    chassis_serial: owned(chassis),
                },
                macs: cards.into_iter().map(|card| MacAddr([2, 0, 0, 0, 0, card])).collect(),
                ..Traits::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn the_order_in_which_computers_are_listed_does_not_matter(
        seen in any_traits(),
        computers in prop::collection::vec(any_traits(), 0..5),
    ) {
        let forward = known(&computers);
        let backward: Vec<_> = forward.iter().rev().cloned().collect();
        let sorted = |recognition| match recognition {
            Ambiguous(mut ids) => { ids.sort(); Ambiguous(ids) }
            other => other,
        };
        for sight in [Sight::Report, Sight::Glimpse] {
            assert_eq!(sorted(recognise(&seen, sight, &forward)), sorted(recognise(&seen, sight, &backward)));
        }
    }

    #[test]
    fn nobody_is_recognised_whose_uuid_differs(
        seen in any_traits(),
        computers in prop::collection::vec(any_traits(), 1..5),
    ) {
        let candidates = known(&computers);
        if let Recognised(id) = recognise(&seen, Sight::Report, &candidates) {
            let known = &candidates[id.0 as usize - 1].traits.facts.system_uuid;
            let differ = known.as_ref().zip(seen.facts.system_uuid.as_ref()).is_some_and(|(a, b)| a != b);
            assert!(!differ);
        }
    }

    #[test]
    fn a_registered_machine_that_comes_back_unchanged_is_recognised(
        mut computers in prop::collection::vec(any_traits(), 0..5),
        seen in any_traits(),
    ) {
        if recognise(&seen, Sight::Report, &known(&computers)) == New {
            computers.push(seen.clone());
            let id = ComputerId(computers.len() as i64);
            assert_eq!(recognise(&seen, Sight::Report, &known(&computers)), Recognised(id));
        }
    }

    /// A room as it is: every PC has a card and a disk of its own; its UUID and serials are its own or not there, but
    /// one of them the whole batch shares; a dock goes round, cards and disks are replaced now and then.
    #[test]
    fn no_pc_of_a_room_is_ever_taken_for_another(
        room in prop::collection::vec(any::<[bool; 3]>(), 2..6),
        shared in 0usize..4,
        boots in prop::collection::vec((any::<prop::sample::Index>(), 0u8..6), 1..24),
    ) {
        let mut computers: Vec<Traits> = Vec::new();
        let mut owners: Vec<usize> = Vec::new();
        let mut repairs = vec![(0u8, 0u8); room.len()];
        for (who, what) in boots {
            let pc = who.index(room.len());
            match what {
                0 => repairs[pc].0 += 1,
                1 => repairs[pc].1 += 1,
                _ => {}
            }
            let seen = pc_of_room(pc, room[pc], shared, repairs[pc], what == 2);
            match recognise(&seen, Sight::Report, &known(&computers)) {
                Recognised(id) => {
                    let row = id.0 as usize - 1;
                    assert_eq!(owners[row], pc, "{seen:?} was taken for {:?}", computers[row]);
                    computers[row] = seen;
                }
                New => {
                    computers.push(seen);
                    owners.push(pc);
                }
                Ambiguous(_) => {}
            }
        }
    }
}

/// PC number `pc`, which has its `own` UUID, system and board serial or not; fact number `shared` is the batch's.
fn pc_of_room(pc: usize, own: [bool; 3], shared: usize, (card, disk): (u8, u8), docked: bool) -> Traits {
    let own_texts =
        [format!("5a5a5a01-1111-2222-8333-b4c04f56449{pc}"), format!("Sys{pc}7K3"), format!("Board{pc}7K3")];
    let batch_texts = [U1, "Sys of a batch", "Board of a batch"];
    let text = |fact: usize| match (fact == shared, own[fact]) {
        (true, _) => batch_texts[fact],
        (false, true) => own_texts[fact].as_str(),
        (false, false) => "",
    };
    let pc_traits = machine([text(0), text(1), text(2), ""], &[]);
    let macs = BTreeSet::from([MacAddr([0x52, 0x54, 0, 1, pc as u8, card])]);
    let pc_traits = with_disks(&[&format!("disk {pc} {disk}")], Traits { macs, ..pc_traits });
    if docked { on_dock(pc_traits) } else { pc_traits }
}
