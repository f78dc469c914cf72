//! Marks among the requests: they find out a lost reply within so many replies, and disturb nothing else.

use crate::inbound::{Frames, Inbound};
use crate::link::{Link, QueueLimits, Ticket};
use crate::outbox::Outbox;

const EVERY: u32 = 3;

fn link(every: u32) -> Link<u32> {
    Link::new(QueueLimits { commands: 1000, bytes: 1 << 20 }, None).marked_every(every)
}

fn submit(link: &mut Link<u32>, number: u32) -> Ticket {
    let request = format!("*2\r\n$3\r\nGET\r\n$2\r\n{number:02}\r\n");
    link.submit(1, request.len(), true, |outbox| outbox.copy(request.as_bytes()), number, None).unwrap()
}

/// What a server answers to what the link has to send: to each request its number, to a mark its words.
fn answers(link: &mut Link<u32>) -> Vec<String> {
    let mut outbox = Outbox::default();
    link.poll_transmit(&mut outbox);
    link.handle_sent(outbox.len());
    let text = String::from_utf8(outbox.to_bytes()).unwrap();
    text.split("*2\r\n")
        .skip(1)
        .map(|request| {
            let word = request.split("\r\n").nth(3).unwrap();
            format!("${}\r\n{word}\r\n", word.len())
        })
        .collect()
}

fn receive(link: &mut Link<u32>, answers: &[String]) -> Result<(), crate::Error> {
    let (mut inbound, mut frames) = (Inbound::new(64, redwire_resp::Limits::default()), Frames::default());
    for answer in answers {
        inbound.spare().extend_from_slice(answer.as_bytes());
        assert!(inbound.poll_frames(&mut frames).unwrap());
        link.handle_frames(&mut frames)?;
    }
    Ok(())
}

/// How many got what is another one's.
fn wrong(link: &mut Link<u32>, tickets: Vec<Ticket>) -> usize {
    let mut wrong = 0;
    for (number, ticket) in (0_u32..).zip(tickets) {
        match link.poll_reply(ticket, |_| {}) {
            Ok(replies) => wrong += usize::from(replies.unwrap().read::<u32>().unwrap() != number),
            Err(ticket) => {
                link.abandon(ticket);
            }
        }
    }
    wrong
}

#[test]
fn a_lost_reply_is_found_out_wherever_it_was_lost() {
    for lost in 0..20 {
        let mut link = link(EVERY);
        let tickets: Vec<Ticket> = (0..20).map(|number| submit(&mut link, number)).collect();
        let mut answers = answers(&mut link);
        assert_eq!(answers.len(), 20 + 6, "one after three each, but none at the end");
        let words = answers.remove(lost);
        let result = receive(&mut link, &answers);
        // Behind the last mark none follows yet.
        assert_eq!(result.is_err(), lost < 20 + 6 - 2, "{words}");
        assert!(wrong(&mut link, tickets) <= EVERY as usize, "{words}");
    }
}

#[test]
fn where_nothing_is_lost_marks_disturb_nothing() {
    for every in [0, 1, EVERY, 100] {
        let mut link = link(every);
        for _ in 0..5 {
            let tickets: Vec<Ticket> = (0..20).map(|number| submit(&mut link, number)).collect();
            let answers = answers(&mut link);
            let marks = answers.iter().filter(|answer| answer.contains("in-step")).count();
            assert_eq!(marks > 0, (1..20).contains(&every), "every {every}");
            receive(&mut link, &answers).unwrap();
            assert_eq!(wrong(&mut link, tickets), 0);
            assert!(link.is_idle() && link.probe.is_none() && link.free.len() == link.slots.len());
        }
    }
}

/// What is given up before it is written is taken back from around the marks.
#[test]
fn marks_stay_where_requests_are_taken_back() {
    let mut link = link(EVERY);
    let mut tickets: Vec<Ticket> = (0..20).map(|number| submit(&mut link, number)).collect();
    let kept = tickets.split_off(10);
    for ticket in tickets {
        link.abandon(ticket);
    }
    let answers = answers(&mut link);
    assert_eq!(answers.len(), 10 + 6);
    receive(&mut link, &answers).unwrap();
    for (number, ticket) in (10..).zip(kept) {
        assert_eq!(link.poll_reply(ticket, |_| {}).unwrap().unwrap().read::<u32>().unwrap(), number);
    }
    assert!(link.is_idle() && link.free.len() == link.slots.len());
}

/// A peer that answers `PING` without its words: marks are told by what it answers instead.
#[test]
fn marks_work_without_their_words() {
    let ponged = |link: &mut Link<u32>, lost: Option<usize>| {
        let tickets: Vec<Ticket> = (0..20).map(|number| submit(link, number)).collect();
        let mut answers = answers(link);
        for answer in answers.iter_mut().filter(|answer| answer.contains("in-step")) {
            *answer = "+PONG\r\n".to_owned();
        }
        lost.into_iter().for_each(|lost| drop(answers.remove(lost)));
        let result = receive(link, &answers);
        (wrong(link, tickets), result)
    };
    let mut link = link(EVERY);
    for _ in 0..3 {
        let (wrong, result) = ponged(&mut link, None);
        result.unwrap();
        assert_eq!(wrong, 0);
    }
    let (wrong, result) = ponged(&mut link, Some(7));
    result.unwrap_err();
    assert!(wrong <= EVERY as usize, "{wrong}");
}
