//! `redwire topology --watch`: the same view again and again, with what changed.
//!
//! On a terminal it is drawn in place, until q, Esc or Ctrl-C; elsewhere, and with `--json`, it is written
//! anew whenever something changed. A server that cannot be reached is shown as it was, and asked again. What
//! is not a change: offsets and lags, which move all the time, and epochs, which count what is told anyway.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row as Cells, Table};
use redwire::Result;
use redwire::config::{Config, Deployment, Endpoint};

use super::{Row, Snapshot, cluster};
use crate::info::Info;
use crate::output::Failure;
use crate::session::Session;

/// How often it is looked at.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// For so many ticks a row stays marked after a change.
const MARKED: u8 = 5;

/// So many changes are kept in view.
const KEPT: usize = 100;

/// One server, looked at again and again over one connection as long as that holds.
#[derive(Debug)]
pub(super) struct WatchedServer {
    config: Config,
    address: String,
    blocking: bool,
    session: Option<Session>,
}

impl WatchedServer {
    pub(super) fn new(config: Config, address: String, blocking: bool) -> Self {
        Self { config, address, blocking, session: None }
    }

    pub(super) async fn look(&mut self) -> Result<Snapshot> {
        // Whom to ask may change each time.
        let own = match self.config.deployment() {
            Deployment::Sentinel { service, .. } => {
                return Snapshot::of_service(&self.config, service, self.blocking).await;
            }
            Deployment::Cluster { nodes } => {
                return Snapshot::of_cluster(&self.config, nodes, self.blocking).await;
            }
            Deployment::Single(Endpoint::Tcp(address)) => Some(address),
            _ => None,
        };
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(self.config.clone(), self.blocking).await?,
        };
        let info = Info::of(&mut session).await?;
        let snapshot = match own {
            Some(own) if info.is_cluster() => {
                Snapshot::of_cluster(&self.config, std::slice::from_ref(own), self.blocking).await?
            }
            _ => Snapshot::with(&mut session, &self.address, &info).await,
        };
        self.session = Some(session);
        Ok(snapshot)
    }
}

/// What is in view: the last snapshot, and what changed.
#[derive(Debug)]
pub(super) struct View {
    begun: Instant,
    pub(super) snapshot: Option<Snapshot>,
    /// Why there is no newer snapshot.
    trouble: Option<String>,
    marks: BTreeMap<String, u8>,
    changes: VecDeque<String>,
}

impl View {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, snapshot: None, trouble: None, marks: BTreeMap::new(), changes: VecDeque::new() }
    }

    /// Takes in what was seen, and tells what changed.
    pub(super) fn handle(&mut self, seen: Result<Snapshot>, now: Instant) -> Vec<String> {
        self.marks.retain(|_, left| {
            *left -= 1;
            *left > 0
        });
        let changes = match seen {
            Ok(snapshot) => self.handle_snapshot(snapshot),
            Err(error) => {
                let trouble = error.to_string();
                let is_new = self.trouble.is_none();
                self.trouble = Some(trouble.clone());
                if is_new { vec![trouble] } else { Vec::new() }
            }
        };
        let at = now.duration_since(self.begun).as_secs();
        for change in &changes {
            self.changes.push_front(format!("{at:>6} s  {change}"));
        }
        self.changes.truncate(KEPT);
        changes
    }

    fn handle_snapshot(&mut self, snapshot: Snapshot) -> Vec<String> {
        let mut changes = Vec::new();
        if self.trouble.take().is_some() {
            changes.push("the server answers again".to_owned());
        }
        if let Some(before) = &self.snapshot {
            for (address, change) in differences(before, &snapshot) {
                changes.push(format!("{address}: {change}"));
                self.marks.insert(address, MARKED);
            }
        }
        self.snapshot = Some(snapshot);
        changes
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let rows = self.snapshot.as_ref().map_or(&[][..], |snapshot| snapshot.servers.as_slice());
        let height = u16::try_from(rows.len() + 2).unwrap_or(u16::MAX);
        let [head, table, log] =
            Layout::vertical([Constraint::Length(2), Constraint::Length(height), Constraint::Min(0)])
                .areas(frame.area());
        frame.render_widget(self.heading(), head);
        let widths = [8, 24, 24, 14, 10, 8, 12].map(Constraint::Length);
        let titles = Cells::new(["role", "address", "state", "offset", "behind", "heard of", "from here"])
            .style(Style::new().add_modifier(Modifier::DIM));
        let rows = rows.iter().map(|row| self.row(row));
        frame.render_widget(Table::new(rows, widths).header(titles), table);
        let lines: Vec<Line<'_>> = self.changes.iter().map(|change| Line::raw(change.as_str())).collect();
        frame.render_widget(Paragraph::new(lines), log);
    }

    fn heading(&self) -> Paragraph<'_> {
        match &self.trouble {
            Some(trouble) => Paragraph::new(trouble.as_str()).style(Style::new().fg(Color::Red)),
            None => {
                let summary = self.snapshot.as_ref().and_then(|snapshot| snapshot.cluster.as_ref());
                let summary = summary.map(|summary| format!("{summary}\n")).unwrap_or_default();
                Paragraph::new(format!("{summary}q ends; what changed is marked"))
                    .style(Style::new().add_modifier(Modifier::DIM))
            }
        }
    }

    fn row(&self, row: &Row) -> Cells<'static> {
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let lag = row.lag.map(|lag| format!("{lag} s ago")).unwrap_or_default();
        let count =
            row.member.as_ref().map(|member| cluster::count(&member.slots)).filter(|count| *count > 0);
        let state = count.map_or_else(|| row.state.clone(), |count| format!("{}, {count} slots", row.state));
        let mut style = Style::new();
        if !row.sound {
            style = style.fg(Color::Red);
        }
        if self.marks.contains_key(&row.address) {
            style = style.add_modifier(Modifier::REVERSED);
        }
        Cells::new([
            row.role.clone(),
            row.address.clone(),
            state,
            number(row.offset),
            number(row.behind),
            lag,
            row.from_here.to_owned(),
        ])
        .style(style)
    }
}

