//! What a file is: by its first bytes, else by its name.

use std::fmt::Write;

/// How many bytes from the start [`content_type`] looks at.
pub(super) const SNIFF_BYTES: usize = 512;
const TS_PACKET_BYTES: usize = 188;

/// The media type of a file that begins with `start` and is known as `name`.
///
/// Content goes first: hosts' tables of extensions take `.ts` for a translation file.
pub(super) fn content_type(start: &[u8], name: &str) -> &'static str {
    by_content(start).or_else(|| by_name(name)).unwrap_or_else(|| if is_text(start) { PLAIN } else { BINARY })
}

const PLAIN: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";
const HTML: &str = "text/html; charset=utf-8";
const PLAYLIST: &str = "application/vnd.apple.mpegurl";

fn by_content(start: &[u8]) -> Option<&'static str> {
    if start.starts_with(b"#EXTM3U\n") || start.starts_with(b"#EXTM3U\r\n") {
        return Some(PLAYLIST);
    }
    let starts = start.iter().step_by(TS_PACKET_BYTES).take(3);
    if start.len() > 2 * TS_PACKET_BYTES && starts.into_iter().all(|byte| *byte == 0x47) {
        return Some("video/mp2t");
    }
    let head = start.get(..15).unwrap_or(start).to_ascii_lowercase();
    if head.starts_with(b"<!doctype html") || head.starts_with(b"<html") {
        return Some(HTML);
    }
    match start {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

fn by_name(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        "html" => Some(HTML),
        "json" => Some("application/json"),
        "m3u8" => Some(PLAYLIST),
        "css" => Some("text/css; charset=utf-8"),
        "js" | "mjs" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

fn is_text(start: &[u8]) -> bool {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character may be cut where the look ends.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or(""),
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'))
}

/// A `Content-Disposition` that gives a file its name (RFC 6266): plain ASCII for old clients, all of it for the rest.
pub(super) fn disposition(download: bool, filename: &str) -> String {
    let name: String =
        filename.chars().filter(|c| !c.is_control()).map(|c| if "/\\".contains(c) { '_' } else { c }).collect();
    let plain: String = name.chars().map(|c| if c.is_ascii() && c != '"' && c != '%' { c } else { '_' }).collect();
    let mut text = format!("{}; filename=\"{plain}\"", if download { "attachment" } else { "inline" });
    if plain != name {
        text.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(byte.into()),
                _ => _ = write!(text, "%{byte:02X}"),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_bytes_then_by_their_names() {
        let mut ts = vec![0u8; 4 * TS_PACKET_BYTES];
        ts.iter_mut().step_by(TS_PACKET_BYTES).for_each(|byte| *byte = 0x47);
        let mut broken = ts.clone();
        broken[TS_PACKET_BYTES] = 0;
        let table: [(&[u8], &str, &str); 16] = [
            (b"#EXTM3U\n#EXT-X-VERSION:9\n", "", PLAYLIST),
            (b"#EXTM3U\r\n", "x.ts", PLAYLIST),
            (b"#EXTM3U x\n", "", PLAIN),
            (&ts, "s.mpegts", "video/mp2t"),
            (&ts, "", "video/mp2t"),
            (&broken, "", BINARY),
            (&ts[..300], "", BINARY),
            (b"<!DOCTYPE html><title>x", "", HTML),
            (b"{}", "now.json", "application/json"),
            (b"{}", "", PLAIN),
            (b"\x89PNG\r\n\x1a\n", "cover", "image/png"),
            (b"\xff\xd8\xff\xe0", "", "image/jpeg"),
            (b"plain \xc3\xbc", "", PLAIN),
            (b"cut \xc3", "", PLAIN),
            (b"not \xff text", "", BINARY),
            (b"", "", BINARY),
        ];
        for (start, name, expected) in table {
            assert_eq!(content_type(start, name), expected, "{name} {:?}", &start[..start.len().min(12)]);
        }
    }

    #[test]
    fn a_filename_cannot_break_out_of_its_header() {
        let table = [
            ("s.mpegts", r#"inline; filename="s.mpegts""#),
            ("a\"b", r#"inline; filename="a_b"; filename*=UTF-8''a%22b"#),
            ("ü.ts", r#"inline; filename="_.ts"; filename*=UTF-8''%C3%BC.ts"#),
            ("../x\r\nSet-Cookie: a", r#"inline; filename=".._xSet-Cookie: a""#),
            ("50%.ts", r#"inline; filename="50_.ts"; filename*=UTF-8''50%25.ts"#),
        ];
        for (name, expected) in table {
            assert_eq!(disposition(false, name), expected);
        }
        assert!(disposition(true, "x").starts_with("attachment;"));
    }
}
