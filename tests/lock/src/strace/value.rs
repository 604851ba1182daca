//! The values in a call, as strace writes them.

/// A descriptor, and the file that it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Descriptor {
    /// Its number; `AT_FDCWD` has none.
    pub number: Option<i32>,
    /// The file's path when it was opened, or what kind of thing it is.
    pub path: String,
}

/// Splits a list of values at its commas: arguments, or what stands between brackets.
#[must_use]
pub fn parts(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, depth, c) in outside_strings(list) {
        if depth == 0 && c == ',' {
            parts.extend(list.get(start..at));
            start = at + 1;
        }
    }
    parts.extend(list.get(start..));
    parts.retain(|part| !part.trim().is_empty());
    parts.into_iter().map(str::trim).collect()
}

/// What stands in `[a, b]` or `{a, b}`.
#[must_use]
pub fn elements(value: &str) -> Vec<&str> {
    let inner = value.strip_prefix(['[', '{']).and_then(|value| value.strip_suffix([']', '}']));
    inner.map(parts).unwrap_or_default()
}

/// A field of `{name=value, …}`, without strace's remark on it.
#[must_use]
pub fn field<'a>(structure: &'a str, name: &str) -> Option<&'a str> {
    let fields = elements(structure).into_iter().filter_map(|field| field.split_once('='));
    let mut values = fields.filter(|(other, _)| *other == name).map(|(_, value)| value);
    let value = values.next()?;
    Some(value.split_once(" /*").map_or(value, |(value, _)| value))
}

/// `3</run/restart.lock>`, `5</run/#17>(deleted)`, `AT_FDCWD</>`.
#[must_use]
pub fn descriptor(value: &str) -> Option<Descriptor> {
    let (number, rest) = value.split_once('<')?;
    let number = match number {
        "AT_FDCWD" => None,
        number => Some(number.parse().ok()?),
    };
    let path = rest.strip_suffix("(deleted)").unwrap_or(rest).strip_suffix('>')?;
    Some(Descriptor { number, path: path.to_owned() })
}

/// The bytes of a string in quotes.
#[must_use]
pub fn text(value: &str) -> Option<Vec<u8>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::new();
    let mut rest = inner.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'x' => digits(&mut rest, 0, 2, 16)?,
            digit @ b'0'..=b'7' => digits(&mut rest, digit - b'0', 2, 8)?,
            other => other,
        });
    }
    Some(bytes)
}

/// Up to `most` more digits of a number that begins with `value`.
fn digits(
    rest: &mut std::iter::Peekable<std::str::Bytes<'_>>,
    value: u8,
    most: usize,
    base: u32,
) -> Option<u8> {
    let mut value = u32::from(value);
    for _ in 0..most {
        let Some(digit) = rest.peek().and_then(|byte| char::from(*byte).to_digit(base)) else {
            break;
        };
        rest.next();
        value = value * base + digit;
    }
    u8::try_from(value).ok()
}

/// The strings among some values, in their quotes; and everything else.
#[must_use]
pub fn sift(values: &str) -> (Vec<&str>, String) {
    let (mut strings, mut rest) = (Vec::new(), String::new());
    let (mut opened, mut escaped) = (None, false);
    for (at, c) in values.char_indices() {
        match opened {
            None if c == '"' => opened = Some(at),
            None => rest.push(c),
            Some(start) if c == '"' && !escaped => {
                strings.extend(values.get(start..=at));
                opened = None;
            }
            Some(_) => escaped = !escaped && c == '\\',
        }
    }
    (strings, rest)
}

/// Splits at the bracket that closes what is open at the start.
pub(super) fn until_closed(text: &str) -> Option<(&str, &str)> {
    let mut ends = outside_strings(text).filter(|(_, depth, c)| *depth < 0 && *c == ')');
    let (at, ..) = ends.next()?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The characters that stand in no string, with how many brackets are open *after* each.
fn outside_strings(text: &str) -> impl Iterator<Item = (usize, i32, char)> {
    let mut depth = 0;
    let (mut in_string, mut escaped) = (false, false);
    text.char_indices().filter_map(move |(at, c)| {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            return None;
        }
        match c {
            '"' => in_string = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        Some((at, depth, c))
    })
}
