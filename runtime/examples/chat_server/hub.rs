//! Who is where, and who hears what.
//!
//! One task owns all of it and takes one event after the other. So there is no lock, and there is
//! one order of everything that happens: all members of a room hear the same lines in the same
//! order, which is the order in which the hub took them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_channel::{Receiver, Sender};
use runtime::task::yield_now;

use crate::name::check;

/// Which client; the how-manieth connection it is.
pub(crate) type ClientId = u64;
/// A line with its end, shared by all who hear it.
pub(crate) type Line = Arc<str>;

/// What happens to a client.
pub(crate) enum Event {
    /// It has connected. `remembered` is dropped when the hub has forgotten it.
    Came { id: ClientId, outbox: Sender<Line>, remembered: Sender<()> },
    /// It has sent a line: a command, or something for all.
    Said { id: ClientId, text: String },
    /// It is gone or about to go; the reason is empty or in parentheses, after a space.
    Left { id: ClientId, reason: String },
    /// The server stops.
    Stop,
}

/// Where everybody begins.
const LOBBY: &str = "lobby";
/// After how many lines handed out the hub lets others run: their writers, above all.
const TURN: usize = 256;

/// How many names a list has. A client may ask for many lists, and read none.
const NAMED: usize = 40;

/// All clients and rooms.
pub(crate) struct Hub {
    clients: HashMap<ClientId, Client>,
    /// The members of each room that has any.
    rooms: BTreeMap<String, BTreeSet<ClientId>>,
    /// Whose name it is.
    names: BTreeMap<String, ClientId>,
    /// How many lines may wait for a client.
    queue: usize,
    /// Clients that have let too many wait, found while lines were handed out.
    too_slow: Vec<ClientId>,
    /// Lines handed out since others could run.
    handed_out: usize,
}

struct Client {
    name: String,
    room: String,
    outbox: Sender<Line>,
    /// Tells the connection, by being dropped, that it is over.
    _remembered: Sender<()>,
}

impl Hub {
    pub(crate) fn new(queue: usize) -> Hub {
        Hub {
            clients: HashMap::new(),
            rooms: BTreeMap::new(),
            names: BTreeMap::new(),
            queue,
            too_slow: Vec::new(),
            handed_out: 0,
        }
    }

    /// Takes events until the server stops.
    pub(crate) async fn run(mut self, events: Receiver<Event>) {
        while let Ok(event) = events.recv().await {
            match event {
                Event::Came { id, outbox, remembered } => self.came(id, outbox, remembered),
                Event::Said { id, text } => self.said(id, &text),
                Event::Left { id, reason } => self.left(id, &reason),
                Event::Stop => break,
            }
            // Announcing that somebody is gone can find others who are too slow.
            while let Some(id) = self.too_slow.pop() {
                self.left(id, " (too slow)");
            }
            if self.handed_out >= TURN {
                self.handed_out = 0;
                yield_now().await;
            }
        }
        let goodbye: Line = "* the server stops\n".into();
        // Those who have come meanwhile wait in here, and would wait on.
        events.close();
        while let Ok(event) = events.try_recv() {
            if let Event::Came { outbox, .. } = event {
                let _ = outbox.try_send(goodbye.clone());
            }
        }
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        ids.into_iter().for_each(|id| self.send(id, goodbye.clone()));
    }

    fn came(&mut self, id: ClientId, outbox: Sender<Line>, remembered: Sender<()>) {
        let mut name = format!("guest-{id}");
        while self.names.contains_key(&name) {
            name.push('_');
        }
        self.names.insert(name.clone(), id);
        let welcome = format!("* you are {name}; /nick name, /join room, /who, /quit\n");
        let client = Client { name, room: LOBBY.into(), outbox, _remembered: remembered };
        self.clients.insert(id, client);
        self.send(id, welcome.into());
        self.enter(id, LOBBY);
    }

    fn said(&mut self, id: ClientId, text: &str) {
        // Of one who was too slow, lines can still be on their way.
        let Some(client) = self.clients.get(&id) else { return };
        let (command, argument) = text.split_once(' ').unwrap_or((text, ""));
        match command {
            "" => {}
            "/nick" => self.rename(id, argument.trim()),
            "/join" => match check(argument.trim()) {
                Ok(room) => self.join(id, room),
                Err(reason) => self.send(id, format!("* {reason}\n").into()),
            },
            "/who" => {
                let list = self.who(&client.room);
                self.send(id, list.into());
            }
            _ if command.starts_with('/') => {
                self.send(id, format!("* there is no command {command}\n").into());
            }
            _ => {
                let line = format!("<{}> {text}\n", client.name);
                self.announce(&client.room.clone(), line);
            }
        }
    }

