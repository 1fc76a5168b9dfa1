//! A DHCP server's answer as values. Its options are walked by [`mimeo_core::wire::dhcp_options`], in `file` and `sname`
//! too where the server keeps some there (option overload).

use std::{
    net::Ipv4Addr,
    ops::{Range, RangeFrom},
    time::Duration,
};

use mimeo_core::{ids::MacAddr, wire::dhcp_options::Options};

/// Where what is in a message (RFC 2131 section 2).
const FIXED: [u8; 3] = [2, 1, 6]; // a reply, Ethernet, addresses of six bytes
const XID: Range<usize> = 4..8;
const YIADDR: Range<usize> = 16..20;
const CHADDR: Range<usize> = 28..34;
const SNAME: Range<usize> = 44..108;
const FILE: Range<usize> = 108..236;
const COOKIE: Range<usize> = 236..240;
const OPTIONS: RangeFrom<usize> = 240..;
const MAGIC: [u8; 4] = [99, 130, 83, 99];

/// Options by their numbers (RFC 2132, RFC 3442).
pub(super) const SUBNET_MASK: u8 = 1;
pub(super) const ROUTER: u8 = 3;
pub(super) const INTERFACE_MTU: u8 = 26;
pub(super) const LEASE_TIME: u8 = 51;
const MESSAGE_TYPE: u8 = 53;
const SERVER_ID: u8 = 54;
pub(super) const CLASSLESS_ROUTES: u8 = 121;

/// A lease shorter than this would have the client renew without end; it is taken for this long.
const LEASE_MIN: Duration = Duration::from_secs(10);

/// A mask that is missing or empty stands for the network of a classroom.
const PREFIX_LENGTH_DEFAULT: u8 = 24;

/// The MTU that every IPv4 network has at least (RFC 2132 section 5.1 allows down to 68, on which nothing works), and
/// that of Ethernet, which every card has from the start.
const MTU_RANGE: Range<u16> = 576..1500;

/// What a server granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub address: Ipv4Addr,
    pub prefix_length: u8,
    /// The ways to other networks, those without a gateway first: others may lead over them. The size of the message
    /// bounds their number, to 250.
    pub routes: Vec<Route>,
    /// Where the network carries less than Ethernet does (a tunnel between sites), the longest packet.
    pub mtu: Option<u16>,
    pub server: Ipv4Addr,
    pub duration: Duration,
}

/// A way to another network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub destination: Ipv4Addr,
    /// Zero, with the destination 0.0.0.0, for every network that has no way of its own.
    pub prefix_length: u8,
    /// `None`: the network is reached without anybody between.
    pub gateway: Option<Ipv4Addr>,
}

/// What kind of answer it is, as far as a client cares (RFC 2132 section 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Offer,
    Ack,
    Nak,
}

/// An answer to this client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: Kind,
    /// `None` where it grants no address (a ProxyDHCP server's answer) or says not who grants it.
    pub(super) lease: Option<Lease>,
}

/// Reads what arrived on the client's port; `None` where it is no answer to this question, or malformed.
pub(super) fn parse(bytes: &[u8], mac: MacAddr, transaction: u32) -> Option<Answer> {
    let is_ours = bytes.starts_with(&FIXED)
        && bytes.get(XID)? == transaction.to_be_bytes()
        && bytes.get(CHADDR)? == mac.0
        && bytes.get(COOKIE)? == MAGIC;
    is_ours.then_some(())?;
    let (options, _) = Options::parse(bytes.get(OPTIONS)?, bytes.get(FILE)?, bytes.get(SNAME)?).ok()?;
    let kind = match options.get(MESSAGE_TYPE)? {
        [2] => Kind::Offer,
        [5] => Kind::Ack,
        [6] => Kind::Nak,
        _ => return None,
    };
    Some(Answer { kind, lease: lease(address(bytes.get(YIADDR)?)?, &options) })
}

