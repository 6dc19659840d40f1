use super::Mirror;
use crate::engine::cx::Cx;
use crate::engine::stream::{Source, Watcher, newest};
use crate::engine::view::{Gap, StepCause};
use crate::waist::{KeyEvent, Range, RangeReply, Reply, Request, Revision, Watch};

impl Watcher for Mirror {
    fn source(&mut self) -> &mut Source {
        &mut self.source
    }

    fn cursor(&self) -> Revision {
        self.replica.cursor()
    }

    fn wants(&self) -> Watch {
        let watch = Watch::of(self.source.keys.clone(), self.cursor());
        Watch { progress: true, fragment: true, ..watch }
    }

    fn question(&self) -> Request {
        Request::Range(Range { revision: self.cursor(), ..self.source.newest_records() })
    }

    fn check(&mut self, answer: Reply) -> Result<(), Gap> {
        let same = matches!(&answer, Reply::Range(answer) if self.replica.is_as(answer));
        same.then_some(()).ok_or(Gap::NewEpoch)
    }

    fn newest(&self) -> Range {
        Range { keys_only: true, ..newest(&self.source.keys) }
    }

    fn is_told_all(&mut self, answer: &RangeReply) -> bool {
        self.replica.is_as_new_as(answer)
    }

    fn confirm(&mut self, cx: &mut Cx<'_>) {
        Self::confirm(self, cx);
    }

    fn advance(&mut self, to: Revision) {
        self.replica.shown.revision = to;
    }

    fn absorb(&mut self, cx: &mut Cx<'_>, events: Vec<KeyEvent>) -> bool {
        let delta = self.replica.apply(cx.layout, events);
        if !delta.is_empty() {
            self.step(cx, StepCause::Watched, delta);
        }
        true
    }
}
