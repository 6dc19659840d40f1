//! What is shown of the wire: links, what travels on them, what was lost there.

use std::collections::BTreeSet;
use std::time::Duration;

use portolan_core::waist::MemberId;
use portolan_sim::plan::{Cut, Way};
use portolan_sim::{Travelling, What};
use serde::Serialize;

use super::millis;
use crate::session::Session;
use crate::words;

#[derive(Debug, Serialize)]
pub struct LinkView {
    process: u16,
    member: u16,
    connected: bool,
    cut: &'static str,
    dead: bool,
    extra_ms: f64,
    losing: u32,
}

#[derive(Debug, Serialize)]
pub struct MessageView {
    id: String,
    process: u16,
    member: u16,
    way: &'static str,
    kind: &'static str,
    words: String,
    left_ms: f64,
    arrives_ms: Option<f64>,
    held: bool,
    copies: u8,
}

#[derive(Debug, Serialize)]
pub struct Vanished {
    process: u16,
    member: u16,
    way: &'static str,
    at_ms: f64,
    words: &'static str,
}

pub fn links(session: &Session) -> Vec<LinkView> {
    let (world, members) = (session.world(), session.world().setup().members);
    let processes = u16::try_from(world.processes().len()).unwrap_or(u16::MAX);
    let mut links = Vec::new();
    for process in 0..processes {
        for member in 0..members {
            let link = world.link(process, MemberId(member));
            links.push(LinkView {
                process,
                member,
                connected: link.client.is_some(),
                cut: match link.cut {
                    None => "none",
                    Some(Cut::Up) => "up",
                    Some(Cut::Down) => "down",
                    Some(Cut::Both) => "both",
                },
                dead: link.is_dead,
                extra_ms: link.extra.as_secs_f64() * 1e3,
                losing: link.losing,
            });
        }
    }
    links
}

/// The messages on their way, and how many more there are.
pub fn messages(session: &Session) -> (Vec<MessageView>, usize) {
    let messages = session.world().travelling();
    let twice = twice(&messages);
    let shown = messages.iter().take(MOST_MESSAGES).enumerate();
    let shown = shown.map(|(n, message)| MessageView::of(message, &twice, n < MOST_SAID));
    (shown.collect(), messages.len().saturating_sub(MOST_MESSAGES))
}

/// What tells a message from all others.
pub fn message_id(message: &Travelling<'_>) -> String {
    let Travelling { client, way, attempt, place, .. } = message;
    format!("{}.{}.{}.{place}", client.0, attempt.0, way_name(*way))
}

impl MessageView {
    /// `said`: whether its words are shown; else who asks for it alone is told them.
    fn of(message: &Travelling<'_>, twice: &BTreeSet<(u32, u64, bool)>, said: bool) -> Self {
        let copies = if twice.contains(&address(message)) { 2 } else { 1 };
        Self {
            id: message_id(message),
            process: message.run.process,
            member: message.member.0,
            way: way_name(message.way),
            kind: words::kind(&message.carries),
            words: if said { words::message(&message.carries) } else { String::new() },
            left_ms: millis(message.left),
            arrives_ms: message.arrives.map(millis),
            held: message.arrives.is_none(),
            copies,
        }
    }
}

fn address(message: &Travelling<'_>) -> (u32, u64, bool) {
    (message.client.0, message.attempt.0, message.way == Way::Up)
}

/// The calls whose answer travels twice.
fn twice(messages: &[Travelling<'_>]) -> BTreeSet<(u32, u64, bool)> {
    let mut seen = BTreeSet::new();
    let answers = messages.iter().filter(|message| words::is_answer(&message.carries));
    answers.map(address).filter(|&address| !seen.insert(address)).collect()
}

fn way_name(way: Way) -> &'static str {
    match way {
        Way::Up => "up",
        Way::Down => "down",
    }
}

/// What was lost within the last moments.
pub fn vanished(session: &Session) -> Vec<Vanished> {
    let now = session.at();
    let recent = session.past().iter().rev().take_while(|entry| now.since(entry.at) < LINGERS);
    let lost = recent.filter_map(|entry| {
        let (client, way, words) = match &entry.what {
            What::Lost { client, way, .. } => (client, *way, "lost on its way"),
            What::Swallowed { client, .. } => (client, Way::Up, "gone with a dead connection"),
            _ => return None,
        };
        let (run, member) = session.beliefs().connection(*client)?;
        let (process, member, way) = (run.process, member.0, way_name(way));
        Some(Vanished { process, member, way, at_ms: millis(entry.at), words })
    });
    lost.take(MOST_MESSAGES).collect()
}

const MOST_MESSAGES: usize = 400;
/// Of so many messages the words are shown; nobody reads more at once.
const MOST_SAID: usize = 100;
/// How long what was lost is still shown.
const LINGERS: Duration = Duration::from_millis(600);
