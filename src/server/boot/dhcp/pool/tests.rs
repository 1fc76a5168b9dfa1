use std::{collections::HashMap, net::Ipv4Addr, time::Duration};

use mimeo_core::ids::MacAddr;
use proptest::prelude::{Strategy, prop_oneof, proptest};

use super::{CHECK_HOLD, Checked, OFFER_HOLD, OFFER_HOLD_SHORT, Pool, TAKEN_HOLD, TAKEN_HOLD_SHORT};
use crate::{
    boot::dhcp::{
        lease::Lease,
        settings::{Mode, Settings},
    },
    clock::Timestamp,
};

const NOW: Timestamp = Timestamp(1_000_000);
const LEASE: Duration = Duration::from_secs(300);

fn mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, host)
}

/// Addresses .100 to .104, of which .101 is the router's and .103 is reserved for card 9.
fn pool(leases: &[Lease]) -> Pool {
    let settings = Settings {
        mode: Mode::Full,
        pool: Some(address(100)..=address(104)),
        router: Some(address(101)),
        reservations: HashMap::from([(mac(9), address(103)), (mac(8), address(50))]),
        ..Settings::proxy("eth0", address(1), 24)
    };
    Pool::new(&settings, leases)
}

/// Chooses, checks and leases.
fn give(pool: &mut Pool, card: u8, now: Timestamp) -> Option<Ipv4Addr> {
    let address = pool.choose(mac(card), None, now)?;
    pool.claim(mac(card), address, now);
    assert_eq!(pool.checked(mac(card), address, None, now), Checked::Free);
    pool.lease(mac(card), address, now.plus(LEASE));
    Some(address)
}

#[test]
fn addresses_are_given_in_order_except_those_that_are_somebodys() {
    let mut pool = pool(&[]);
    let given: Vec<_> = (1..=4).map(|card| give(&mut pool, card, NOW)).collect();
    assert_eq!(given, [Some(address(100)), Some(address(102)), Some(address(104)), None]);
    assert_eq!(give(&mut pool, 9, NOW), Some(address(103)), "reserved");
    assert_eq!(give(&mut pool, 8, NOW), Some(address(50)), "reserved beside the range");
}

#[test]
fn a_card_gets_its_address_again_and_others_only_when_none_is_left() {
    let mut pool = pool(&[]);
    for card in 1..=2 {
        assert!(give(&mut pool, card, NOW.plus(Duration::from_secs(card.into()))).is_some());
    }
    let later = NOW.plus(LEASE * 2);
    assert_eq!(give(&mut pool, 3, later), Some(address(104)), "never given before remembered");
    assert_eq!(give(&mut pool, 2, later), Some(address(102)), "its own again");
    assert_eq!(give(&mut pool, 4, later), Some(address(100)), "the one unused for longest");
    assert_eq!(pool.address_of(mac(1)), None, "whose it no longer is");
    assert_eq!(give(&mut pool, 1, later), None);
}

#[test]
fn a_wish_is_granted_where_the_address_is_free() {
    let mut pool = pool(&[]);
    let mut wish = |host| pool.choose(mac(1), Some(address(host)), NOW);
    assert_eq!(wish(104), Some(address(104)));
    for refused in [101, 103, 50, 200] {
        assert_eq!(wish(refused), Some(address(100)), "{refused}");
    }
}

#[test]
fn an_offer_stands_for_its_time_and_a_lost_check_for_less() {
    let mut pool = pool(&[]);
    pool.claim(mac(1), address(100), NOW);
    assert!(!pool.is_free(address(100), mac(2), NOW));
    assert!(pool.is_free(address(100), mac(2), NOW.plus(CHECK_HOLD)));
    assert_eq!(pool.checked(mac(1), address(100), Some(mac(1)), NOW), Checked::Free, "it answers itself");
    assert!(pool.is_offered(mac(1), address(100), NOW));
    assert!(!pool.is_offered(mac(2), address(100), NOW));
    assert!(!pool.is_offered(mac(1), address(100), NOW.plus(OFFER_HOLD)));
    assert!(pool.withdraw(mac(1), NOW));
    assert!(!pool.withdraw(mac(1), NOW), "nothing is set aside any more");
    assert!(pool.is_free(address(100), mac(2), NOW));
}

#[test]
fn a_flood_of_machines_that_take_nothing_holds_the_pool_for_seconds() {
    let mut pool = pool(&[]);
    for (card, host) in [(1, 100), (2, 102), (3, 104)] {
        assert_eq!(pool.choose(mac(card), None, NOW), Some(address(host)));
        pool.claim(mac(card), address(host), NOW);
        assert_eq!(pool.checked(mac(card), address(host), None, NOW), Checked::Free);
    }
    let soon = NOW.plus(OFFER_HOLD_SHORT - Duration::from_millis(1));
    assert_eq!(pool.choose(mac(4), None, soon), None, "a machine that means it has its time");
    pool.lease(mac(1), address(100), NOW.plus(LEASE));
    let late = NOW.plus(OFFER_HOLD_SHORT);
    assert_eq!(give(&mut pool, 4, late), Some(address(102)), "a lease is never taken away");
    assert!(!pool.is_offered(mac(2), address(102), late));
    assert!(pool.is_offered(mac(3), address(104), late), "as long as it need not give way");
}

#[test]
fn a_flood_of_machines_that_decline_everything_puts_the_pool_aside_for_a_minute() {
    let mut pool = pool(&[]);
    for host in [100, 102, 104] {
        assert!(!pool.set_taken(address(host), NOW));
    }
    assert_eq!(pool.choose(mac(1), None, NOW.plus(TAKEN_HOLD_SHORT - Duration::from_millis(1))), None);
    assert_eq!(give(&mut pool, 1, NOW.plus(TAKEN_HOLD_SHORT)), Some(address(100)));
}

