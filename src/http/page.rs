//! The listener page: one file without anything from elsewhere, the same on every gateway.
//!
//! The scripts under `page/` are modules, so that tests can load them one by one; the page has them in one piece.

use serde::Serialize;

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// In the order in which they use one another.
const SCRIPTS: [&str; 7] = [
    include_str!("page/m3u8.mjs"),
    include_str!("page/ts.mjs"),
    include_str!("page/fmp4.mjs"),
    include_str!("page/block.mjs"),
    include_str!("page/feed.mjs"),
    include_str!("page/player.mjs"),
    include_str!("page/view.mjs"),
];

/// Whose page it is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Station<'a> {
    /// What the station is called.
    pub title: &'a str,
    /// The station name, `k51…`.
    pub station: &'a str,
    /// The stream name, `k51…`.
    pub stream: &'a str,
    /// Further path gateways that the player may ask, such as `https://example.org`; tried after the page's own origin.
    pub gateways: &'a [String],
}

/// The text of `index.html`: the same for the same station, whatever gateway serves it. It finds the list by itself:
/// beside it in the published root, by the stream name at the root of the station's own port.
pub fn page(station: &Station<'_>) -> String {
    let parts = [
        ("title", escaped(station.title)),
        ("station", escaped(station.station)),
        ("stream", escaped(station.stream)),
        ("style", STYLE.trim().to_owned()),
        ("config", config(station)),
        ("script", SCRIPTS.map(inlined).concat()),
    ];
    let mut page = String::with_capacity(48 * 1024);
    let mut rest = FRAME;
    while let Some((before, after)) = rest.split_once("{{") {
        page.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        page.push_str(parts.iter().find(|(part, _)| *part == name).map_or("", |(_, text)| text));
        rest = after;
    }
    page + rest
}

/// Text that stands between tags or in an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The station as a JavaScript value that cannot end the script it stands in.
fn config(station: &Station<'_>) -> String {
    let json = serde_json::to_string(station).expect("strings always have a JSON form");
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// A module as a piece of one script: without imports, exports and the comments of whole lines.
fn inlined(module: &str) -> String {
    let mut piece = String::with_capacity(module.len());
    for line in module.lines() {
        let code = line.trim_start();
        if code.is_empty() || code.starts_with("//") || code.starts_with("import ") {
            continue;
        }
        piece.push_str(line.strip_prefix("export ").unwrap_or(line));
        piece.push('\n');
    }
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAYS: &[String] = &[];

    fn of(title: &str) -> String {
        page(&Station { title, station: "k51station", stream: "k51stream", gateways: GATEWAYS })
    }

    #[test]
    fn the_page_is_whole_small_and_always_the_same() {
        let page = of("Radio");
        assert_eq!(page, of("Radio"));
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert!(page.len() < 60 * 1024, "{} bytes", page.len());
        assert!(!page.contains("{{"), "every part is filled in");
        for line in page.lines() {
            assert!(!line.starts_with("import ") && !line.starts_with("export "), "{line}");
        }
        for needed in
            ["class Player", "class Feed", "function demux", "function initSegment", "k51station", "k51stream"]
        {
            assert!(page.contains(needed), "{needed}");
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = of("Radio");
        for (place, _) in page.match_indices("http") {
            let rest = &page[place..];
            let known = ["http-equiv", "http://www.w3.org/2000/svg"];
            assert!(known.iter().any(|known| rest.starts_with(known)), "{}", &rest[..40]);
        }
    }

    #[test]
    fn a_title_cannot_become_code() {
        let page = of("</script><script>alert(\"1\")</script>{{script}} & \u{2028}");
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("</script>").count(), 1);
        assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(&quot;1&quot;)"));
        assert!(page.contains(r#""title":"\u003c/script>\u003cscript>alert(\"1\")"#));
        assert!(page.contains("\\u2028"));
    }
}
