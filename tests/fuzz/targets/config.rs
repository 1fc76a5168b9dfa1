//! The configuration file.

use mimeo_server::config::{Config, EXAMPLE};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "config",
    whose: "the administrator",
    check,
    seeds,
    words: &[
        b"[dhcp]\n",
        b"mode = \"pxe\"\n",
        b"pool = \"10.0.0.1-10.0.0.9\"\n",
        b"reservations = {",
        b"[http]\nport = ",
        b"[boot]\nkernel_options = \"",
        b"[auth]\nsession_hours = ",
        b"-9223372036854775808",
        b"\"\"\"",
    ],
    input_bytes_max: 8192,
    memory_bytes_max: 16 << 20,
};

/// What is accepted keeps the promises that the rest of the server builds on.
fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match Config::parse(&text, "fuzzed.toml") {
        Ok(config) => {
            assert!(config.dhcp.pool.is_none_or(|pool| pool.first <= pool.last));
            assert!(config.http.port > 0 && config.https.port > 0);
            assert!(config.server.data_dir.is_absolute() && config.store.path.is_absolute());
            assert!(config.boot.kernel_options.words().iter().all(|word| !word.contains(['\n', '\r', ' '])));
        }
        Err(error) => assert!(error.to_string().contains("fuzzed.toml"), "{error}"),
    }
}

/// The example as it is, and with every line in force.
fn seeds() -> Vec<Vec<u8>> {
    let in_force =
        |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
    let all: Vec<String> = EXAMPLE.lines().map(in_force).collect();
    let pool = "[dhcp]\nmode = \"full\"\npool = \"10.0.0.10-10.0.0.20\"\nrouter = \"10.0.0.1\"\ndns = [\"10.0.0.1\"]\n\
        domain = \"school.example\"\nreservations = { \"52:54:00:12:34:56\" = \"10.0.0.30\" }\n";
    vec![EXAMPLE.into(), all.join("\n").into_bytes(), pool.into()]
}
