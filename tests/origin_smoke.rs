//! An origin in memory: founded, fed, released, restarted.

use std::path::PathBuf;
use std::sync::Arc;

use tekd::engine::{Committed, ImportedKey, Input, Moment, ParamsChange, Reply, Seeded, View, Work};
use tekd::node::{Builder, NOBODY, Origin, OriginOptions, SetNews, TableStore, bring_up};
use tekd::release::Fields;
use tekd::store::{MemoryDisk, MemoryMode, Published};
use tekd::wire::Key;

struct Still(Moment);
impl tekd::node::Clock for Still {
    fn now(&self) -> Moment {
        self.0
    }
}

fn run(origin: &mut Origin, builder: &mut Builder, now: Moment, input: Input) -> Vec<Result<Reply, String>> {
    let mut inputs = vec![(tekd::engine::Ticket(1), input)];
    let mut all = Vec::new();
    while !inputs.is_empty() {
        let Committed { replies, work } = origin.step(now, std::mem::take(&mut inputs)).unwrap();
        all.extend(
            replies.into_iter().filter(|(t, _)| *t != NOBODY).map(|(_, r)| r.map_err(|e| e.to_string())),
        );
        for w in work {
            match w {
                Work::Build(c, o) => inputs.push((NOBODY, Input::Built(builder.build(&c, &o).unwrap()))),
                Work::Publish { set, .. } | Work::Show { set } => {
                    builder.show(&SetNews::of(origin.state(), set, now.unix).unwrap()).unwrap();
                }
            }
        }
    }
    all
}

#[test]
fn an_origin_lives() {
    let disk = MemoryDisk::new();
    let options =
        OriginOptions { disk: Arc::new(disk.clone()), dir: PathBuf::from("/data"), segment_bytes: 1 << 20 };
    let now = Moment { unix: 1_790_000_000, monotonic_ms: 0 };
    let mut origin = Origin::open(options.clone(), now, Box::new(Seeded::new(1))).unwrap();
    let view = Arc::new(Published::new(Arc::new(View::empty(origin.identity().service_id, 1))));
    let store =
        TableStore { disk: options.disk.clone(), dir: Some(options.dir.clone()), mode: MemoryMode::Copy };
    let mut builder = Builder::new(store.clone(), view.clone());
    bring_up(&mut origin, &mut builder, &Still(now)).unwrap();
    let change = ParamsChange { decoys: Some(false), ..ParamsChange::default() };
    run(&mut origin, &mut builder, now, Input::Configure { set: 1, change });
    let day = u32::try_from(now.unix / 86_400 * 144 - 288).unwrap();
    let keys: Vec<ImportedKey> = (0..500u32)
        .map(|i| {
            let mut k = [0; 16];
            k[..4].copy_from_slice(&(i.wrapping_mul(2_654_435_761)).to_be_bytes());
            let fields = Fields { start: day, period: 144, report: 1, risk: 3, onset: 0 };
            ImportedKey { key: Key::from_slice(&k).unwrap(), fields, period: 144 }
        })
        .collect();
    println!(
        "{:?}",
        run(&mut origin, &mut builder, now, Input::Import { set: 1, provider: "import".into(), keys })
    );
    println!("{:?}", run(&mut origin, &mut builder, now, Input::Release { set: 1, allow_small: false }));
    let first = view.load().set(1).unwrap().release.clone().unwrap();
    assert_eq!(first.checkpoint.count(), 500);
    origin.idle().unwrap();
    drop(origin);
    let mut origin = Origin::open(options, now, Box::new(Seeded::new(2))).unwrap();
    let view = Arc::new(Published::new(Arc::new(View::empty(origin.identity().service_id, 1))));
    let mut builder = Builder::new(store, view.clone());
    bring_up(&mut origin, &mut builder, &Still(now)).unwrap();
    let again = view.load().set(1).unwrap().release.clone().unwrap();
    assert_eq!(first.checkpoint, again.checkpoint);
    assert_eq!(first.generation.bytes(), again.generation.bytes());
}