fn lease(address: Ipv4Addr, options: &Options) -> Option<Lease> {
    let server = options.get(SERVER_ID).and_then(self::address)?;
    if address.is_unspecified() {
        return None;
    }
    let mask = options.get(SUBNET_MASK).and_then(self::address).filter(|mask| !mask.is_unspecified());
    let prefix_length = mask.map_or(PREFIX_LENGTH_DEFAULT, |mask| u32::from(mask).leading_ones() as u8);
    let mtu = options.get(INTERFACE_MTU).and_then(|value| Some(u16::from_be_bytes(value.try_into().ok()?)));
    let seconds = options.get(LEASE_TIME).and_then(|value| Some(u32::from_be_bytes(value.try_into().ok()?)));
    Some(Lease {
        address,
        prefix_length,
        routes: routes(options),
        mtu: mtu.filter(|mtu| MTU_RANGE.contains(mtu)),
        server,
        duration: Duration::from_secs(seconds.unwrap_or(u32::MAX).into()).max(LEASE_MIN),
    })
}

/// Classless routes where the server names any: then its router counts for nothing (RFC 3442), or else the first of its
/// routers. A list of routes that is malformed is none.
fn routes(options: &Options) -> Vec<Route> {
    if let Some(mut routes) = options.get(CLASSLESS_ROUTES).and_then(classless_routes) {
        routes.sort_by_key(|route| route.gateway.is_some());
        return routes;
    }
    let first = options.get(ROUTER).and_then(|routers| address(routers.get(..4)?));
    let default =
        |router| Route { destination: Ipv4Addr::UNSPECIFIED, prefix_length: 0, gateway: Some(router) };
    first.filter(|router| !router.is_unspecified()).map(default).into_iter().collect()
}

/// Each route: the width of its mask, as many bytes of the network as the mask touches, the router.
fn classless_routes(mut rest: &[u8]) -> Option<Vec<Route>> {
    let mut routes = Vec::new();
    while let Some((&prefix_length, tail)) = rest.split_first() {
        let mask = match prefix_length {
            0 => 0,
            1..=32 => u32::MAX << (32 - prefix_length),
            _ => return None,
        };
        let (significant, tail) = tail.split_at_checked(usize::from(prefix_length.div_ceil(8)))?;
        let (router, tail) = tail.split_at_checked(4)?;
        let mut network = [0; 4];
        network[..significant.len()].copy_from_slice(significant);
        // Bits that stand behind the mask mean nothing, and the kernel refuses them.
        let destination = Ipv4Addr::from(u32::from_be_bytes(network) & mask);
        let gateway = address(router).filter(|router| !router.is_unspecified());
        routes.push(Route { destination, prefix_length, gateway });
        rest = tail;
    }
    (!routes.is_empty()).then_some(routes)
}