/// What differs, by address.
fn differences(before: &Snapshot, after: &Snapshot) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for row in &after.servers {
        let Some(was) = before.servers.iter().find(|was| was.address == row.address) else {
            found.push((row.address.clone(), format!("new, a {}", row.role)));
            continue;
        };
        for (was, is) in [(&*was.role, &*row.role), (&was.state, &row.state), (was.from_here, row.from_here)]
        {
            if was != is {
                found.push((row.address.clone(), format!("{was} → {is}")));
            }
        }
    }
    found.extend(cluster::moves(before, after));
    let gone = before.servers.iter().filter(|was| after.servers.iter().all(|row| row.address != was.address));
    found.extend(gone.map(|was| (was.address.clone(), format!("gone, was a {}", was.role))));
    found
}

/// Draws on the terminal until the user ends it.
pub(super) async fn on_terminal(server: &mut WatchedServer) -> Result<View, Failure> {
    let failed = |error: io::Error| Failure::new("the terminal", error);
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let mut view = View::new(Instant::now());
    let result = loop {
        let next = Instant::now() + TICK;
        let seen = server.look().await;
        view.handle(seen, Instant::now());
        if let Err(error) = terminal.draw(|frame| view.draw(frame)) {
            break Err(error);
        }
        // Keys come by a call that blocks.
        match tokio::task::block_in_place(|| wait_for_end(next)) {
            Ok(true) => break Ok(()),
            Ok(false) => {}
            Err(error) => break Err(error),
        }
    };
    ratatui::try_restore().map_err(failed)?;
    result.map(|()| view).map_err(failed)
}

/// Waits until `next`; true if the user wants to end before.
fn wait_for_end(next: Instant) -> io::Result<bool> {
    while event::poll(next.saturating_duration_since(Instant::now()))? {
        match event::read()? {
            Event::Key(key) if ends(key) => return Ok(true),
            // A user who changes the size wants to see it at once.
            Event::Resize(..) => return Ok(false),
            _ => {}
        }
    }
    Ok(false)
}

fn ends(key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let ends =
        matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) || (control && key.code == KeyCode::Char('c'));
    ends && key.kind == KeyEventKind::Press
}

#[cfg(test)]
mod tests {
    use redwire::Error;

    use super::*;

    fn snapshot(rows: &[(&str, &str, &str)]) -> Snapshot {
        let servers = rows.iter().map(|(address, role, state)| Row {
            address: (*address).to_owned(),
            role: (*role).to_owned(),
            state: (*state).to_owned(),
            offset: Some(1),
            behind: None,
            lag: None,
            from_here: "open",
            sound: true,
            member: None,
        });
        Snapshot { servers: servers.collect(), cluster: None }
    }

    #[test]
    fn changes_are_told_and_marked_for_a_while() {
        let now = Instant::now();
        let mut view = View::new(now);
        let first =
            snapshot(&[("a", "master", "Redis"), ("b", "replica", "online"), ("c", "replica", "online")]);
        assert!(view.handle(Ok(first.clone()), now).is_empty());
        let second = snapshot(&[
            ("a", "master", "Redis"),
            ("b", "replica", "wait_bgsave"),
            ("d", "replica", "online"),
        ]);
        let told = view.handle(Ok(second.clone()), now);
        assert_eq!(told, ["b: online → wait_bgsave", "d: new, a replica", "c: gone, was a replica"]);
        assert!(view.marks.contains_key("b") && !view.marks.contains_key("a"));
        for _ in 0..MARKED {
            assert!(view.handle(Ok(second.clone()), now).is_empty());
        }
        assert!(view.marks.is_empty());
    }

    #[test]
    fn trouble_and_its_end_are_told_once() {
        let now = Instant::now();
        let mut view = View::new(now);
        let first = snapshot(&[("a", "master", "Redis")]);
        view.handle(Ok(first.clone()), now);
        assert_eq!(view.handle(Err(Error::usage("it broke")), now), ["it broke"]);
        assert!(view.handle(Err(Error::usage("it broke")), now).is_empty());
        assert_eq!(view.handle(Ok(first), now), ["the server answers again"]);
    }
}
