//! The configuration as text: known keys over their defaults, before anything is understood.

use std::path::Path;

use super::EXAMPLE;

/// No configuration is this long: a larger file is not one.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a value in an error is cut to.
const SHOWN_CHARS_MAX: usize = 80;

/// A configuration file whose keys are all known, over the defaults.
pub struct RawConfig {
    file: String,
    given: toml::Table,
    defaults: toml::Table,
}

/// Reads a configuration file's text.
pub fn read_file(file: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: file.display().to_string(), source };
    let length = std::fs::metadata(file).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        return Err(unreadable(std::io::Error::other(format!(
            "it has {length} bytes, more than {FILE_BYTES_MAX}: this is no configuration"
        ))));
    }
    std::fs::read_to_string(file).map_err(unreadable)
}

impl RawConfig {
    /// Reads the text and checks that it has no key but those that the example lists.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let syntax =
            |source: toml::de::Error| ConfigError::Syntax { file: file.into(), source: Box::new(source) };
        let given: toml::Table = text.parse().map_err(syntax)?;
        let defaults: toml::Table = EXAMPLE.parse().map_err(syntax)?;
        let known = known_keys();
        for (section, content) in &given {
            let names: Vec<String> = match content {
                toml::Value::Table(keys) if !keys.is_empty() => {
                    keys.keys().map(|key| format!("{section}.{key}")).collect()
                }
                _ => vec![format!("{section}.")],
            };
            for name in names {
                let is_section = name.ends_with('.') && known.iter().any(|key| key.starts_with(&name));
                if !is_section && !known.contains(&name) {
                    return Err(ConfigError::UnknownKey {
                        file: file.into(),
                        key: name.trim_end_matches('.').into(),
                        nearest: nearest(&name, &known),
                    });
                }
                if is_section && !content.is_table() {
                    return Err(value_error(
                        file,
                        section,
                        content,
                        "a section, written as [name] on its own line",
                    ));
                }
            }
        }
        Ok(Self { file: file.into(), given, defaults })
    }

    /// The value of a key that has a default.
    ///
    /// # Panics
    /// Where `mimeo.example.toml` has no default for the key, which a test rules out.
    pub fn get<T>(
        &self,
        key: &str,
        allowed: &'static str,
        meaning: impl FnOnce(&toml::Value) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let value = lookup(&self.given, key).or_else(|| lookup(&self.defaults, key));
        let value = value.unwrap_or_else(|| panic!("mimeo.example.toml has no default for {key}"));
        meaning(value).ok_or_else(|| value_error(&self.file, key, value, allowed))
    }

    /// The value of a key that may be left out.
    pub fn find<T>(
        &self,
        key: &str,
        allowed: &'static str,
        meaning: impl FnOnce(&toml::Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        lookup(&self.given, key)
            .map(|value| meaning(value).ok_or_else(|| value_error(&self.file, key, value, allowed)))
            .transpose()
    }

    /// The error for a key that another key makes necessary.
    pub fn missing(&self, key: &str, needed: &'static str) -> ConfigError {
        ConfigError::MissingKey { file: self.file.clone(), key: key.into(), needed }
    }
}

/// Why a configuration is not one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("reading configuration {file}")]
    Unreadable { file: String, source: std::io::Error },
    #[error("{file} is no TOML")]
    Syntax { file: String, source: Box<toml::de::Error> },
    #[error("{file}: unknown key {key}, did you mean {nearest}?")]
    UnknownKey { file: String, key: String, nearest: String },
    #[error("{file}: {key} = {value} is not allowed, expected {allowed}")]
    BadValue { file: String, key: String, value: String, allowed: &'static str },
    #[error("{file}: {key} is needed {needed}")]
    MissingKey { file: String, key: String, needed: &'static str },
}

fn value_error(file: &str, key: &str, value: &toml::Value, allowed: &'static str) -> ConfigError {
    let value = value.to_string().chars().take(SHOWN_CHARS_MAX).collect();
    ConfigError::BadValue { file: file.into(), key: key.into(), value, allowed }
}

fn lookup<'a>(table: &'a toml::Table, key: &str) -> Option<&'a toml::Value> {
    let (section, name) = key.split_once('.')?;
    table.get(section)?.as_table()?.get(name)
}

/// Every `section.key` of the example, those behind `#` included.
pub(super) fn known_keys() -> Vec<String> {
    let mut section = "";
    let mut keys = Vec::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((name, _)) = line.trim_start_matches('#').split_once(" = ") {
            // A sentence of a comment starts with a space after its "#".
            if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                keys.push(format!("{section}.{name}"));
            }
        }
    }
    keys
}

/// The known key that differs from the wrong one by the fewest changed letters.
fn nearest(wrong: &str, known: &[String]) -> String {
    // A key may be right and stand in the wrong section, so the name alone counts for as much as the whole.
    let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |key: &&String| {
        let by_name =
            if name(wrong).is_empty() { usize::MAX } else { edit_distance(&name(wrong), &name(key)) };
        (edit_distance(wrong, key).min(by_name), edit_distance(wrong, key))
    };
    let nearest = known.iter().min_by_key(distance).cloned().unwrap_or_default();
    match nearest.split_once('.') {
        Some((section, _)) if wrong.ends_with('.') => format!("[{section}]"),
        _ => nearest,
    }
}

/// Levenshtein's distance.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(SHOWN_CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(SHOWN_CHARS_MAX).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
