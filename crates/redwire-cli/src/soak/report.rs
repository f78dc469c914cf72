//! What a drill has shown: the same facts for people and for programs.

use std::time::{Duration, Instant};

use redwire::Error;
use serde_json::{Value as Json, json};

use super::tally::{self, GAP, Service, Tally};
use crate::output::{BAD, DIM, Failure, GOOD, Output, Verdict};

pub(super) struct Report<'a> {
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) tally: &'a Tally,
    pub(super) service: Service,
    pub(super) connects: u64,
}

/// What must not happen, and how often it did.
struct Violation {
    name: &'static str,
    count: u64,
    meaning: &'static str,
}

impl Report<'_> {
    /// Writes it. `unread` is what kept the keys from being read back in the end.
    ///
    /// # Errors
    /// They could not be read back, and nothing was wrong until then: that is no answer.
    pub(super) fn write(&self, output: &Output, unread: Option<&Error>) -> Result<Verdict, Failure> {
        let bad = self.violations().iter().any(|violation| violation.count > 0);
        self.lines(output, unread.is_some());
        if let Some(error) = unread {
            let doing = "reading back what the server has in the end";
            let advice = "what it lost is not known; let it come back before the drill ends";
            let failure = Failure::new(doing, format_args!("{error}; {advice}"));
            if !bad {
                return Err(failure);
            }
            output.note(failure);
        }
        output.json(&self.json());
        Ok(if bad { Verdict::Bad } else { Verdict::Good })
    }

    fn violations(&self) -> [Violation; 4] {
        let found = self.tally.findings;
        let violation = |name, count, meaning| Violation { name, count, meaning };
        [
            violation("mismatched", found.mismatched, "replies that belong to another request"),
            violation("duplicated", found.duplicated, "writes executed more often than they were made"),
            violation("overrun", self.tally.overrun, "calls that ended more than 50 ms after their deadline"),
            violation(
                "unannounced_loss",
                found.unannounced,
                "published messages missing, with no gap \
                 announced",
            ),
        ]
    }

    fn ms(&self, at: Instant) -> u64 {
        tally::micros(at.saturating_duration_since(self.began)) / 1000
    }

    fn latency(&self) -> [(&'static str, u64); 4] {
        let latency = &self.tally.latency;
        let at = |quantile| latency.value_at_quantile(quantile);
        [("p50", at(0.5)), ("p99", at(0.99)), ("p999", at(0.999)), ("max", latency.max())]
    }

    fn json(&self) -> Json {
        let violations =
            self.violations().map(|violation| (violation.name.to_owned(), violation.count.into()));
        let gaps = self.service.gaps.iter();
        let gaps: Vec<_> =
            gaps.map(|(from, to)| json!({ "from_ms": self.ms(*from), "to_ms": self.ms(*to) })).collect();
        let latency = self.latency().map(|(name, micros)| (name.to_owned(), micros.into()));
        json!({
            "seconds": (self.ended - self.began).as_secs_f64(),
            "calls": self.tally.calls,
            "acknowledged": self.tally.acknowledged,
            "errors": self.tally.errors,
            "maybe_executed": self.tally.maybe_executed,
            "violations": Json::Object(violations.into_iter().collect()),
            "lost_by_server": self.tally.findings.lost,
            "longest_gap_ms": self.longest_gap_ms(),
            "gaps": gaps,
            "connects": self.connects,
            "latency_us": Json::Object(latency.into_iter().collect()),
        })
    }

    fn longest_gap_ms(&self) -> u64 {
        tally::micros(self.service.longest) / 1000
    }

    fn lines(&self, output: &Output, unread: bool) {
        let tally = self.tally;
        let seconds = (self.ended - self.began).as_secs_f64();
        output.line(format_args!(
            "{} calls in {seconds:.1} s, {} acknowledged",
            tally.calls, tally.acknowledged
        ));
        for (kind, count) in &tally.errors {
            output.line(format_args!("  {count:>8} failed: {kind}"));
        }
        output.line(format_args!("  {:>8} of unknown outcome (maybe executed)", tally.maybe_executed));
        output.line(format_args!("  {:>8} connections were made", self.connects));
        let latency =
            self.latency().map(|(name, micros)| format!("{name} {:.1?}", Duration::from_micros(micros)));
        output.line(format_args!("latency   {}", latency.join("  ")));
        output.line(format_args!(
            "service   longest without an answer to any call: {} ms",
            self.longest_gap_ms()
        ));
        for (from, to) in &self.service.gaps {
            let (from, to) = (self.ms(*from), self.ms(*to));
            output.line(format_args!("  {DIM}gap of {} ms, from {from} ms to {to} ms{DIM:#}", to - from));
        }
        if self.service.gaps.is_empty() {
            output.line(format_args!("  {DIM}no gap longer than {} ms{DIM:#}", GAP.as_millis()));
        }
        if unread {
            output.line("lost      not known: the keys could not be read back");
        } else {
            let lost = tally.findings.lost;
            output.line(format_args!("lost      {lost} acknowledged writes are gone from the server"));
        }
        self.verdict(output);
    }

    fn verdict(&self, output: &Output) {
        let violations = self.violations();
        if violations.iter().all(|violation| violation.count == 0) {
            output.line(format_args!("{GOOD}no violation{GOOD:#}"));
        }
        for Violation { name, count, meaning } in violations.iter().filter(|violation| violation.count > 0) {
            output.line(format_args!("{BAD}violation{BAD:#} {name}: {count} {meaning}"));
        }
    }
}
