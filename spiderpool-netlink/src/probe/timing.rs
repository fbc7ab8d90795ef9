//! How often and how long is asked.
//!
//! RFC 5227 probes three times, one to two seconds apart, and waits for two more: four to seven
//! seconds that every pod would pay. Its counts are kept here and its times scaled down to a tenth,
//! which suits switched networks of today and is configuration.

use std::num::NonZeroU32;
use std::time::Duration;

/// Which questions are asked, and at what pace; a question without a pace is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// Whether somebody else has the address.
    pub conflict: Option<ConflictTiming>,
    /// Whether the gateway answers.
    pub gateway: Option<GatewayTiming>,
}

/// The pace of probes for an address (RFC 5227, section 1.1; RFC 4862, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConflictTiming {
    /// How many probes are sent (`PROBE_NUM`, `DupAddrDetectTransmits`).
    pub probes: NonZeroU32,
    /// The first is sent after a random delay up to this (`PROBE_WAIT`).
    pub delay: Duration,
    /// Two probes are at least so far apart (`PROBE_MIN`)
    pub spacing: Duration,
    /// and at most so much further, by chance (`PROBE_MAX` less `PROBE_MIN`).
    pub jitter: Duration,
    /// So long is listened after the last probe (`ANNOUNCE_WAIT`, `RetransTimer`).
    pub wait: Duration,
}

impl Default for ConflictTiming {
    /// Three probes within 420 ms and a wait of 200 ms.
    fn default() -> Self {
        Self {
            probes: NonZeroU32::MIN.saturating_add(2),
            delay: Duration::from_millis(20),
            spacing: Duration::from_millis(100),
            jitter: Duration::from_millis(100),
            wait: Duration::from_millis(200),
        }
    }
}

/// The pace of questions to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayTiming {
    /// How often it is asked at most.
    pub tries: NonZeroU32,
    /// So long an answer is waited for before the next try, and after the last.
    pub wait: Duration,
}

impl Default for GatewayTiming {
    /// Three tries of 200 ms.
    fn default() -> Self {
        Self { tries: NonZeroU32::MIN.saturating_add(2), wait: Duration::from_millis(200) }
    }
}

/// The pace of announcements (RFC 5227, section 2.3; RFC 4861, section 7.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnounceTiming {
    /// How often each address is announced.
    pub times: NonZeroU32,
    /// The time between two announcements of an address.
    pub spacing: Duration,
}

impl Default for AnnounceTiming {
    /// Twice, 20 ms apart.
    fn default() -> Self {
        Self { times: NonZeroU32::MIN.saturating_add(1), spacing: Duration::from_millis(20) }
    }
}

impl Timing {
    /// The longest that both questions take, however many addresses are asked about, if every frame
    /// can be sent when it is due.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let conflict = self.conflict.map(|pace| {
            let gaps = pace.probes.get().saturating_sub(1);
            let gap = pace.spacing.saturating_add(pace.jitter);
            pace.delay.saturating_add(gap.saturating_mul(gaps)).saturating_add(pace.wait)
        });
        let gateway = self.gateway.map(|pace| pace.wait.saturating_mul(pace.tries.get()));
        conflict.unwrap_or_default().saturating_add(gateway.unwrap_or_default())
    }
}
