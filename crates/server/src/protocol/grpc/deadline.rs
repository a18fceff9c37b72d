//! How long a client waits for a call, which is how long anything is done for it.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use tokio::time::{Instant, timeout};

use crate::error::ServerError;

/// Where clients say it: a number of at most eight digits, and a unit.
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The time that a client gives.
pub(crate) struct Deadline(Option<Duration>);

impl Deadline {
    /// As the headers say.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ServerError> {
        let Some(value) = headers.get(TIMEOUT) else { return Ok(Self(None)) };
        parse(value.as_bytes()).map(|time| Self(Some(time))).ok_or_else(|| {
            let needed = "a number of at most 8 digits and one of the units H M S m u n";
            ServerError::BadBody(format!("grpc-timeout is not {needed}"))
        })
    }

    /// When it is over; None: never.
    pub(crate) fn ends(&self) -> Option<Instant> {
        Instant::now().checked_add(self.0?)
    }

    /// Works for as long as the client waits.
    pub(crate) async fn within<T>(
        self,
        work: impl Future<Output = Result<T, ServerError>>,
    ) -> Result<T, ServerError> {
        match self.0 {
            None => work.await,
            Some(time) => timeout(time, work).await.unwrap_or(Err(ServerError::DeadlineExceeded)),
        }
    }
}

fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(3_600_000)),
            ("2M", Some(120_000)),
            ("30S", Some(30_000)),
            ("00000010m", Some(10)),
            ("5000u", Some(5)),
            ("99999999n", Some(99)),
            ("0m", Some(0)),
            ("99999999H", Some(359_999_996_400_000)),
            ("123456789m", None),
            ("m", None),
            ("", None),
            ("10", None),
            ("1.5S", None),
            ("-1S", None),
            ("1s", None),
        ] {
            let found = parse(text.as_bytes()).map(|time| time.as_millis());
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
