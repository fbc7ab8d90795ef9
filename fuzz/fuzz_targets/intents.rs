//! Any pod, interfaces and configurations: intending never panics and tells the same twice; its plan is
//! never refused where nothing foreign is in the way, and keeps the laws of plans; once it is so, nothing
//! is left to do; and when every attachment is withdrawn, in any order, all is as before.
#![no_main]

#[path = "../../spiderpool-core/tests/plan/build.rs"]
#[expect(dead_code, reason = "the properties of the core use the rest of it")]
mod build;
#[path = "plans/laws.rs"]
mod laws;
#[path = "intents/story.rs"]
mod story;

use libfuzzer_sys::fuzz_target;
use spiderpool_core::intend::{
    Configuration, Intent, Record, Tenure, Topology, Want, intend, withdraw,
};
use spiderpool_core::net::{LinkName, Object, Scene, Side};
use spiderpool_core::plan::kernel::perform;
use spiderpool_core::plan::{Op, plan};
use std::collections::BTreeSet;
use story::Story;

/// The longest id that runtimes give.
const CONTAINER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Life<'a> {
    story: &'a Story,
    scene: Scene,
    records: Vec<Record>,
}

fuzz_target!(|story: Story| {
    if story.nics().is_empty() {
        return;
    }
    let start = story.start();
    let mut life = Life { story: &story, scene: start.clone(), records: Vec::new() };
    for number in 0..story.nics().len() {
        if number > 0 {
            story.plug(&mut life.scene, number);
        }
        life.attach(&Story::interface(number), &story.configuration(number));
    }
    let nodes = life.nodes();
    life.withdraw_all();
    let before = laws::objects(&start);
    let after: BTreeSet<_> = laws::objects(&life.scene).difference(&nodes).cloned().collect();
    let missing: Vec<_> = before.difference(&after).map(laws::shown).collect();
    let surplus: Vec<_> = after.difference(&before).map(laws::shown).collect();
    let is_same = missing.is_empty() && surplus.is_empty();
    assert!(is_same, "in the end missing {missing:#?}, surplus {surplus:#?}");
    assert_eq!(life.scene.pod.marking, start.pod.marking);
});

impl Life<'_> {
    fn topology(&self, interface: &LinkName) -> Topology {
        let all = 0..self.story.nics().len();
        Topology {
            scene: self.scene.clone(),
            container: CONTAINER.to_owned(),
            interface: interface.clone(),
            attachments: self.records.clone(),
            expected: self.story.knows_all.then(|| all.map(Story::interface).collect()),
            toward: self.story.toward(&self.scene),
        }
    }

    /// Attaches an interface; what is refused is not attached.
    fn attach(&mut self, interface: &LinkName, configuration: &Configuration) {
        let topology = self.topology(interface);
        let intended = intend(&topology, configuration);
        assert_eq!(intended, intend(&topology, configuration), "intended twice");
        let Ok(intended) = intended else { return };
        self.realise(&intended.intent);
        self.records.retain(|record| record.interface != *interface);
        self.records.push(intended.record.clone());
        let again = intend(&self.topology(interface), configuration).expect("it was before");
        assert_eq!(plan(&self.scene, &again.intent), Ok(Default::default()), "it does not rest");
        assert_eq!(again.record, intended.record, "asked again");
    }

    /// Plans, checks the plan, and has it so.
    fn realise(&mut self, intent: &Intent) {
        let planned = plan(&self.scene, intent);
        let planned = planned.unwrap_or_else(|refusal| panic!("{refusal}: {refusal:?}"));
        let reached = laws::arrives(&self.scene, intent, &planned);
        laws::returns(&self.scene, &planned);
        laws::keeps_off(&self.scene, &reached, &planned);
        self.scene = reached;
    }

    /// Takes every attachment back, each link after `eth0` with its own.
    fn withdraw_all(&mut self) {
        let mut left: Vec<usize> = (0..self.story.nics().len()).collect();
        let mut order = self.story.order;
        while !left.is_empty() {
            let count = u64::try_from(left.len()).unwrap();
            let number = left.remove(usize::try_from(order % count).unwrap());
            order /= count;
            let interface = Story::interface(number);
            self.withdraw(&interface);
            if number > 0 {
                let gone = perform(&mut self.scene, Side::Pod, &Op::DeleteLink(interface));
                gone.expect("it is there");
            }
        }
    }

    fn withdraw(&mut self, interface: &LinkName) {
        let is_it = |record: &Record| record.interface == *interface;
        let Some(at) = self.records.iter().position(is_it) else { return };
        let record = self.records.remove(at);
        let intent = withdraw(&record, &self.records, &self.scene);
        self.realise(&intent);
        let again = withdraw(&record, &self.records, &self.scene);
        assert_eq!(plan(&self.scene, &again), Ok(Default::default()), "withdrawn twice");
    }

    /// What was made for the node, and stays.
    fn nodes(&self) -> BTreeSet<(Side, Object)> {
        let wishes = self.records.iter().flat_map(|record| &record.intent.wishes);
        let object = |want: &Want| match want {
            Want::Rule(rule) => Some(Object::Rule(rule.clone())),
            _ => None,
        };
        wishes
            .filter(|wish| wish.tenure == Tenure::Node)
            .filter_map(|wish| object(&wish.want).map(|object| (wish.side, object)))
            .collect()
    }
}
