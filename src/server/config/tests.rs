use super::{Config, DhcpMode, EXAMPLE, raw::known_keys};

fn refused(text: &str, expect: &str) {
    let error = Config::parse(text, "test.toml").expect_err(text);
    let said = format!("{:#}", anyhow::Error::from(error));
    assert!(said.contains("test.toml"), "{said:?} names no file");
    assert!(said.contains(expect), "{said:?} does not say {expect:?}");
}

#[test]
fn the_example_is_the_defaults() {
    let defaults = Config::parse("", "nothing").expect("the defaults are valid");
    assert_eq!(Config::parse(EXAMPLE, "the example").expect("the example is valid"), defaults);
    assert_eq!(defaults.dhcp.mode, DhcpMode::Proxy);
    assert_eq!(defaults.store.path, defaults.server.data_dir.join("store"));
}

#[test]
fn the_example_with_every_key_uncommented_is_valid_too() {
    let all: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = Config::parse(&all, "the example").expect("every commented key is valid");
    assert!(config.network.interface.is_some() && config.dhcp.pool.is_some() && config.dhcp.domain.is_some());
}

#[test]
fn every_key_has_a_comment_above_it() {
    let mut previous = "";
    let mut keys = 0;
    for line in EXAMPLE.lines() {
        let is_key = !line.starts_with("# ") && line.contains(" = ");
        assert!(!is_key || previous.starts_with("# "), "{line} has no comment");
        keys += usize::from(is_key);
        previous = line;
    }
    assert_eq!(keys, known_keys().len());
}

#[test]
fn a_wrong_value_is_refused_with_what_is_allowed() {
    for (text, expect) in [
        ("[https]\nport = 0", "https.port = 0 is not allowed, expected a port from 1 to 65535"),
        ("[https]\nport = \"443\"", "https.port = \"443\""),
        ("[http]\nport = 65536", "http.port = 65536"),
        ("[server]\ndata_dir = \"data\"", "expected an absolute path"),
        ("[server]\nlanguage = \"de\"", "expected \"fr\" or \"en\""),
        ("[network]\ninterface = \"a name that is too long\"", "the name of a network interface"),
        ("[network]\naddress = \"0.0.0.0\"", "an IPv4 address"),
        ("[dhcp]\nmode = \"on\"", "\"proxy\", \"pxe\", \"full\" or \"off\""),
        ("[dhcp]\npool = \"10.0.0.9-10.0.0.1\"", "two addresses"),
        ("[dhcp]\ndns = [\"10.0.0.256\"]", "a list of IPv4 addresses"),
        ("[dhcp]\ndomain = \"a b\"", "a domain name"),
        ("[dhcp]\nlease_seconds = 1", "from 60 to 31536000"),
        ("[dhcp.reservations]\n\"52:54:00:12:34\" = \"10.0.0.5\"", "dhcp.reservations"),
        (
            "[dhcp.reservations]\n\"02:00:00:00:00:01\" = \"10.0.0.5\"\n\"02:00:00:00:00:02\" = \"10.0.0.5\"",
            "each address once",
        ),
        ("[boot]\nmenu_timeout_seconds = 0", "from 1 to 600"),
        ("[boot]\nkernel_options = \"quiet; reboot\"", "words of letters, digits and _-.,:=/+@%"),
        ("[boot]\nkernel_options = \"mimeo.server=10.0.0.9\"", "none of which begins with mimeo."),
        ("[auth]\nsession_hours = 721", "from 1 to 720"),
        ("tftp = true", "[name] on its own line"),
        ("[tftp\n", "is no TOML"),
    ] {
        refused(text, expect);
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    for (text, expect) in [
        ("[https]\nprot = 1", "unknown key https.prot, did you mean https.port?"),
        ("[network]\nmode = \"pxe\"", "did you mean dhcp.mode?"),
        ("[store]\ndir = \"/x\"", "unknown key store.dir"),
        ("[dhpc]\n", "unknown key dhpc, did you mean [dhcp]?"),
        ("port = 443", "unknown key port"),
    ] {
        refused(text, expect);
    }
}

#[test]
fn a_mode_that_gives_addresses_needs_a_pool() {
    refused("[dhcp]\nmode = \"pxe\"", "dhcp.pool is needed");
    refused("[dhcp]\nmode = \"full\"", "dhcp.pool is needed");
    let config = Config::parse("[dhcp]\nmode = \"pxe\"\npool = \"10.0.0.100 - 10.0.0.109\"", "test.toml");
    assert_eq!(config.expect("valid").dhcp.mode, DhcpMode::Pxe);
}
