//! What is asked becomes a run, or a group of them.

use super::run::{Run, RunId};
use super::{Entry, Node, Waiter};
use crate::cluster::port::{Ask, AskId, Fault, Output};
use spiderpool_core::command::{Answer, Collect, Command, Release, Standing};
use spiderpool_core::name::Name;

/// Runs that are answered as one.
#[derive(Debug)]
pub(super) struct Group {
    ask: AskId,
    left: usize,
    freed: Vec<Standing>,
    fault: Option<Fault>,
}

impl Node {
    pub(super) fn begin(&mut self, id: AskId, ask: Ask) {
        let what = match &ask.command {
            Command::Allocate(_) => match self.recovery_reason() {
                Some(why) => return self.answer(id, Err(Fault::Recovering { why })),
                None => None,
            },
            Command::Release(_)
            | Command::Reclaim(_)
            | Command::Hold(_)
            | Command::Conflict(_)
            | Command::Clear(_) => None,
            Command::Collect(collect) => return self.begin_collect(id, &ask, collect),
            Command::Tidy { before_ms } => {
                self.note(Entry::Tidied { before_ms: *before_ms });
                return self.answer(id, Ok(Answer::Done));
            }
            Command::DefineSpace(_)
            | Command::DefineSubnet(_)
            | Command::RemoveSubnet(_)
            | Command::DefineReservation(_)
            | Command::RemoveReservation(_)
            | Command::DefinePool(_)
            | Command::RemovePool(_) => Some("define pools, subnets or reservations"),
        };
        if let Some(what) = what {
            return self.answer(id, Err(Fault::NotHere { what }));
        }
        let mut run = self.run_of(ask);
        run.ask = Some(id);
        self.start(run);
    }

    fn run_of(&self, ask: Ask) -> Run {
        let Ask { command, endpoint, deadline_ms } = ask;
        let locks = self.locks_of(&command);
        let fresh = !matches!(command, Command::Allocate(_));
        let moment = self.moment;
        let epoch = self.record.epoch();
        Run { endpoint, deadline_ms, locks, fresh, epoch, ..Run::new(command, moment) }
    }

    fn start(&mut self, run: Run) {
        let id = self.count();
        self.runs.insert(id, Box::new(run));
        self.ready.push_back(Waiter::Run(id));
    }

    /// The owner and the container that a command is about.
    fn locks_of(&self, command: &Command) -> Vec<String> {
        let of = |container: &Name| format!("container {container}");
        match command {
            Command::Allocate(request) => {
                let holder = &request.holder;
                let container = holder.container.iter().map(of);
                std::iter::once(holder.owner.to_string()).chain(container).collect()
            }
            Command::Release(release) => {
                let owner = self.record.trace(&release.container).map(|t| t.owner.to_string());
                owner.into_iter().chain([of(&release.container)]).collect()
            }
            Command::Hold(hold) => vec![hold.owner.to_string()],
            Command::DefineSpace(_)
            | Command::DefineSubnet(_)
            | Command::RemoveSubnet(_)
            | Command::DefineReservation(_)
            | Command::RemoveReservation(_)
            | Command::DefinePool(_)
            | Command::RemovePool(_)
            | Command::Reclaim(_)
            | Command::Collect(_)
            | Command::Conflict(_)
            | Command::Clear(_)
            | Command::Tidy { .. } => Vec::new(),
        }
    }

    /// CNI GC: every container of the network that the record knows and nobody lists is released.
    fn begin_collect(&mut self, id: AskId, ask: &Ask, collect: &Collect) {
        let mut parts = Vec::new();
        for (container, trace) in self.record.traces() {
            for told in trace.told.values() {
                let attachment = &told.placement.attachment;
                let kept = collect.keep.contains(&(container.clone(), attachment.clone()));
                let ours = told.placement.network.as_ref() == Some(&collect.network);
                let part = (container.clone(), attachment.clone());
                if ours && !kept && !parts.contains(&part) {
                    parts.push(part);
                }
            }
        }
        if parts.is_empty() {
            return self.answer(id, Ok(Answer::Freed(Vec::new())));
        }
        let group = self.count();
        let left = parts.len();
        self.groups.insert(group, Group { ask: id, left, freed: Vec::new(), fault: None });
        for (container, attachment) in parts {
            let release = Release { container, attachment: Some(attachment), ticket: 0 };
            let command = Command::Release(release);
            let ask = Ask { command, endpoint: None, deadline_ms: ask.deadline_ms };
            let mut run = self.run_of(ask);
            run.group = Some(group);
            self.start(run);
        }
    }

    pub(super) fn group_part(&mut self, id: RunId, answer: Result<Answer, Fault>) {
        let Some(mut group) = self.groups.remove(&id) else { return };
        group.left = group.left.saturating_sub(1);
        match answer {
            Ok(Answer::Freed(freed)) => group.freed.extend(freed),
            Ok(_) => {}
            Err(fault) => group.fault = Some(fault),
        }
        if group.left > 0 {
            self.groups.insert(id, group);
            return;
        }
        let Group { ask, freed, fault, .. } = group;
        self.answer(ask, fault.map_or(Ok(Answer::Freed(freed)), Err));
    }

    pub(super) fn answer(&mut self, id: AskId, answer: Result<Answer, Fault>) {
        self.outputs.push(Output::Answer { id, answer });
    }
}
