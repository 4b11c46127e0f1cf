//! On demand: the list of an item as players get it.

use super::segment::is_short_name;

/// Where the listener port serves the chunks.
pub const CHUNKS: &str = "/chunks/";

/// The path of a VOD list on the listener port.
pub fn address(id: &str, stream: &str) -> String {
    format!("/audio/{id}/stream/{stream}.m3u8")
}

/// A VOD list whose bare chunk names have become addresses: `base`, the name, `.ts`.
///
/// Everything else stays as it is: tags, comments, blank lines, line ends, and what is an address already. So a list that
/// was rewritten stays the same.
pub fn rewrite(list: &str, base: &str) -> String {
    let mut text = String::with_capacity(list.len() + list.len() / 4);
    for line in list.split_inclusive('\n') {
        let content = line.trim_end_matches(['\r', '\n']);
        if is_short_name(content) {
            text.push_str(&format!("{base}{content}.ts{}", &line[content.len()..]));
        } else {
            text.push_str(line);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn bare_names_become_addresses_and_nothing_else_changes() {
        let list = format!(
            "#EXTM3U\r\n#EXTINF:5.990748,\r\n{NAME}\r\n\n#EXTINF:1.000000,{NAME}\n{NAME}\nhttps://a/{NAME}.ts\n"
        );
        let expected = format!(
            "#EXTM3U\r\n#EXTINF:5.990748,\r\n/chunks/{NAME}.ts\r\n\n#EXTINF:1.000000,{NAME}\n/chunks/{NAME}.ts\n\
             https://a/{NAME}.ts\n"
        );
        assert_eq!(rewrite(&list, CHUNKS), expected);
        assert_eq!(address("item", NAME), format!("/audio/item/stream/{NAME}.m3u8"));
        assert_eq!(rewrite(NAME, CHUNKS), format!("/chunks/{NAME}.ts"), "a last line without its end");
        for other in ["", "#EXTM3U", &NAME[1..], &NAME.to_uppercase(), &format!(" {NAME}"), "../../etc/passwd"] {
            assert_eq!(rewrite(other, CHUNKS), other);
        }
    }

    proptest! {
        #[test]
        fn tags_order_and_line_ends_stay_and_twice_is_once(
            lines in proptest::collection::vec(("(#[A-Z:,0-9]{0,9}|[0-9a-f]{32}|/[a-z0-9.]{0,40}|[^\r\n]{0,9})", "\r?\n"), 0..9)
        ) {
            let list: String = lines.iter().map(|(line, end)| format!("{line}{end}")).collect();
            let once = rewrite(&list, CHUNKS);
            prop_assert_eq!(&rewrite(&once, CHUNKS), &once);
            let ends = |text: &str| text.split_inclusive('\n').map(|line| line.ends_with("\r\n")).collect::<Vec<_>>();
            prop_assert_eq!(ends(&once), ends(&list));
            let back: Vec<&str> = once.lines().map(|line| {
                line.strip_prefix(CHUNKS).and_then(|rest| rest.strip_suffix(".ts")).filter(|name| is_short_name(name)).unwrap_or(line)
            }).collect();
            let fore: Vec<&str> = list.lines().map(|line| {
                line.strip_prefix(CHUNKS).and_then(|rest| rest.strip_suffix(".ts")).filter(|name| is_short_name(name)).unwrap_or(line)
            }).collect();
            prop_assert_eq!(back, fore);
        }
    }
}
