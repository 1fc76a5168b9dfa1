//! `mimeo token` and `mimeo setup-code`: how people and programs get in.

use serde_json::json;

use super::{
    Output,
    connection::{Connection, in_path, understand},
    failure::CliError,
    screen::{print, print_json},
};
use crate::{
    api::login::{NewToken, SetupCodeView, TokenRequest, TokenView},
    clock::Timestamp,
};

pub(super) async fn create(connection: &Connection, name: &str, out: Output) -> Result<(), CliError> {
    let answer = connection.post("/tokens", &TokenRequest { name: name.to_owned() }).await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let made: NewToken = understand(&answer)?;
    print(&format!("{}\n\n{}", made.token, out.words.say("token-shown-once")));
    Ok(())
}

pub(super) async fn list(connection: &Connection, out: Output) -> Result<(), CliError> {
    let answer = connection.get("/tokens").await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let tokens: Vec<TokenView> = understand(&answer)?;
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> =
        tokens.into_iter().map(|token| vec![token.name, out.words.ago(token.created, now)]).collect();
    print(&out.words.table(&["column-token", "column-made"], &rows, "none-tokens"));
    Ok(())
}

pub(super) async fn delete(connection: &Connection, name: &str, out: Output) -> Result<(), CliError> {
    connection.delete(&format!("/tokens/{}", in_path(name))).await?;
    match out.json {
        true => print_json(&json!({ "deleted": name })),
        false => print(&out.words.say_of("token-deleted", "name", name)),
    }
    Ok(())
}

pub(super) async fn setup_code(connection: &Connection, renew: bool, out: Output) -> Result<(), CliError> {
    let answer = match renew {
        true => connection.post("/setup-code", &json!({})).await?,
        false => connection.get("/setup-code").await?,
    };
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let view: SetupCodeView = understand(&answer)?;
    match view.code {
        Some(code) => print(&code),
        None => print(&out.words.say("setup-done")),
    }
    Ok(())
}
