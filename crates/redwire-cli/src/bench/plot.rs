//! Latencies as a picture: the percentile from left to right, with as much room for each further nine, and
//! the latency upwards, both in powers of ten. It is SVG, written by hand.

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::report::human;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;

/// The percentiles at which a line stands: each has one nine more.
const MARKS: [&str; 6] = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];

/// Where things stand.
struct Scale {
    /// How many nines there is room for.
    nines: f64,
    /// Powers of ten of nanoseconds, the lowest and the highest.
    low: i32,
    high: i32,
}

impl Scale {
    fn of(latency: &Histogram<u64>) -> Self {
        let log = |nanos: u64| (nanos.max(1) as f64).log10();
        let low = log(latency.min()).floor() as i32;
        let high = (log(latency.max()).ceil() as i32).max(low + 1);
        // So few calls have no percentile beyond this.
        let nines = (latency.len().max(10) as f64).log10();
        Self { nines, low, high }
    }

    fn x(&self, quantile: f64) -> f64 {
        let nines = (-(1.0 - quantile).max(1e-12).log10()).min(self.nines);
        LEFT + nines / self.nines * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, nanos: u64) -> f64 {
        let part = ((nanos.max(1) as f64).log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

/// The picture of these latencies, which are in nanoseconds.
pub(super) fn svg(title: &str, latency: &Histogram<u64>) -> String {
    let scale = Scale::of(latency);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"28\" font-size=\"16\">{}</text>\n",
        escaped(title)
    );
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for power in scale.low..=scale.high {
        let nanos = 10u64.saturating_pow(power.unsigned_abs());
        let y = scale.y(nanos);
        line(&mut out, (LEFT, y), (right, y));
        let label = human(Duration::from_nanos(nanos));
        text(&mut out, (LEFT - 8.0, y + 4.0), "end", &label);
    }
    for (name, nines) in MARKS.into_iter().zip(0..).take_while(|(_, nines)| f64::from(*nines) <= scale.nines)
    {
        let x = scale.x(1.0 - 10f64.powi(-nines));
        line(&mut out, (x, TOP), (x, bottom));
        text(&mut out, (x, bottom + 20.0), "middle", name);
    }
    text(&mut out, ((LEFT + right) / 2.0, HEIGHT - 10.0), "middle", "calls that took no longer");
    out.push_str("<polyline fill=\"none\" stroke=\"#c6302b\" stroke-width=\"2\" points=\"");
    for step in latency.iter_quantiles(10) {
        let (x, y) = (scale.x(step.quantile_iterated_to()), scale.y(step.value_iterated_to()));
        // Writing to a string cannot fail.
        let _ = write!(out, "{x:.1},{y:.1} ");
    }
    out.push_str("\"/>\n</svg>\n");
    out
}

fn line(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ =
        writeln!(out, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>");
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ =
        writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(text));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_lies_within_the_picture() {
        let mut latency = Histogram::new_with_bounds(1, 600_000_000_000, 3).unwrap();
        (1..=100_000_u64).for_each(|micros| latency.saturating_record(micros * 1000));
        let svg = svg("a < b", &latency);
        assert!(svg.contains("a &lt; b") && svg.contains("99.999 %") && svg.ends_with("</svg>\n"));
        let points = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert!(points.split_whitespace().count() > 20, "{points}");
        for point in points.split_whitespace() {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y), "{point}");
        }
    }

    #[test]
    fn nothing_measured_is_a_picture_too() {
        let latency = Histogram::new_with_bounds(1, 600_000_000_000, 3).unwrap();
        assert!(!svg("", &latency).contains("NaN"));
    }
}
