use encoding_rs::{
    BIG5, EUC_KR, GBK, IBM866, KOI8_R, SHIFT_JIS, WINDOWS_874, WINDOWS_1250, WINDOWS_1251, WINDOWS_1253, WINDOWS_1254,
    WINDOWS_1255, WINDOWS_1256,
};

use super::*;

fn encoded(encoding: &'static Encoding, text: &str) -> Vec<u8> {
    let (bytes, _, failed) = encoding.encode(text);
    assert!(!failed, "{text} is not in {}", encoding.name());
    bytes.into_owned()
}

fn raw(bytes: &[u8]) -> Text {
    Text { bytes: bytes.to_vec(), shown: Shown::As(bytes.iter().map(|byte| char::from(*byte)).collect()) }
}

fn read(texts: &[Text]) -> Vec<String> {
    let meanings = Meanings::of_texts(texts);
    let of = |read: &Text| match &read.shown {
        Shown::As(shown) => meanings.of(text(shown).unwrap()),
        Shown::Not(name) => panic!("{name:?} is shown"),
    };
    texts.iter().map(of).collect()
}

/// What is understood of texts that some program has written in this encoding.
fn understood(encoding: &'static Encoding, texts: &[&str]) -> Vec<String> {
    let raw: Vec<Text> = texts.iter().map(|text| raw(&encoded(encoding, text))).collect();
    read(&raw)
}

#[test]
fn western_names_stay_what_they_are() {
    let names = "Björk|Sigur Rós|Motörhead|Café|Beyoncé|Mötley Crüe|Queensrÿche|Ágætis byrjun|Été|ÉTÉ|À|Øl|Ænima|Señorita\
        |¿Qué pasa?|¡Olé!|Françoise Hardy|Élégie|Déjà vu|Für Elise|Don’t|“Heroes”|Größe|Naïve|Jää-äär|Öö|Håkan Hellström\
        |ÅÄÖ|Käärijä|Crème brûlée|…And Justice|São Paulo|Coração|Ñu|Año|Øresund|æøå|Þórr|Hoppípolla|Straße|L’été|°C\
        |Live § 3|© 1999|Là-bas|àéè|Sinéad O’Connor";
    let names: Vec<&str> = names.split('|').collect();
    for name in &names {
        assert_eq!(understood(WINDOWS_1252, &[name]), [*name], "alone");
        for other in &names {
            assert_eq!(understood(WINDOWS_1252, &[name, other, "1999"]), [*name, *other, "1999"], "together");
        }
    }
}

#[test]
fn other_scripts_are_understood() {
    for (encoding, texts) in [
        (WINDOWS_1251, &["Группа крови", "Кино", "Группа крови"][..]),
        (WINDOWS_1251, &["Кино"]),
        (WINDOWS_1251, &["Подъезд №4", "Ёлка", "Лучшее 2001"]),
        (WINDOWS_1251, &["«Ария» – «Штиль»"]),
        (WINDOWS_1251, &["П’ять хвилин"]),
        (WINDOWS_1251, &["Мумий Тролль - Vladivostok 2000", "Мумий Тролль"]),
        (KOI8_R, &["Группа крови", "Кино", "Группа крови"]),
        (IBM866, &["Группа крови", "Кино"]),
        (SHIFT_JIS, &["上を向いて歩こう", "坂本九"]),
        (SHIFT_JIS, &["さくら"]),
        (SHIFT_JIS, &["君が代"]),
        (SHIFT_JIS, &["ファンタジー", "DJ OKAWARI", "ベスト"]),
        (SHIFT_JIS, &["宇多田ヒカル", "First Love"]),
        (GBK, &["月亮代表我的心", "邓丽君"]),
        (GBK, &["天空"]),
        (BIG5, &["月亮代表我的心", "鄧麗君"]),
        (EUC_KR, &["아리랑", "대한민국"]),
        (WINDOWS_874, &["ก้อนหินละเมอ", "โซคูล"]),
        (WINDOWS_1253, &["Τα παιδιά του Πειραιά", "Μελίνα Μερκούρη"]),
        (WINDOWS_1255, &["ירושלים של זהב"]),
        (WINDOWS_1256, &["فيروز", "أعطني الناي"]),
        (WINDOWS_1250, &["Příliš žluťoučký kůň", "Dvořák: Rusalka, Měsíčku na nebi"]),
        (WINDOWS_1254, &["Şımarık", "Tarkan", "Ölürüm sana, kış güneşi"]),
    ] {
        assert_eq!(understood(encoding, texts), texts, "{}", encoding.name());
    }
}

#[test]
fn utf8_is_taken_for_what_it_is_also_where_it_is_cut() {
    let cut = "Группа крови на рукаве".as_bytes();
    let texts = [raw("Don’t".as_bytes()), raw(&cut[..27])];
    assert_eq!(read(&texts), ["Don’t", "Группа крови н"]);
}

#[test]
fn what_is_shown_alike_and_means_different_things_stays() {
    let lost = |bytes: &[u8]| Text { bytes: bytes.to_vec(), shown: Shown::As("\u{fffd}\u{fffd}".into()) };
    assert_eq!(read(&[lost(b"\x93\x94"), lost(b"\x85\x94")]), ["\u{fffd}\u{fffd}"; 2]);
    assert_eq!(read(&[lost(b"\x93\x94"), lost(b"\x93\x94")]), ["“”"; 2]);
}

#[test]
fn only_texts_that_look_wrong_do() {
    for text in ["Ãðóïïà êðîâè", "a\u{fffd}b", "BjÃ¶rk", "ÊÈÍÎ"] {
        assert!(looks_wrong(text), "{text}");
    }
    for text in ["", "Björk", "Déjà vu", "Группа крови", "上を向いて歩こう", "Don’t", "Crème brûlée", "Käärijä"]
    {
        assert!(!looks_wrong(text), "{text}");
    }
}

#[test]
fn texts_are_found_in_every_kind_of_file() {
    let seeds = crate::audio::fuzz::tags_seeds();
    for (seed, named) in seeds.iter().zip(["ID3v2.3", "ID3v2.4", "ID3v1", "WAV", "AIFF"]) {
        assert!(of_bytes(seed).contains(&"Группа".to_owned()), "{named}: {:?}", of_bytes(seed));
    }
    let chapter = of_bytes(&seeds[0]);
    assert!(chapter.contains(&"Motörhead".to_owned()), "{chapter:?}");
}

#[test]
fn a_file_of_text_is_read_in_its_encoding() {
    let sheet = "PERFORMER \"Диджей Иванов\"\nTITLE \"Первая песня\"\nTRACK 01 AUDIO\n";
    let utf16 = |big: bool| {
        let units = format!("\u{feff}{sheet}").encode_utf16().collect::<Vec<_>>();
        units
            .into_iter()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect::<Vec<u8>>()
    };
    for bytes in
        [sheet.as_bytes().to_vec(), encoded(WINDOWS_1251, sheet), encoded(KOI8_R, sheet), utf16(true), utf16(false)]
    {
        assert_eq!(text_of(bytes), sheet);
    }
    let western = "TITLE \"Déjà vu\"\n";
    assert_eq!(text_of(encoded(WINDOWS_1252, western)), western);
    let marked = format!("\u{feff}{western}");
    assert_eq!(text_of(marked.clone().into_bytes()), marked, "what is UTF-8 stays as it is");
}
