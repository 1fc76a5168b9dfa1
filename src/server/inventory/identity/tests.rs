use mimeo_core::{
    ids::{ComputerId, MacAddr},
    machine::{Identity, IdentityFacts},
};
use proptest::{
    prelude::{Strategy, prop, proptest},
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
    Traits { facts: identity.facts(), macs }
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
}
