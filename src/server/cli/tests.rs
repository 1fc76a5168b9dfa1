use clap::{CommandFactory, Parser};

use super::Cli;

/// Every command's help, one after the other.
fn all_help() -> String {
    let mut text = String::new();
    let mut pending = vec![Cli::command().term_width(100).bin_name("mimeo")];
    while let Some(mut command) = pending.pop() {
        command.build();
        let name = command.get_bin_name().unwrap_or_default().to_owned();
        text.push_str(&format!("$ {name} --help\n{}\n", command.render_help()));
        let children: Vec<_> =
            command.get_subcommands().filter(|child| child.get_name() != "help").cloned().collect();
        pending.extend(children.into_iter().rev());
    }
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// What people read stays what somebody wrote and looked at. After a change on purpose:
/// `MIMEO_WRITE_HELP=1 cargo test -p mimeo-server help_is_as_it_was_written`, and read the difference.
#[test]
fn help_is_as_it_was_written() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/cli/help.txt");
    let help = all_help();
    if std::env::var_os("MIMEO_WRITE_HELP").is_some() {
        std::fs::write(path, &help).expect("help.txt can be written");
    }
    let written = std::fs::read_to_string(path).expect("help.txt is there");
    assert!(help == written, "the help differs from cli/help.txt:\n{help}");
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    for line in [
        "mimeo",
        "mimeo fly",
        "mimeo capture pc-1",
        "mimeo deploy debian",
        "mimeo cancel seven",
        "mimeo token",
        "mimeo computers --token x",
        "mimeo computers --loader ipxe",
        "mimeo computers pc-1 --loader lilo",
        "mimeo dhcp-snippets --server cisco",
    ] {
        let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn options_stand_before_and_after_the_command() {
    for line in
        ["mimeo --json computers", "mimeo computers --json", "mimeo deploy debian@3 pc-1 pc-2 --yes --json"]
    {
        assert!(Cli::try_parse_from(line.split(' ')).expect(line).options.json, "{line}");
    }
}
