//! The listener page: one file without anything from elsewhere, the same on every gateway.

/// Whose page it is.
#[derive(Clone, Copy, Debug)]
pub struct Station<'a> {
    /// What the station is called.
    pub title: &'a str,
    /// The station name, `k51…`.
    pub station: &'a str,
    /// The stream name, `k51…`.
    pub stream: &'a str,
}

/// x
pub fn page(station: &Station<'_>, gateways: &[String]) -> String {
    format!("<!DOCTYPE html>{}{:?}", station.title, gateways)
}
