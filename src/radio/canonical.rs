//! Canonical JSON: RFC 8785 in a restricted profile, so that the same receipt has the same bytes everywhere.
//!
//! Keys are `[a-z0-9_]`, numbers are integers within ±(2^53 − 1), there is no null. Within this profile RFC 8785 is
//! "sorted keys, compact, UTF-8".

use serde_json::Value;

use super::quote::quote;

/// The largest integer that every JSON reader keeps: 2^53 − 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a value has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A null.
    #[error("null has no place in a receipt")]
    Null,
    /// A number with a fraction, or one beyond ±(2^53 − 1).
    #[error("{0} is not an integer within ±(2^53 − 1)")]
    Number(String),
    /// A key beyond `[a-z0-9_]`.
    #[error("the key {0:?} is not made of a-z, 0-9 and _")]
    Key(String),
}

/// The canonical text of `value`.
pub fn canonical(value: &Value) -> Result<String, Error> {
    let mut out = String::with_capacity(1_024);
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<(), Error> {
    match value {
        Value::Null => return Err(Error::Null),
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Number(number) => {
            let fits = number.as_i64().is_some_and(|n| n.unsigned_abs() <= INTEGER_MAX);
            if !fits {
                return Err(Error::Number(number.to_string()));
            }
            out.push_str(&number.to_string());
        }
        Value::String(text) => write_string(text, out),
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, out)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                if key.is_empty() || !key.bytes().all(plain) {
                    return Err(Error::Key(quote(key)));
                }
                if index > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write(value, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    // What is escaped is ASCII, so a text may be cut there.
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            8 => "\\b",
            b'\t' => "\\t",
            b'\n' => "\\n",
            12 => "\\f",
            b'\r' => "\\r",
            0..b' ' => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        out.push_str(escape);
        if escape.is_empty() {
            out.push_str(&format!("\\u{byte:04x}"));
        }
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sorts_keys_and_wastes_no_byte() {
        let value = json!({"b": [1, -2, true], "a": {"z": "é\n\u{1}\"\\\u{7f}𝄞", "_0": 0}});
        // The same document from Python: json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert_eq!(
            canonical(&value).unwrap(),
            "{\"a\":{\"_0\":0,\"z\":\"é\\n\\u0001\\\"\\\\\u{7f}𝄞\"},\"b\":[1,-2,true]}"
        );
    }

    #[test]
    fn control_characters_are_escaped_as_briefly_as_can_be() {
        let escaped = canonical(&json!("\u{8}\t\n\u{c}\r\u{0}\u{1f} ")).unwrap();
        assert_eq!(escaped, r#""\b\t\n\f\r\u0000\u001f ""#);
    }

    #[test]
    fn refuses_what_readers_disagree_about() {
        assert_eq!(canonical(&json!(null)), Err(Error::Null));
        assert_eq!(canonical(&json!(6.0)), Err(Error::Number("6.0".into())));
        assert_eq!(canonical(&json!(9_007_199_254_740_992_u64)), Err(Error::Number("9007199254740992".into())));
        assert!(canonical(&json!(INTEGER_MAX)).is_ok());
        assert!(canonical(&json!(u64::MAX)).is_err());
        assert_eq!(canonical(&json!({"A": 1})), Err(Error::Key("A".into())));
        assert_eq!(canonical(&json!({"": 1})), Err(Error::Key(String::new())));
        assert!(canonical(&json!(-9_007_199_254_740_991_i64)).is_ok());
    }
}