#[test]
fn an_address_on_which_somebody_answers_is_put_aside_for_a_while() {
    let mut pool = pool(&[]);
    pool.claim(mac(1), address(100), NOW);
    assert_eq!(pool.checked(mac(1), address(100), Some(mac(7)), NOW), Checked::Taken { forget: false });
    assert_eq!(give(&mut pool, 1, NOW), Some(address(102)));
    assert!(pool.is_free(address(100), mac(2), NOW.plus(TAKEN_HOLD)));
    let lost = pool.checked(mac(1), address(102), Some(mac(7)), NOW);
    assert_eq!(lost, Checked::Taken { forget: true }, "a lease of ours is over");
}

#[test]
fn a_lease_outlives_an_offer_that_comes_to_nothing() {
    let mut pool = pool(&[]);
    assert_eq!(give(&mut pool, 1, NOW), Some(address(100)));
    pool.claim(mac(1), address(100), NOW);
    assert!(pool.withdraw(mac(1), NOW));
    assert_eq!(pool.holder(address(100)), Some((mac(1), NOW.plus(LEASE))));
    assert!(!pool.is_free(address(100), mac(2), NOW));
    assert!(!pool.release(mac(2), address(100), NOW), "not its own");
    assert!(pool.release(mac(1), address(100), NOW));
    assert!(pool.is_free(address(100), mac(2), NOW));
}

#[test]
fn leases_from_before_a_restart_count_where_the_settings_still_allow_them() {
    let lease = |card, host, until: Timestamp| Lease { address: address(host), mac: mac(card), until };
    let later = NOW.plus(LEASE);
    let leases = [
        lease(1, 100, later),
        lease(2, 102, NOW),
        lease(3, 200, later),
        lease(4, 103, later),
        lease(5, 101, later),
        lease(2, 104, later),
    ];
    let mut pool = pool(&leases);
    assert!(!pool.is_free(address(100), mac(2), NOW));
    assert_eq!(pool.address_of(mac(2)), Some(address(104)), "the newer of two");
    assert_eq!(
        (pool.address_of(mac(3)), pool.address_of(mac(4)), pool.address_of(mac(5))),
        (None, None, None)
    );
    assert_eq!(give(&mut pool, 6, NOW), Some(address(102)), "ended, and nothing else is left");
}

#[derive(Debug, Clone)]
enum Op {
    Discover(u8, Option<u8>),
    Checked(u8, Option<u8>),
    Take(u8),
    Release(u8),
    Decline(u8),
    Withdraw(u8),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let card = 1_u8..=9;
    prop_oneof![
        4 => (card.clone(), proptest::option::of(98_u8..=106)).prop_map(|(card, wish)| Op::Discover(card, wish)),
        4 => (card.clone(), proptest::option::weighted(0.1, 1_u8..=12)).prop_map(|(card, heard)| Op::Checked(card, heard)),
        4 => card.clone().prop_map(Op::Take),
        1 => card.clone().prop_map(Op::Release),
        1 => card.clone().prop_map(Op::Decline),
        1 => card.prop_map(Op::Withdraw),
        2 => (0_u64..400).prop_map(Op::Pass),
    ]
}

proptest! {
    /// Whatever happens in whatever order: no address is two cards' at one time, none outside the pool is given.
    #[test]
    fn no_address_is_ever_given_twice(ops in proptest::collection::vec(op(), 1..120)) {
        let mut pool = pool(&[]);
        let mut now = NOW;
        let mut chosen: HashMap<u8, Ipv4Addr> = HashMap::new();
        // What clients believe: address, and until when.
        let mut believed: HashMap<u8, (Ipv4Addr, Timestamp)> = HashMap::new();
        for op in ops {
            match op {
                Op::Discover(card, wish) => {
                    if let Some(found) = pool.choose(mac(card), wish.map(address), now) {
                        assert!(pool.may_hold(found, mac(card)), "{found} for card {card}");
                        pool.claim(mac(card), found, now);
                        chosen.retain(|_, other| *other != found);
                        chosen.insert(card, found);
                    }
                }
                Op::Checked(card, heard) => {
                    if let Some(found) = chosen.remove(&card)
                        && let Checked::Taken { .. } = pool.checked(mac(card), found, heard.map(mac), now)
                    {
                        believed.retain(|_, (other, _)| *other != found);
                    }
                }
                Op::Take(card) => {
                    if let Some(own) = pool.address_of(mac(card)).filter(|own| pool.is_offered(mac(card), *own, now)) {
                        pool.lease(mac(card), own, now.plus(LEASE));
                        believed.insert(card, (own, now.plus(LEASE)));
                    }
                }
                Op::Release(card) => {
                    if let Some((own, _)) = believed.remove(&card) {
                        pool.release(mac(card), own, now);
                    }
                }
                Op::Decline(card) => {
                    if let Some((own, _)) = believed.remove(&card) {
                        pool.set_taken(own, now);
                    }
                }
                Op::Withdraw(card) => drop(pool.withdraw(mac(card), now)),
                Op::Pass(seconds) => now = now.plus(Duration::from_secs(seconds)),
            }
            believed.retain(|_, (_, until)| *until > now);
            let mut seen = HashMap::new();
            for (card, (own, _)) in &believed {
                assert_eq!(seen.insert(*own, *card), None, "{own} is given twice");
                assert!(!pool.is_free(*own, mac(200), now), "{own} is free while card {card} uses it");
            }
        }
    }
}