    /// Forgets a client, which closes its connection when it has got what it was sent.
    fn left(&mut self, id: ClientId, reason: &str) {
        let Some(client) = self.clients.remove(&id) else { return };
        self.names.remove(&client.name);
        self.leave(id, &client.room);
        self.announce(&client.room, format!("* {} has left{reason}\n", client.name));
    }

    fn rename(&mut self, id: ClientId, name: &str) {
        let free = check(name).and_then(|name| match self.names.contains_key(name) {
            true => Err("somebody has this name"),
            false => Ok(name),
        });
        if let Err(reason) = free {
            return self.send(id, format!("* {reason}\n").into());
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        let before = std::mem::replace(&mut client.name, name.to_owned());
        let room = client.room.clone();
        self.names.remove(&before);
        self.names.insert(name.to_owned(), id);
        self.announce(&room, format!("* {before} is now {name}\n"));
    }

    fn join(&mut self, id: ClientId, room: &str) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.room == room {
            return self.send(id, format!("* you are in {room}\n").into());
        }
        let before = std::mem::replace(&mut client.room, room.to_owned());
        let line = format!("* {} has gone to {room}\n", client.name);
        self.leave(id, &before);
        self.announce(&before, line);
        self.enter(id, room);
    }

    fn enter(&mut self, id: ClientId, room: &str) {
        self.rooms.entry(room.to_owned()).or_default().insert(id);
        let line = format!("* {} has joined {room}\n", self.clients[&id].name);
        self.announce(room, line);
    }

    fn leave(&mut self, id: ClientId, room: &str) {
        let Some(members) = self.rooms.get_mut(room) else { return };
        members.remove(&id);
        if members.is_empty() {
            self.rooms.remove(room);
        }
    }

    fn who(&self, room: &str) -> String {
        let members = self.rooms.get(room).into_iter().flatten();
        let names: Vec<&str> = members.map(|id| &*self.clients[id].name).take(NAMED).collect();
        let others = self.rooms.get(room).map_or(0, |members| members.len() - names.len());
        let others = if others > 0 { format!(", and {others} more") } else { String::new() };
        format!("* in {room}: {}{others}\n", names.join(", "))
    }

    /// Sends a line to all members of a room, its author included.
    fn announce(&mut self, room: &str, line: String) {
        let line: Line = line.into();
        let Some(members) = self.rooms.remove(room) else { return };
        for &id in &members {
            self.send(id, line.clone());
        }
        self.rooms.insert(room.to_owned(), members);
    }

    /// Queues a line for a client, which costs no waiting, whoever it is.
    fn send(&mut self, id: ClientId, line: Line) {
        let Some(client) = self.clients.get(&id) else { return };
        self.handed_out += 1;
        if client.outbox.len() >= self.queue {
            self.too_slow.push(id);
        } else {
            // Closed only if the connection has ended, of which an event is on its way.
            let _ = client.outbox.try_send(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_so_many_and_counts_the_others() {
        let mut hub = Hub::new(1024);
        for (members, others) in
            [(NAMED, ""), (NAMED + 1, ", and 1 more"), (1000, ", and 960 more")]
        {
            while hub.clients.len() < members {
                let (outbox, remembered) =
                    (async_channel::bounded(1).0, async_channel::bounded(1).0);
                hub.came(hub.clients.len() as ClientId, outbox, remembered);
            }
            let list = hub.who(LOBBY);
            assert!(list.starts_with("* in lobby: guest-0, guest-1, "), "{list}");
            assert!(list.ends_with(&format!("guest-39{others}\n")), "{list}");
        }
    }

    #[test]
    fn who_comes_as_the_server_stops_gets_a_goodbye_too() {
        let runtime = runtime::Builder::new().build().expect("a runtime");
        let (events, hears) = async_channel::unbounded();
        let (outbox, lines) = async_channel::unbounded();
        let (remembered, forgotten) = async_channel::bounded(1);
        events.try_send(Event::Stop).expect("there is room");
        events.try_send(Event::Came { id: 1, outbox, remembered }).expect("there is room");
        runtime.block_on(Hub::new(1).run(hears));
        assert_eq!(lines.try_recv().as_deref(), Ok("* the server stops\n"));
        assert!(lines.is_closed() && forgotten.is_closed(), "nobody waits on");
    }
}