fn address(value: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use mimeo_core::ids::MacAddr;
    use proptest::prelude::{any, proptest};

    use super::{Answer, FILE, Kind, Route, SNAME, classless_routes, parse};

    const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 1, 2, 3]);

    /// A message to us that grants 10.0.0.50, with these options.
    fn message(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 240];
        bytes[..3].copy_from_slice(&[2, 1, 6]);
        bytes[4..8].copy_from_slice(&7_u32.to_be_bytes());
        bytes[16..20].copy_from_slice(&[10, 0, 0, 50]);
        bytes[28..34].copy_from_slice(&MAC.0);
        bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
        bytes.extend_from_slice(options);
        bytes
    }

    fn via(destination: [u8; 4], prefix_length: u8, gateway: [u8; 4]) -> Route {
        Route { destination: destination.into(), prefix_length, gateway: Some(gateway.into()) }
    }

    fn routes(options: &[u8]) -> Vec<Route> {
        let options = [&[53, 1, 5, 54, 4, 10, 0, 0, 1], options, &[255]].concat();
        parse(&message(&options), MAC, 7).expect("an answer").lease.expect("a lease").routes
    }

    #[test]
    fn options_in_the_header_s_names_count() {
        // Which kind of answer it is stands with the options, who grants the address in `file`, its mask in `sname`.
        let mut bytes = message(&[52, 1, 3, 53, 1, 2, 255]);
        bytes[FILE][..7].copy_from_slice(&[54, 4, 10, 0, 0, 1, 255]);
        bytes[SNAME][..7].copy_from_slice(&[1, 4, 255, 255, 0, 0, 255]);
        let answer = parse(&bytes, MAC, 7).expect("an answer");
        let lease = answer.lease.expect("a lease");
        assert_eq!((answer.kind, lease.server, lease.prefix_length), (Kind::Offer, [10, 0, 0, 1].into(), 16));
        // The same names without the word that they hold options are names.
        bytes[240..243].fill(0);
        assert_eq!(parse(&bytes, MAC, 7), Some(Answer { kind: Kind::Offer, lease: None }));
    }

    #[test]
    fn what_is_not_meant_for_us_or_malformed_is_no_answer() {
        let good = message(&[53, 1, 5, 54, 4, 10, 0, 0, 1, 255]);
        assert!(parse(&good, MAC, 7).is_some());
        assert_eq!(parse(&good, MAC, 8), None);
        // A request; another kind of card; a longer address; another card; no DHCP.
        for (at, value) in [(0, 1), (1, 6), (2, 16), (28, 1), (236, 0)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(parse(&bad, MAC, 7), None, "byte {at}");
        }
        assert_eq!(parse(&message(&[53, 1, 5, 54, 9, 10]), MAC, 7), None, "an option that is cut off");
        assert_eq!(parse(&message(&[53, 1, 1, 255]), MAC, 7), None, "a question");
    }

    #[test]
    fn classless_routes_are_read_and_take_the_router_s_place() {
        let router = [3, 4, 10, 0, 0, 254];
        assert_eq!(routes(&router), [via([0; 4], 0, [10, 0, 0, 254])]);
        // RFC 3442's own example of a default route, one to 10.17.0.0/16, one on the link.
        let three = [121, 21, 0, 10, 0, 0, 1, 16, 10, 17, 10, 0, 0, 2, 32, 10, 0, 9, 1, 0, 0, 0, 0];
        let on_link = Route { destination: [10, 0, 9, 1].into(), prefix_length: 32, gateway: None };
        assert_eq!(
            routes(&[&router[..], &three].concat()),
            [on_link, via([0; 4], 0, [10, 0, 0, 1]), via([10, 17, 0, 0], 16, [10, 0, 0, 2])],
            "and those on the link come first"
        );
        // A network whose last byte says more than its mask.
        assert_eq!(routes(&[121, 8, 20, 10, 1, 255, 10, 0, 0, 2]), [via([10, 1, 240, 0], 20, [10, 0, 0, 2])]);
    }

    #[test]
    fn a_list_of_routes_that_is_malformed_leaves_the_router() {
        for malformed in [&[33, 10, 0, 0, 1, 10, 0, 0, 1][..], &[24, 10, 0, 0, 10, 0, 0], &[8], &[]] {
            assert_eq!(classless_routes(malformed), None, "{malformed:?}");
            let options = [&[121, malformed.len() as u8], malformed, &[3, 4, 10, 0, 0, 254]].concat();
            assert_eq!(routes(&options), [via([0; 4], 0, [10, 0, 0, 254])]);
        }
        assert_eq!(routes(&[3, 4, 0, 0, 0, 0]), []);
    }

    proptest! {
        #[test]
        fn any_bytes_may_be_looked_into(options in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Some(Answer { lease: Some(lease), .. }) = parse(&message(&options), MAC, 7) {
                assert!(lease.routes.len() <= options.len() / 5 + 1);
            }
        }

        #[test]
        fn every_route_has_a_network_that_its_mask_covers(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            for route in classless_routes(&bytes).unwrap_or_default() {
                let outside = u32::MAX.checked_shr(route.prefix_length.into()).unwrap_or(0);
                assert!(route.prefix_length <= 32 && u32::from(route.destination) & outside == 0);
                assert!(route.gateway != Some(Ipv4Addr::UNSPECIFIED));
            }
        }
    }
}
